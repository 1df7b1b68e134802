"""Random windows of rows straight from the store: tables in memory, frames decoded as they are asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.store.cache import FrameCache
from robot_stack.store.episode import Episode
from robot_stack.store.frames import Decoded, Frames, read_history
from robot_stack.types import ConfigError, StoreError

VALID = "valid"


class WindowReader:
    """All windows of some episodes, one at a time: what a `torch.utils.data.DataLoader` takes as its data set.

    `reader[i]` is a dict of arrays. A table: (history - 1 + horizon, *shape), of which row `history - 1` is now. A
    frame field: (history, *shape), now is the last. "valid": False in the rows that only repeat the first or the last
    one of the episode (history - 1 + horizon,). The same windows in the same order as `policies.windows.Windows`.

    tables, frames: field names. execute: rows that each window has at least from now to the episode's end.
    resolution: (height, width) that frames are shrunk to [px]. cache: where they are looked for first.
    Holds no open file, so that workers may be forked or spawned.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        tables: Sequence[str],
        frames: Sequence[str],
        history: int = 2,
        horizon: int = 16,
        execute: int = 1,
        resolution: tuple[int, int] | None = None,
        cache: FrameCache | None = None,
    ) -> None:
        if VALID in tables or VALID in frames:
            raise ConfigError(f"a window says under {VALID!r} which rows are real: a field of that name cannot be read")
        lengths = np.array([len(episode) for episode in episodes], int)
        if (longest := max(lengths, default=0)) < execute:
            raise StoreError(
                f"no window fits: the longest of {len(lengths)} episodes has {longest} rows, one needs {execute}; "
                "record longer episodes, or ask for less"
            )

        def source(episode: Episode, name: str) -> Frames:
            decoded = Decoded(episode, name, resolution)
            return decoded if cache is None else cache.get(decoded)

        self._tables = {name: np.concatenate([episode[name] for episode in episodes]) for name in tables}
        self._frames = {name: [source(episode, name) for episode in episodes] for name in frames}
        self._offsets = np.arange(1 - history, horizon)
        self._history = history
        self._end = np.cumsum(lengths)
        self._start = self._end - lengths
        rows = np.arange(lengths.sum())
        self._now = rows[rows + execute <= np.repeat(self._end, lengths)]

    def __len__(self) -> int:
        return len(self._now)

    @property
    def nbytes(self) -> int:
        """Memory that the tables take [B]."""
        return sum(table.nbytes for table in self._tables.values())

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        """The window of that number."""
        now = self._now[index]
        episode = int(np.searchsorted(self._end, now, side="right"))
        start, end = self._start[episode], self._end[episode]
        rows = now + self._offsets
        inside = rows.clip(start, end - 1)
        window: dict[str, NDArray[Any]] = {name: table[inside] for name, table in self._tables.items()}
        for name, frames in self._frames.items():
            out = np.empty((self._history, *frames[episode].shape[1:]), frames[episode].dtype)
            read_history(frames[episode], int(now - start), out)
            window[name] = out
        return {**window, VALID: rows == inside}
