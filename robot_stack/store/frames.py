"""Frames of one field of one episode, at the size that a policy sees, wherever they come from."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robot_stack.picture import shrink
from robot_stack.store import arrays
from robot_stack.store.episode import Episode

BLOCK_BYTES = 128 << 20
"""Of decoded frames that are in memory at once while they are shrunk: several groups of a video codec."""


class Frames(Protocol):
    """Rows (T, *shape) that are read a few at a time. Holds no open file: it may be pickled, and used after a fork."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        """Rows start, start + 1, … into the contiguous `out` (n, *shape)."""
        ...

    def expect(self, start: int, stop: int) -> None:
        """Rows start..stop will be read soon. Comes back at once, and takes no memory of this process."""
        ...


class Decoded:
    """Frames decoded from the store each time they are asked for.

    resolution: (height, width) that pictures are shrunk to [px], None to leave them as they are.
    """

    def __init__(self, episode: Episode, name: str, resolution: tuple[int, int] | None = None) -> None:
        field = episode.spec[name]
        self.episode, self.name = episode, name
        self.resolution = None if resolution is None else (int(resolution[0]), int(resolution[1]))
        size = field.shape if self.resolution is None else (*self.resolution, *field.shape[2:])
        self.shape = (len(episode), *size)
        self.dtype = np.dtype(field.dtype)
        self._block = max(1, BLOCK_BYTES // arrays.row_bytes(field))  # rows that are decoded at once

    @property
    def nbytes(self) -> int:
        """Of all rows [B]."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        """Rows start, start + 1, … into the contiguous `out` (n, *shape)."""
        for first in range(0, len(out), self._block):
            part = out[first : first + self._block]
            rows = self.episode.read(self.name, start + first, start + first + len(part))
            if self.resolution is None:
                part[:] = rows
            else:
                for picture, row in zip(part, rows, strict=True):
                    picture[:] = shrink(row, self.resolution)

    def expect(self, start: int, stop: int) -> None:
        """Nothing to be done ahead: decoding takes longer than the disk."""

    def blocks(self) -> Iterator[NDArray[Any]]:
        """All rows in order, a block (n, *shape) of bounded size at a time."""
        for first in range(0, len(self.episode), self._block):
            out = np.empty((min(self._block, len(self.episode) - first), *self.shape[1:]), self.dtype)
            self.read_into(first, out)
            yield out


def expect_history(frames: Frames, now: int, history: int) -> None:
    """`read_history` of `history` rows up to row `now` comes soon."""
    frames.expect(max(0, now + 1 - history), now + 1)


def read_history(frames: Frames, now: int, out: NDArray[Any]) -> None:
    """The rows up to and with row `now` into `out` (history, *shape); before the first row stands the first."""
    first = max(0, now + 1 - len(out))
    padding = len(out) - (now + 1 - first)
    frames.read_into(first, out[padding:])
    out[:padding] = out[padding]
