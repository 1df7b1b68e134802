"""What an episode's data says about how it was recorded: one check a function, each yields findings."""

from collections.abc import Callable, Iterator

import numpy as np

from robot_stack.quality.commands import clipped, disagreement, out_of_limits, target_jumps
from robot_stack.quality.finding import Finding, Severity
from robot_stack.quality.motion import has_motion, motion, stretches
from robot_stack.quality.pictures import duplicate_frames, frozen_frames
from robot_stack.store.episode import Episode
from robot_stack.store.timing import missing, streams
from robot_stack.types import Array

STUCK = 1.0
"""A joint that does not move for so long while its target does is stuck [s]."""

IDLE = 3.0
"""Standing still longer than this is worth a trim [s]."""

GAP = 0.1
"""A raw stream that is silent for so long, and for five of its usual intervals, has a gap [s]."""

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


def stream_gaps(episode: Episode) -> Iterator[Finding]:
    """Raw streams come without gaps and without lost messages."""
    time = episode["time"]
    for name, columns in episode.streams.items():
        raw = episode.stream(name)
        intervals = np.diff(raw[:, 0])
        if not len(intervals):
            continue
        usual, longest = float(np.median(intervals)), int(intervals.argmax())
        if intervals[longest] > max(GAP, 5.0 * usual):
            what = f"stream {name} was silent for {intervals[longest]:.3f} s; usually it comes every {usual:.4f} s"
            step = _row_at(time, raw[longest, 0])
            yield Finding(episode.id, step, Severity.WARNING, what, "check that device and the load; trim here")
        if columns[1:2] == ["sequence"]:
            lost = np.maximum(0.0, np.diff(raw[:, 1]) - 1.0)
            if lost.any():
                what = f"stream {name} lost {lost.sum():.0f} messages, of them {lost.max():.0f} at once"
                step = _row_at(time, raw[int(lost.argmax()), 0])
                yield Finding(episode.id, step, Severity.WARNING, what, "check that device's cable and the load")


CHECKS: tuple[Check, ...] = (
    row_times,
    stream_times,
    stream_gaps,
    finite,
    frozen_frames,
    duplicate_frames,
    stuck_joints,
    jumps,
    target_jumps,
    out_of_limits,
    clipped,
    idle,
    disagreement,
)


def _row_at(time: Array, moment: float) -> int:
    """The row that a moment belongs to: the first at or after it, else the last."""
    return min(int(np.searchsorted(time, moment)), len(time) - 1)
