"""Reading one committed episode."""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Spec
from robot_stack.store import arrays

_BLOCK_BYTES = 32 << 20  # memory for one pass over a long field


class Episode:
    """One recorded episode: a zarr group with one array a field, one row a step."""

    def __init__(self, path: Path, spec: Spec) -> None:
        self.path = path
        self.id = path.name
        self.spec = spec

    def __repr__(self) -> str:
        return f"Episode({self.id!r}, {len(self)} rows, {self.attrs['verdict']})"

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """Task, operator, verdict and the rest; see FORMAT.md."""
        return arrays.read_attributes(self.path)

    def __len__(self) -> int:
        return int(self.attrs["rows"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """All rows of a field (T, *shape)."""
        return self.read(name)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows start..stop of a field (stop - start, *shape); frames outside are not decoded."""
        return arrays.read(self.path / self.spec[name].name, start, stop)

    def rows(self, start: int = 0, stop: int | None = None) -> NDArray[np.void]:
        """Rows as they were recorded: a structured array (stop - start,) of the spec's layout."""
        first, last, _ = slice(start, stop).indices(len(self))
        rows = np.zeros(max(0, last - first), self.spec.dtype)
        for name in self.spec.fields:
            rows[name] = self.read(name, first, last)
        return rows

    def digest(self, name: str) -> str:
        """SHA-256 of a field's bytes as they are on disk now; compare with the attribute `sha256` of its array."""
        sha = hashlib.sha256()
        for rows in self.blocks(name):
            sha.update(np.ascontiguousarray(rows))
        return sha.hexdigest()

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """A field's rows in order, a block (n, *shape) of bounded size at a time."""
        size = max(1, _BLOCK_BYTES // arrays.row_bytes(self.spec[name]))
        return (self.read(name, start, start + size) for start in range(0, len(self), size))


def content_hash(spec: Spec, digests: dict[str, str]) -> str:
    """The hash of an episode: SHA-256 over the spec's JSON and a line `name digest` a field, in the spec's order."""
    lines = [f"{name} {digests[name]}\n" for name in spec.fields]
    return hashlib.sha256((spec.to_json() + "\n" + "".join(lines)).encode()).hexdigest()
