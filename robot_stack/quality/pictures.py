"""What pictures say of the camera that took them: pictures that stand still, and old ones that pass for new."""

from collections.abc import Iterator
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from robot_stack.quality.finding import Finding, Severity
from robot_stack.quality.motion import Motion, has_motion, motion, stretches
from robot_stack.spec import Field, Spec
from robot_stack.store.arrays import is_frame
from robot_stack.store.episode import Episode
from robot_stack.store.timing import SUFFIX

FROZEN = 0.5
"""A picture that does not change for so long while the robot moves is frozen [s]."""


def frozen_frames(episode: Episode) -> Iterator[Finding]:
    """Pictures change while the robot moves."""
    if not has_motion(episode.spec):
        return
    moved = motion(episode)
    for field in _pictures(episode.spec):
        for start, stop in _frozen(episode, field, moved):
            what = f"{field.name} is frozen for {stop - start} rows while the robot moves"
            yield Finding(episode.id, start, Severity.WARNING, what, "check that camera's cable and load; trim")


def duplicate_frames(episode: Episode) -> Iterator[Finding]:
    """No picture is, bit for bit, an earlier one with a later capture time, from when the robot was elsewhere."""
    if not has_motion(episode.spec):
        return
    moved = motion(episode)
    for field in _pictures(episode.spec):
        if field.name + SUFFIX not in episode.spec:
            continue  # without capture times a row may rightly have the picture of the row before
        copies = _copies(episode, field, moved)
        for start, stop in _frozen(episode, field, moved):
            copies = [(row, of) for row, of in copies if not start <= row < stop]
        if copies:
            row, original = copies[0]
            what = f"{field.name} is an old picture with a new time in {len(copies)} rows: here that of row {original}"
            yield Finding(episode.id, row, Severity.WARNING, what, "check that camera's driver and load; leave out")


@lru_cache(maxsize=16)
def checksums(episode: Episode, name: str) -> NDArray[np.uint32]:
    """A number for each picture (T,), equal where pictures are. Kept, because several checks ask for the same.

    Where each picture is compressed on its own, of its compressed bytes: nothing is decoded.
    """
    if episode.is_whole:
        array = episode.recordings[0].array(name)
        if array.codec is not None and array.codec.group == 1:
            return np.array([crc32(chunk) for chunk in array.chunks()], np.uint32)
    return np.array([crc32(frame) for frames in episode.blocks(name) for frame in frames], np.uint32)


def _pictures(spec: Spec) -> list[Field]:
    return [field for field in spec if is_frame(field) and len(field.shape) == 3]


def _frozen(episode: Episode, field: Field, moved: Motion) -> Iterator[tuple[int, int]]:
    """Stretches of rows in which the robot moves and the picture does not."""
    same = np.concatenate([[False], np.diff(checksums(episode, field.name).astype(np.int64)) == 0])
    for start, stop in stretches(same, round(FROZEN * moved.rate)):
        if moved.steps[start:stop].sum() > moved.large_step:
            yield start, stop


def _copies(episode: Episode, field: Field, moved: Motion) -> list[tuple[int, int]]:
    """Rows whose picture is that of an earlier row, which they should not share: row, earlier row."""
    captured = episode[field.name + SUFFIX]
    intervals = np.diff(np.unique(captured))
    if not len(intervals):
        return []
    earlier: dict[int, int] = {}
    copies = []
    for row, checksum in enumerate(checksums(episode, field.name).tolist()):
        original = earlier.get(checksum)
        if original is None or captured[row] - captured[original] < np.median(intervals) / 2:
            earlier[checksum] = row
            continue
        apart = np.linalg.norm(moved.positions[row] - moved.positions[original])
        if apart > moved.large_step / 4:  # at rest, or back at the same place, a picture may come again
            copies.append((row, original))
    return copies
