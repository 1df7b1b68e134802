"""What was asked of the robot, and what was sent: jumps, commands beyond limits, clipped actions, disagreement."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from robot_stack.quality.finding import Finding, Severity
from robot_stack.quality.motion import Motion, stretches
from robot_stack.robots import ROBOTS
from robot_stack.store.episode import Episode
from robot_stack.types import Array, TargetKind

DISAGREEMENT = {"position": 0.05, "joint": 0.2, "seconds": 0.5}
"""Requested and sent targets this far apart [m, rad] for so long [s] disagree."""

CLIPPED = {"together": 0.5, "at once": 2.0}
"""A command that stays at its extreme for so long in more than one visit, or at once, is clipped [s]."""

LIMIT_WINDOW = 0.2
"""Velocities of targets are means over this [s]: what rows a few milliseconds off their grid cannot distort."""

_POSITIONS = {"target.pose": ("m", 3), "target.position": ("px", None), "target.q": ("rad", None)}
_FEW_VALUES = 4  # a column with no more different values is a switch, and not clipped


def target_jumps(episode: Episode) -> Iterator[Finding]:
    """What was sent does not jump: no step is large and five times as long as the longest twentieth of steps."""
    for name, (unit, columns) in _POSITIONS.items():
        if name not in episode.spec:
            continue
        target = episode[name]
        steps = Motion(name, target[:, :columns], unit, episode.attrs["rate"]).steps
        unset = np.asarray(~target.any(axis=1))  # before the first command
        steps[unset | np.concatenate([[False], unset[:-1]])] = 0.0
        limit = max(Motion(name, target, unit, 1.0).large_step, 5.0 * float(np.nanpercentile(steps, 95)))
        for step in np.flatnonzero(steps > limit)[:1]:
            what = f"{name} jumps by {steps[step]:.3g} {unit} in one row"
            advice = "a policy learns to jump there too: look at who commanded it; split or trim here"
            yield Finding(episode.id, int(step), Severity.WARNING, what, advice)


def out_of_limits(episode: Episode) -> Iterator[Finding]:
    """What was sent to the joints is within what the robot can do."""
    known = ROBOTS.get(episode.attrs.get("robot", ""))
    if known is None or "target.q" not in episode.spec or episode.spec["target.q"].shape != known.lower.shape:
        return
    target = episode["target.q"]
    advice = "check that this is the robot it was recorded on; such a command cannot be replayed: trim or leave out"
    outside = (target < known.lower - 1e-6) | (target > known.upper + 1e-6)
    for joint in np.flatnonzero(outside.any(axis=0)):
        step = int(np.argmax(outside[:, joint]))
        limits = f"{known.lower[joint]:.3f} to {known.upper[joint]:.3f}"
        what = f"joint {joint + 1} was sent to {target[step, joint]:.3f} rad, outside of {limits} of {known.name}"
        yield Finding(episode.id, step, Severity.WARNING, what, advice)
    speed = _speeds(target, episode["time"], max(1, round(LIMIT_WINDOW * episode.attrs["rate"])))
    fast = speed > 1.1 * known.velocity
    for joint in np.flatnonzero(fast.any(axis=0)):
        step = int(np.argmax(fast[:, joint]))
        most = f"{known.velocity[joint]:.2f} of {known.name}"
        what = f"joint {joint + 1} was sent off at {speed[step, joint]:.2f} rad/s, faster than {most}"
        yield Finding(episode.id, step, Severity.WARNING, what, advice)


def clipped(episode: Episode) -> Iterator[Finding]:
    """Commands do not run into an end of their range, as where a device or a limit cuts them off."""
    for name, columns in _commands(episode):
        values = episode[name].reshape(len(episode), -1)[:, :columns]
        for column in range(values.shape[1]):
            for bound, runs in _plateaus(values, column):
                rows = sum(stop - start for start, stop in runs)
                long = CLIPPED["together" if len(runs) > 1 else "at once"]
                if rows < long * episode.attrs["rate"]:
                    continue
                what = (
                    f"column {column + 1} of {name} stays at {bound:.4g} for {rows} rows while others go on: clipped?"
                )
                advice = "the operator wanted more: check limits and scale of the device; what was wanted is lost"
                yield Finding(episode.id, runs[0][0], Severity.ADVICE, what, advice)


def disagreement(episode: Episode) -> Iterator[Finding]:
    """What was asked for is what was sent."""
    rows = round(DISAGREEMENT["seconds"] * episode.attrs["rate"])
    for start, stop in stretches(_disagrees(episode), max(1, rows)):
        what = f"what was sent differs from what was asked for {stop - start} rows"
        yield Finding(
            episode.id, start, Severity.ADVICE, what, "safety or speed limits held it back: train on `target`"
        )


def _speeds(target: Array, time: Array, rows: int) -> Array:
    """Mean speed (T, n) [rad/s] over the last `rows` rows; 0 in the first, and from an unset target (all zero)."""
    speed = np.zeros_like(target)
    elapsed = np.maximum(time[rows:] - time[:-rows], 1e-9)
    was_set = np.asarray(target.any(axis=1))[:, None]
    speed[rows:] = np.abs(target[rows:] - target[:-rows]) / elapsed[:, None] * (was_set[:-rows] & was_set[rows:])
    return speed


def _commands(episode: Episode) -> Iterator[tuple[str, int | None]]:
    """Fields that say where somebody wanted to go: name, how many of the first columns do."""
    wanted = ("action", "requested." if any(f.name.startswith("requested.") for f in episode.spec) else "target.")
    for field in episode.spec:
        if field.name.startswith(wanted) and field.dtype[1] == "f" and len(field.shape) == 1 and field.shape[0] > 1:
            yield field.name, 3 if field.name.endswith(".pose") else None


def _plateaus(values: Array, column: int) -> Iterator[tuple[float, list[tuple[int, int]]]]:
    """Stays of a column at its least and its largest value: value, runs of rows.

    Only those reached at speed, not slowing down as who has arrived does, and during which other columns change.
    """
    own = values[:, column]
    steps = np.abs(np.diff(own, prepend=own[:1]))
    if len(np.unique(own)) <= _FEW_VALUES:
        return
    typical = float(np.median(steps[steps > 0]))
    rest = np.delete(values, column, axis=1)
    others = np.asarray(np.diff(rest, axis=0, prepend=rest[:1]).any(axis=1))
    for bound in (float(own.min()), float(own.max())):
        runs = [
            (start, stop)
            for start, stop in stretches(own == bound, 2)
            if start >= 2 and steps[start - 1] >= typical / 2 and others[start:stop].mean() > 0.5
        ]
        if runs:
            yield bound, runs


def _disagrees(episode: Episode) -> NDArray[np.bool_]:
    """Rows (T,) whose requested and sent targets are further apart than DISAGREEMENT."""
    result = np.zeros(len(episode), bool)
    if not {"requested.kind", "requested.pose", "requested.q", "target.pose", "target.q"} <= episode.spec.fields.keys():
        return result
    kind = episode["requested.kind"]
    apart = np.linalg.norm(episode["requested.pose"][:, :3] - episode["target.pose"][:, :3], axis=1)
    turned = np.abs(episode["requested.q"] - episode["target.q"]).max(axis=1)
    result |= (kind == TargetKind.POSE) & (apart > DISAGREEMENT["position"])
    result |= (kind == TargetKind.JOINTS) & (turned > DISAGREEMENT["joint"])
    return result
