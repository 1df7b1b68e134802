"""Writes replay buffers as diffusion_policy does: zarr v2, `data/<name>` and `meta/episode_ends`, a folder or a .zip.

Every field is an array of its own, so that nothing is lost; PushT and UMI get their own names (`replay_layout`), and
`action` is made of the fields asked for. Compressor and chunks: `resolve_compressor("disk")` and `get_optimal_chunks`
of `diffusion_policy/common/replay_buffer.py`; https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html.
"""

import math
import os
import shutil
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from zipfile import ZIP_STORED, ZipFile

import numcodecs
import numpy as np
import zarr

from robot_stack.store.episode import Episode
from robot_stack.store.formats.action import action_fields
from robot_stack.store.formats.diffusion_policy import ReplayBuffer
from robot_stack.store.formats.exporting import compare, compare_with
from robot_stack.store.formats.replay_layout import Packed, arrays_of
from robot_stack.store.formats.sidecar import Sidecar
from robot_stack.store.formats.zarr_shelf import ZarrShelf
from robot_stack.store.store import Store

_CHUNK_BYTES = 2e6  # as in diffusion_policy
_CHUNK_ROWS = 1024  # at most, because each episode rewrites the chunk that the one before ended in
_BLOCK_BYTES = 32 << 20  # of rows in memory at a time
_ENDS = "meta/episode_ends"


class ReplayBufferExport:
    """A replay buffer that is being written.

    action: fields that make up the array `action`; None for target.pose and target.grip.
    """

    def __init__(self, place: Path, store: Store, action: Iterable[str] | None = None) -> None:
        self.warnings: list[str] = []
        self._place, self._store = place, store
        # A killed .zip is lost whole, so a folder grows first, and is packed in the end.
        self._folder = place.with_name(f"{place.name}.folder") if place.suffix == ".zip" else place
        plain = arrays_of(store.spec, ())
        fields = action_fields(store.spec, action, "action", {array.name for array in plain})
        self._arrays = arrays_of(store.spec, fields)
        self._made = self._arrays[len(plain) :]
        if "action" not in {array.name for array in self._arrays}:
            self.warnings.append("there is no array action, which diffusion_policy trains on: say action=[field,…]")

    def done(self) -> int:
        """Episodes counted in `meta/episode_ends`; the buffer is begun when there is none."""
        if not (self._folder / _ENDS / ".zarray").exists():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._begin()
        ends = np.asarray(self._ends)
        # Killed while the array grew, its last number is still the 0 that it is filled with.
        return len(ends) - (len(ends) > 0 and not ends[-1])

    def write(self, number: int, episode: Episode) -> None:
        """Add an episode; it counts when its end is written, last."""
        start = int(np.asarray(self._ends[number - 1])) if number else 0
        stop = start + len(episode)
        size = max(1, _BLOCK_BYTES // self._store.spec.dtype.itemsize)
        with zarr.config.set({"array.write_empty_chunks": True}):
            for array in self._arrays:
                self._array(f"data/{array.name}").resize((stop, *array.shape))
            for at in range(start, stop, size):
                rows: Any = episode.rows(at - start, at - start + size)
                for array in self._arrays:
                    self._array(f"data/{array.name}")[at : at + len(rows)] = array.pack(rows)
            Sidecar(self._shelf).add(number, episode)
            self._ends.resize((number + 1,))
            self._ends[number] = stop

    def close(self) -> None:
        """Pack the .zip, if it is to be one."""
        if self._folder != self._place:
            _pack(self._folder, self._place)

    def check(self, number: int, episode: Episode) -> None:
        """Every array and the sidecar, read as an import does; and `action`, which an import passes over."""
        compare_with(self._written, number, episode)
        for array in self._made:
            wanted = array.pack({field.name: episode[field.name] for field in array.fields})
            compare(episode.id, array.name, wanted, self._written.read(array, number))

    @cached_property
    def _root(self) -> zarr.Group:
        return zarr.open_group(self._folder, mode="r+", zarr_format=2)

    @cached_property
    def _shelf(self) -> ZarrShelf:
        return ZarrShelf(self._root)

    @cached_property
    def _ends(self) -> "zarr.Array[Any]":
        return self._array(_ENDS)

    @cached_property
    def _written(self) -> ReplayBuffer:
        return ReplayBuffer(self._place)

    def _array(self, path: str) -> "zarr.Array[Any]":
        return cast("zarr.Array[Any]", self._root[path])

    def _begin(self) -> None:
        zarr.create_group(self._folder, zarr_format=2)
        for array in self._arrays:
            self._make(f"data/{array.name}", array.shape, array.dtype, _chunk_rows(array))
        layout = [{"name": a.name, "fields": [f.name for f in a.fields], "dtype": a.dtype} for a in self._arrays]
        Sidecar.begin(self._shelf, self._store, {"arrays": layout})
        self._make(_ENDS, (), "<i8", _CHUNK_ROWS)  # last: an export without it is begun anew

    def _make(self, path: str, shape: tuple[int, ...], dtype: str, rows: int) -> None:
        compressor = numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.BITSHUFFLE)
        zeros = np.zeros((), dtype)[()]
        chunks = (rows, *shape)
        self._root.create_array(
            path, shape=(0, *shape), chunks=chunks, dtype=dtype, compressors=compressor, fill_value=zeros
        )


def _chunk_rows(array: Packed) -> int:
    bytes_a_row = int(np.prod(array.shape, dtype=int)) * np.dtype(array.dtype).itemsize
    return min(_CHUNK_ROWS, math.ceil(_CHUNK_BYTES / bytes_a_row))


def _pack(folder: Path, place: Path) -> None:
    """Put a folder into a .zip, not compressed once more; whole or not at all."""
    partial = place.with_name(f"{place.name}.partial")
    with ZipFile(partial, "w", ZIP_STORED) as file:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            file.write(path, path.relative_to(folder))
    os.rename(partial, place)
