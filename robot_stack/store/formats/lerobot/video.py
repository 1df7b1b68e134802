"""Reads the pictures of one episode from a video of a LeRobotDataset, each put to its row by its presentation time.

LeRobot's recorder gives the next frame the time of one that it dropped, so a video that ends before its rows is
shifted against them from an unknown row on (lerobot PR #4462); one whose times have gaps can be aligned.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot_stack.store.formats.lerobot.layout import Clip
from robot_stack.types import StoreError

_CUT_OFF = "its recording was killed, or it was not copied whole"
_SEEK_MARGIN = 2
"""Periods before a clip's start at which reading begins: start times are sums of durations in floats."""


class ShiftedError(StoreError):
    """A video that has fewer pictures than rows, in a way that does not tell which are missing."""


class Placed(NamedTuple):
    """The presentation time in the file of every row's picture (n,) [s], and what had to be repaired for that."""

    times: NDArray[np.float64]
    notes: list[str]


def place(clip: Clip, rows: NDArray[np.float64], fps: float) -> Placed:
    """Find each row's picture: the newest at most half a period after the row's time. rows: times (n,) [s] in the clip.

    ShiftedError when the pictures end before the rows do.
    """
    half = 0.5 / fps
    stop = min(clip.stop, clip.start + float(rows[-1]) + 1 / fps)
    times = _times(clip, stop + 1 / fps, fps)
    inside = times[(times > clip.start - half) & (times < clip.stop - half)]
    newest = np.searchsorted(inside, clip.start + rows + half) - 1
    if not len(inside) or newest[-1] < 0:
        raise ShiftedError(f"{clip.path} has no pictures for its {len(rows)} rows")
    found = inside[np.maximum(newest, 0)]
    without = np.abs(found - clip.start - rows) >= half
    if without[-1]:
        raise ShiftedError(
            f"{clip.path} has {len(inside)} pictures for {len(rows)} rows and ends before them: some were dropped, all "
            "later ones are shifted against their rows, and nothing tells from which row on"
        )
    notes = []
    if count := int(without.sum()):
        first = int(np.flatnonzero(without)[0])
        notes.append(f"{clip.path.name} lacks the pictures of {count} rows, first of row {first}: the one before shows")
    if extra := int((inside > clip.start + rows[-1] + half).sum()):
        notes.append(f"{clip.path.name} has {extra} pictures after the last row: left out, as LeRobot does")
    return Placed(found, notes)


def pictures(clip: Clip, times: NDArray[np.float64], fps: float, pixels: str = "rgb24") -> Iterator[NDArray[Any]]:
    """Decode the picture at each of the rising `times` (n,) [s] of the file; the same one again when a time repeats."""
    import av

    shown: NDArray[Any] | None = None
    at = -np.inf
    near = 0.25 / fps
    with opened(clip) as container:
        stream = container.streams.video[0]
        try:
            seek(container, stream, times[0], fps)
            frames = iter(container.decode(stream))
            for time in times:
                frame = None
                while at < time - near:
                    frame = next(frames)
                    at = float(frame.pts * stream.time_base)
                if frame is not None:
                    shown = frame.to_ndarray(format=pixels)
                assert shown is not None  # at is before the first time
                yield shown
        except (av.error.FFmpegError, StopIteration) as error:
            raise StoreError(f"{clip.path} cannot be decoded at {time:.3f} s ({error!r}); download it again") from error


def in_turn(files: list[Path], lengths: dict[int, int], fps: float) -> dict[int, Clip]:
    """Where episodes of so many rows are when they follow each other in the files: number -> clip."""
    clips: dict[int, Clip] = {}
    left, at = [(path, _count(Clip(path))) for path in files], 0
    for number, length in sorted(lengths.items()):
        if len(left) > 1 and at >= left[0][1]:
            left, at = left[1:], 0
        if left:
            clips[number] = Clip(left[0][0], at / fps, (at + length) / fps)
        at += length
    return clips


def _count(clip: Clip) -> int:
    """Pictures in a file, by its header; 0 when it cannot be read."""
    try:
        with opened(clip) as container:
            return int(container.streams.video[0].frames)
    except ShiftedError:
        return 0


def size(clip: Clip) -> tuple[int, int]:
    """Height and width of the pictures [px]."""
    with opened(clip) as container:
        stream = container.streams.video[0]
        return int(stream.height), int(stream.width)


def _times(clip: Clip, stop: float, fps: float) -> NDArray[np.float64]:
    """Presentation times of the packets from the clip's start to `stop` (n,) [s], rising; nothing is decoded."""
    import av

    times = []
    with opened(clip) as container:
        stream = container.streams.video[0]
        try:
            seek(container, stream, clip.start, fps)
            for packet in container.demux(stream):
                if packet.pts is not None:
                    times.append(float(packet.pts * stream.time_base))
                if packet.dts is not None and packet.dts * stream.time_base > stop:
                    break
        except av.error.FFmpegError as error:
            raise ShiftedError(f"{clip.path} cannot be read ({error!r})") from error
    return np.sort(np.array(times, np.float64))


def seek(container: Any, stream: Any, time: float, fps: float) -> None:
    """Go to the key frame at or before a time [s]."""
    before = max(0.0, time - _SEEK_MARGIN / fps)
    container.seek(int(Fraction(before) / stream.time_base), stream=stream, backward=True)


def opened(clip: Clip) -> Any:
    """The video file of a clip; ShiftedError when it is missing or damaged."""
    import av

    try:
        container = av.open(str(clip.path))
    except FileNotFoundError as error:
        raise ShiftedError(f"{clip.path} is missing: not copied or not downloaded whole") from error
    except (av.error.FFmpegError, OSError) as error:
        raise ShiftedError(f"{clip.path} cannot be read ({error!r}): {_CUT_OFF}") from error
    if not container.streams.video:
        container.close()
        raise ShiftedError(f"{clip.path} has no whole video in it: {_CUT_OFF}")
    return container
