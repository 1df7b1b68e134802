"""What an episode's data says about how it was recorded: one check a function, each yields findings."""

import zlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from robot_stack.quality.finding import Finding, Severity
from robot_stack.quality.motion import has_motion, motion, stretches
from robot_stack.store.arrays import is_frame
from robot_stack.store.episode import Episode
from robot_stack.store.timing import missing, streams
from robot_stack.types import TargetKind

FROZEN = 0.5
"""A picture that does not change for so long while the robot moves is frozen [s]."""

STUCK = 1.0
"""A joint that does not move for so long while its target does is stuck [s]."""

IDLE = 3.0
"""Standing still longer than this is worth a trim [s]."""

DISAGREEMENT = {"position": 0.05, "joint": 0.2, "seconds": 0.5}
"""Requested and sent targets this far apart [m, rad] for so long [s] disagree."""

Check = Callable[[Episode], Iterator[Finding]]


def inspect(episode: Episode) -> list[Finding]:
    """All findings in an episode that is whole on disk."""
    return [finding for check in CHECKS for finding in check(episode)]


def row_times(episode: Episode) -> Iterator[Finding]:
    """Rows come one after the other, at their rate."""
    time = episode["time"]
    for step in np.flatnonzero(np.diff(time) <= 0)[:1] + 1:
        what = f"time runs backwards or stands still: {time[step - 1]:.4f} s, then {time[step]:.4f} s"
        yield Finding(episode.id, int(step), Severity.ERROR, what, "leave this episode out: its rows are not in order")
    lost = missing(time, episode.attrs["rate"])
    if lost.any():
        step = int(np.argmax(lost)) + 1
        what = f"rows are missing: {lost.sum()}, of them {lost.max()} before this step"
        yield Finding(episode.id, step, Severity.WARNING, what, "find out what held the recorder up; trim here")


def stream_times(episode: Episode) -> Iterator[Finding]:
    """Measurements are not from the future and do not run backwards."""
    time = episode["time"]
    for name, field in streams(episode.spec).items():
        captured = episode[field]
        for step in np.flatnonzero(captured > time)[:1]:
            what = f"{name} was measured {captured[step] - time[step]:.4f} s after the row it is in"
            yield Finding(episode.id, int(step), Severity.ERROR, what, "check the clock of that device; leave this out")
        for step in np.flatnonzero(np.diff(captured) < 0)[:1] + 1:
            what = f"the time of {name} runs backwards by {captured[step - 1] - captured[step]:.4f} s"
            yield Finding(episode.id, int(step), Severity.ERROR, what, "check the clock of that device; leave this out")


def finite(episode: Episode) -> Iterator[Finding]:
    """Numbers are numbers."""
    for field in episode.spec:
        if field.dtype[1] != "f":
            continue
        bad = ~np.isfinite(episode[field.name].reshape(len(episode), -1)).all(axis=1)
        if bad.any():
            what = f"{field.name} is not finite in {bad.sum()} rows"
            yield Finding(episode.id, int(np.argmax(bad)), Severity.ERROR, what, "trim these rows, or leave this out")


def frozen_frames(episode: Episode) -> Iterator[Finding]:
    """Pictures change while the robot moves."""
    if not has_motion(episode.spec):
        return
    moved = motion(episode)
    for field in episode.spec:
        if not (is_frame(field) and len(field.shape) == 3):
            continue
        for start, stop in stretches(_same_as_before(episode, field.name), round(FROZEN * moved.rate)):
            if moved.steps[start:stop].sum() > moved.large_step:
                what = f"{field.name} is frozen for {stop - start} rows while the robot moves"
                yield Finding(episode.id, start, Severity.WARNING, what, "check that camera's cable and load; trim")


def stuck_joints(episode: Episode) -> Iterator[Finding]:
    """Joints follow their targets."""
    if not {"q", "target.q"} <= episode.spec.fields.keys():
        return
    q, target = episode["q"], episode["target.q"]
    same = np.concatenate([np.zeros((1, q.shape[1]), bool), np.diff(q, axis=0) == 0.0])
    for joint in range(q.shape[1]):
        for start, stop in stretches(same[:, joint], round(STUCK * episode.attrs["rate"])):
            if np.ptp(target[start:stop, joint]) > 0.05:
                what = f"joint {joint + 1} reads the same for {stop - start} rows while its target moves"
                yield Finding(episode.id, start, Severity.WARNING, what, "check the encoder and the driver; leave out")


def jumps(episode: Episode) -> Iterator[Finding]:
    """Measured positions do not jump: no step is large and five times as long as the longest twentieth of steps."""
    if not has_motion(episode.spec):
        return
    moved = motion(episode)
    limit = max(moved.large_step, 5.0 * float(np.nanpercentile(moved.steps, 95)))
    for step in np.flatnonzero(moved.steps > limit):
        what = f"{moved.field} jumps by {moved.steps[step]:.3g} {moved.unit} in one row"
        yield Finding(episode.id, int(step), Severity.WARNING, what, "look for lost rows or a lost tracker; split here")


def idle(episode: Episode) -> Iterator[Finding]:
    """The robot does not stand around."""
    if not has_motion(episode.spec):
        return
    moved = motion(episode)
    for start, stop in stretches(moved.is_still, round(IDLE * moved.rate)):
        what = f"stands still for {(stop - start) / moved.rate:.1f} s"
        yield Finding(episode.id, start, Severity.ADVICE, what, "trim, or a policy learns to stop here")


def disagreement(episode: Episode) -> Iterator[Finding]:
    """What was asked for is what was sent."""
    rows = round(DISAGREEMENT["seconds"] * episode.attrs["rate"])
    for start, stop in stretches(_disagrees(episode), max(1, rows)):
        what = f"what was sent differs from what was asked for {stop - start} rows"
        yield Finding(
            episode.id, start, Severity.ADVICE, what, "safety or speed limits held it back: train on `target`"
        )


CHECKS: tuple[Check, ...] = (
    row_times,
    stream_times,
    finite,
    frozen_frames,
    stuck_joints,
    jumps,
    idle,
    disagreement,
)


def _same_as_before(episode: Episode, name: str) -> NDArray[np.bool_]:
    """Rows (T,) whose picture is, bit for bit, that of the row before."""
    checksums = [zlib.crc32(frame) for frames in episode.blocks(name) for frame in frames]
    return np.concatenate([[False], np.diff(checksums) == 0])


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
