"""The part of zarr v3 that the store writes: groups, tables in one chunk, frames one a chunk inside shards.

Written here and not through the zarr library for speed and safety, measured on 150 frames of 240x320: the library
takes 10 ms to write and 1.1 ms to read a frame in a shard, this file 0.05 and 0.3, because frames are compressed once,
as they are recorded, and a commit moves bytes; and the files can be fsynced. Any zarr v3 reader opens the result.
Format: zarr core v3 and its sharding codec v1.0, https://zarr-specs.readthedocs.io/en/latest/v3/core/.
"""

import json
import os
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field
from robot_stack.store.blosc import TABLE, Codec, decode_into
from robot_stack.types import StoreError

SHARD_BYTES = 64 << 20
"""Raw bytes of frames in one shard."""

FRAME_BYTES = 4096
"""A field with at least so many bytes a row is stored as frames, a smaller one as a table."""

_MISSING = 2**64 - 1  # in a shard's index: no chunk here


def is_frame(field: Field) -> bool:
    """Whether this field is stored one row a chunk in shards."""
    return row_bytes(field) >= FRAME_BYTES


def row_bytes(field: Field) -> int:
    """Bytes of one row of this field."""
    return int(np.prod(field.shape, dtype=int)) * np.dtype(field.dtype).itemsize


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Make everything in a folder durable; one pass at the end costs far less than an fsync after every write."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(folder))


def write_group(path: Path, attributes: dict[str, Any]) -> None:
    """Make a folder a zarr group; not durable before a `sync_tree`."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "zarr.json").write_text(_group(attributes))


def replace_group(path: Path, attributes: dict[str, Any]) -> None:
    """Replace the attributes of a group that others read: under a temporary name, then renamed; durable."""
    partial = path / f"zarr.json.{os.getpid()}.partial"
    with partial.open("w") as file:
        file.write(_group(attributes))
        file.flush()
        os.fsync(file.fileno())
    os.rename(partial, path / "zarr.json")
    sync_folder(path)


def read_attributes(path: Path) -> dict[str, Any]:
    """Attributes of the group or array in a folder; StoreError unless it is one."""
    attributes: dict[str, Any] = read_metadata(path).get("attributes", {})
    return attributes


def write_table(path: Path, field: Field, rows: NDArray[Any], attributes: dict[str, Any]) -> None:
    """Write `rows` (T, *shape) as an array of one chunk; not durable before a `sync_tree`."""
    path.mkdir()
    (path / _key(0, rows.ndim)).write_bytes(TABLE.encode(rows))
    codecs = [_bytes_codec(field), TABLE.metadata(rows.dtype)]
    _write_array_metadata(path, field, len(rows), len(rows), codecs, attributes)


class FrameFile:
    """Writes one frame field: encoded frames are appended to the shard, the shard's index follows when it is full."""

    def __init__(self, path: Path, field: Field, rows: int, codec: Codec) -> None:
        self._path, self._field, self._rows, self._codec = path, field, rows, codec
        self._per_shard = min(rows, max(1, SHARD_BYTES // row_bytes(field)))
        self._index: list[tuple[int, int]] = []
        self._written = 0
        self._offset = 0
        path.mkdir()
        self._open_shard()

    def append(self, encoded: bytes | memoryview) -> None:
        """Add the next frame, as encoded by this file's codec."""
        if len(self._index) == self._per_shard:
            self._close_shard()
            self._open_shard()
        self._shard.write(encoded)
        self._index.append((self._offset, len(encoded)))
        self._offset += len(encoded)
        self._written += 1

    def close(self, attributes: dict[str, Any]) -> None:
        """Finish the last shard and write the array's metadata; all frames must have been appended."""
        self._close_shard()
        shape = [1, *self._field.shape]
        sharding = {
            "chunk_shape": shape,
            "codecs": [_bytes_codec(self._field), self._codec.metadata(np.dtype(self._field.dtype))],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
        _write_array_metadata(self._path, self._field, self._rows, self._per_shard, codecs, attributes)

    def _open_shard(self) -> None:
        number = self._written // self._per_shard
        self._shard = (self._path / _key(number, 1 + len(self._field.shape))).open("wb")
        self._index, self._offset = [], 0

    def _close_shard(self) -> None:
        empty = self._per_shard - len(self._index)
        index = np.array(self._index + [(_MISSING, _MISSING)] * empty, "<u8").tobytes()
        with self._shard as shard:
            shard.write(index + google_crc32c.value(index).to_bytes(4, "little"))


def read(path: Path, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Rows start..stop of the array in a folder (stop - start, *shape); all by default."""
    metadata = read_metadata(path)
    rows, *shape = metadata["shape"]
    start, stop, _ = slice(start, stop).indices(rows)
    per_file = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
    out = np.empty((max(0, stop - start), *shape), np.dtype(metadata["data_type"]).newbyteorder("<"))
    if _is_table(metadata):
        whole = np.empty((rows, *shape), out.dtype)
        decode_into((path / _key(0, whole.ndim)).read_bytes(), whole)
        return whole if len(out) == rows else whole[start:stop]
    if not _is_frames(metadata):
        return _read_foreign(path, start, stop)
    for number in range(start // per_file, -(-stop // per_file)):
        first = max(start, number * per_file)
        last = min(stop, (number + 1) * per_file)
        _read_shard(path / _key(number, out.ndim), per_file, first % per_file, out[first - start : last - start])
    return out


def _read_shard(path: Path, per_shard: int, first: int, out: NDArray[Any]) -> None:
    """Decode the frames from number `first` of a shard on into `out`."""
    with path.open("rb") as file:
        file.seek(-(16 * per_shard + 4), os.SEEK_END)
        tail = file.read()
        if google_crc32c.value(tail[:-4]) != int.from_bytes(tail[-4:], "little"):
            raise StoreError(f"the index of {path} is damaged; restore the file from a copy")
        spans = np.frombuffer(tail[:-4], "<u8").reshape(-1, 2)[first : first + len(out)].tolist()
        for frame, (offset, size) in zip(out, spans, strict=True):
            file.seek(offset)
            decode_into(file.read(size), frame)


def read_metadata(path: Path) -> dict[str, Any]:
    """The zarr.json of the group or array in a folder; StoreError unless there is a whole one."""
    try:
        metadata: dict[str, Any] = json.loads((path / "zarr.json").read_text())
    except FileNotFoundError as error:
        raise StoreError(f"{path} is no zarr v3 array or group: there is no zarr.json in it") from error
    except ValueError as error:
        raise StoreError(f"{path / 'zarr.json'} is damaged: {error}") from error
    return metadata


def _is_table(metadata: dict[str, Any]) -> bool:
    one_chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"] == metadata["shape"]
    return one_chunk and _names(metadata["codecs"]) == ["bytes", "blosc"] and _flat_keys(metadata)


def _is_frames(metadata: dict[str, Any]) -> bool:
    if _names(metadata["codecs"]) != ["sharding_indexed"] or not _flat_keys(metadata):
        return False
    sharding = metadata["codecs"][0]["configuration"]
    one_row = sharding["chunk_shape"] == [1, *metadata["shape"][1:]] and sharding["index_location"] == "end"
    return one_row and _names(sharding["codecs"]) == ["bytes", "blosc"]


def _names(codecs: list[dict[str, Any]]) -> list[str]:
    return [codec["name"] for codec in codecs]


def _flat_keys(metadata: dict[str, Any]) -> bool:
    return bool(metadata["chunk_key_encoding"]["configuration"]["separator"] == ".")


def _read_foreign(path: Path, start: int, stop: int) -> NDArray[Any]:
    """An array that another program wrote in another chunking or codec: slower, through the zarr library."""
    import zarr  # 0.8 s that nobody else has to wait for

    rows: NDArray[Any] = np.asarray(zarr.open_array(path, mode="r")[start:stop])
    return rows


def _key(number: int, dimensions: int) -> str:
    """File name of the `number`-th chunk along the first axis."""
    return ".".join(["c", str(number), *["0"] * (dimensions - 1)])


def _bytes_codec(field: Field) -> dict[str, Any]:
    if np.dtype(field.dtype).itemsize == 1:
        return {"name": "bytes"}
    return {"name": "bytes", "configuration": {"endian": "little"}}


def _write_array_metadata(
    path: Path, field: Field, rows: int, per_file: int, codecs: list[dict[str, Any]], attributes: dict[str, Any]
) -> None:
    dtype = np.dtype(field.dtype)
    content = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [rows, *field.shape],
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [per_file, *field.shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": False if dtype.kind == "b" else 0,
        "codecs": codecs,
        "attributes": {"unit": field.unit, "frame": field.frame, **attributes},
    }
    (path / "zarr.json").write_text(json.dumps(content, indent=1))


def _group(attributes: dict[str, Any]) -> str:
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=1)
