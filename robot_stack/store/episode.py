"""Reading one episode, as it is seen: rows of what was recorded, with the edits of the store laid over them."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Spec
from robot_stack.store import arrays
from robot_stack.store.edits import Entry
from robot_stack.store.recording import Recording
from robot_stack.store.timing import missing
from robot_stack.types import StoreError


class Episode:
    """One row a step. Holds no open file: it may be pickled, and used after a fork.

    parts: recordings and the rows start..stop of them that it is made of.
    """

    def __init__(self, entry: Entry, recordings: Mapping[str, Recording]) -> None:
        self.entry = entry
        self.id = entry.id
        self.attrs: dict[str, Any] = dict(entry.attrs)
        self.parts: list[tuple[Recording, int, int]] = [
            (recordings[part.id], part.start, part.stop) for part in entry.parts
        ]
        self.spec: Spec = self.parts[0][0].spec
        if not self.is_whole:
            with suppress(StoreError):  # of a damaged array; `data check` says so
                self.attrs["drops"] = int(missing(self.read("time"), self.attrs["rate"]).sum())

    def __repr__(self) -> str:
        return f"Episode({self.id!r}, {len(self)} rows, {self.attrs['verdict']})"

    def __len__(self) -> int:
        return self.entry.rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        """All rows of a field (T, *shape)."""
        return self.read(name)

    @property
    def path(self) -> Path:
        """The folder it was recorded to; of one that was put together, that of its first part."""
        path = self.parts[0][0].path
        if not isinstance(path, Path):
            raise StoreError(f"{path} is not on this machine: copy the store here first")
        return path

    @property
    def recordings(self) -> list[Recording]:
        """What it is made of."""
        return list({recording.id: recording for recording, _, _ in self.parts}.values())

    @property
    def is_whole(self) -> bool:
        """Whether it is all rows of one recording, as they were recorded."""
        recording, start, stop = self.parts[0]
        return len(self.parts) == 1 and (start, stop) == (0, len(recording)) and not self.entry.overlays

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows start..stop of a field (stop - start, *shape); frames outside are not decoded."""
        first, last, _ = slice(start, stop).indices(len(self))
        if len(self.parts) == 1:
            recording, begin, _ = self.parts[0]
            rows = recording.read(name, begin + first, begin + max(first, last))
        else:
            rows = self._read_parts(name, first, last)
        for overlay in self.entry.overlays:
            if overlay.field == name:
                rows[max(0, overlay.start - first) : max(0, overlay.stop - first)] = overlay.value
        return rows

    def rows(self, start: int = 0, stop: int | None = None) -> NDArray[np.void]:
        """Rows as they were recorded: a structured array (stop - start,) of the spec's layout."""
        first, last, _ = slice(start, stop).indices(len(self))
        rows = np.zeros(max(0, last - first), self.spec.dtype)
        for name in self.spec.fields:
            rows[name] = self.read(name, first, last)
        return rows

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """A field's rows in order, a block (n, *shape) of bounded size at a time."""
        size = max(1, arrays.BLOCK_BYTES // arrays.row_bytes(self.spec[name]))
        return (self.read(name, start, start + size) for start in range(0, len(self), size))

    def digest(self, name: str) -> str:
        """SHA-256 of a field as it is on disk now; compare with the attribute `sha256` of its array. Of an edited
        episode, of the rows that are seen."""
        if self.is_whole:
            return self.parts[0][0].array(name).digest()
        sha = hashlib.sha256()
        for rows in self.blocks(name):
            sha.update(np.ascontiguousarray(rows))
        return sha.hexdigest()

    @property
    def streams(self) -> dict[str, list[str]]:
        """Raw streams beside the rows, which all parts have: name -> columns, the first of them `time` [s]."""
        first, *others = (recording.streams for recording in self.recordings)
        return {name: columns for name, columns in first.items() if all(o.get(name) == columns for o in others)}

    def stream(self, name: str) -> NDArray[np.float64]:
        """The rows of a raw stream (N, columns) that belong to this episode.

        Where rows were cut off at one end, the stream ends there too: with the last row, or after the row before the
        first.
        """
        return np.concatenate([self._stream(name, *part) for part in self.parts])

    def _read_parts(self, name: str, first: int, last: int) -> NDArray[Any]:
        pieces, offset = [], 0
        for recording, begin, end in self.parts:
            start, stop = max(first - offset, 0), min(last - offset, end - begin)
            if start < stop:
                pieces.append(recording.read(name, begin + start, begin + stop))
            offset += end - begin
        field = self.spec[name]
        return np.concatenate(pieces) if pieces else np.empty((0, *field.shape), field.dtype)

    def _stream(self, name: str, recording: Recording, start: int, stop: int) -> NDArray[np.float64]:
        rows = recording.stream(name)
        keep = np.ones(len(rows), bool)
        if start > 0:
            keep &= rows[:, 0] > recording.read("time", start - 1, start)[0]
        if stop < len(recording):
            keep &= rows[:, 0] <= recording.read("time", stop - 1, stop)[0]
        return rows if keep.all() else rows[keep]

    @cached_property
    def seconds(self) -> float:
        """How long it is [s]: rows over their rate."""
        return len(self) / float(self.attrs["rate"])
