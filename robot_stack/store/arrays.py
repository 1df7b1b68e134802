"""The part of zarr v3 that the store writes and reads itself: groups, tables, and frames in shards.

Written here and not through the zarr library for speed and safety, measured on 150 frames of 240x320: the library
takes 10 ms to write and 1.1 ms to read a frame in a shard, this file 0.05 and 0.3, because frames are compressed once,
as they are recorded, and a commit moves bytes; and the files can be fsynced. Any zarr v3 reader opens the result.
Format: zarr core v3 and its sharding codec v1.0, https://zarr-specs.readthedocs.io/en/latest/v3/core/.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field
from robot_stack.store import disk
from robot_stack.store.codecs import FrameCodec, from_metadata
from robot_stack.store.codecs.lossless import TABLE, bytes_metadata, decode_into
from robot_stack.store.folder import Folder
from robot_stack.types import StoreError

SHARD_BYTES = 512 << 20
"""Raw bytes of frames in one shard: reading seeks in it, so that it may be long; fewer files."""

FRAME_BYTES = 4096
"""A field with at least so many bytes a row is stored as frames, a smaller one as a table."""

TABLE_ROWS = 1 << 16
"""Rows in one chunk of a table: all of an episode; an hour of an arm at its full rate in 28 chunks."""

BLOCK_BYTES = 32 << 20
"""Memory for one pass over a long field."""

_MISSING = 2**64 - 1  # in a shard's index: no chunk here


class CodecError(StoreError):
    """An array in a codec that is not installed here: what is on disk may be whole."""


def is_frame(field: Field) -> bool:
    """Whether this field is stored as frames in shards."""
    return row_bytes(field) >= FRAME_BYTES


def row_bytes(field: Field) -> int:
    """Bytes of one row of this field."""
    return int(np.prod(field.shape, dtype=int)) * np.dtype(field.dtype).itemsize


def write_group(path: Path, attributes: dict[str, Any]) -> None:
    """Make a new folder a zarr group; not durable before a `disk.sync_tree`."""
    disk.make(path)
    finish_group(path, attributes)


def finish_group(path: Path, attributes: dict[str, Any]) -> None:
    """Make a folder a zarr group once everything in it is written; not durable before a `disk.sync_tree`."""
    disk.write(path / "zarr.json", _group(attributes))


def replace_group(path: Path, attributes: dict[str, Any]) -> None:
    """Replace the attributes of a group that others may read now; durable."""
    disk.replace(path / "zarr.json", _group(attributes))


def read_attributes(path: Folder) -> dict[str, Any]:
    """Attributes of the group or array in a folder; StoreError unless it is one."""
    attributes: dict[str, Any] = read_metadata(path).get("attributes", {})
    return attributes


def read_metadata(path: Folder) -> dict[str, Any]:
    """The zarr.json of the group or array in a folder; StoreError unless there is a whole one."""
    try:
        metadata = json.loads((path / "zarr.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"{path} is no zarr v3 array or group: there is no zarr.json in it") from error
    except ValueError as error:
        raise StoreError(f"{path / 'zarr.json'} is damaged: {error}") from error
    if not isinstance(metadata, dict):
        raise StoreError(f"{path / 'zarr.json'} is damaged: it holds no object")
    return metadata


def write_drawer(path: Path, holds: str) -> None:
    """Make a new folder for files that are not zarr: an empty array, in which no zarr reader looks for members."""
    disk.make(path)
    _write_metadata(path, Field("", dtype="u1"), 0, 1, [{"name": "bytes"}], {"holds": holds})


class TableFile:
    """Writes one array of small rows, given in blocks; not durable before a `disk.sync_tree`. Rows are hashed."""

    def __init__(self, path: Path, field: Field, rows: int) -> None:
        self._path, self._field, self._rows = path, field, rows
        self._per_chunk = min(rows, TABLE_ROWS)
        self._chunk = np.zeros((self._per_chunk, *field.shape), field.dtype)
        self._filled = 0
        self._chunks = 0
        self.sha256 = hashlib.sha256()
        disk.make(path)

    def append(self, rows: NDArray[Any]) -> None:
        """Add the next rows (n, *shape)."""
        self.sha256.update(np.ascontiguousarray(rows))
        while len(rows):
            some = rows[: self._per_chunk - self._filled]
            self._chunk[self._filled : self._filled + len(some)] = some
            self._filled += len(some)
            rows = rows[len(some) :]
            if self._filled == self._per_chunk:
                self._write()

    def close(self, attributes: dict[str, Any]) -> str:
        """Write what is left and the metadata; all rows must have been appended. Returns the digest."""
        if self._filled:
            self._chunk[self._filled :] = 0
            self._write()
        dtype = np.dtype(self._field.dtype)
        codecs = [bytes_metadata(dtype), TABLE.metadata(dtype)]
        digest = self.sha256.hexdigest()
        attributes = {"sha256": digest, **attributes}
        _write_metadata(self._path, self._field, self._rows, max(1, self._per_chunk), codecs, attributes)
        return digest

    def _write(self) -> None:
        disk.write(self._path / _key(self._chunks, self._chunk.ndim), TABLE.encode(self._chunk))
        self._chunks += 1
        self._filled = 0


class FrameFile:
    """Writes one frame field: compressed chunks are appended to a shard, the shard's index follows when it is full.

    What it hashes is what was recorded: of a lossless codec the frames, which the caller gives to `sha256`; of a lossy
    one the chunks, because two decoders may differ in the last bit of a pixel.
    """

    def __init__(self, path: Path, field: Field, rows: int, codec: FrameCodec) -> None:
        self._path, self._field, self._rows, self._codec = path, field, rows, codec
        chunk_bytes = row_bytes(field) * codec.group
        self._per_shard = min(-(-rows // codec.group), max(1, SHARD_BYTES // chunk_bytes))  # chunks
        self._index: list[tuple[int, int]] = []
        self._shards = 0
        self._offset = 0
        self.sha256 = hashlib.sha256()
        disk.make(path)

    def append(self, chunk: bytes | memoryview) -> None:
        """Add the next chunk, as compressed by this file's codec."""
        if len(self._index) == self._per_shard:
            self._close_shard()
        disk.extend(self._shard, chunk)
        if not self._codec.lossless:
            self.sha256.update(chunk)
        self._index.append((self._offset, len(chunk)))
        self._offset += len(chunk)

    def close(self, attributes: dict[str, Any]) -> str:
        """Finish the last shard and write the metadata; all chunks must have been appended. Returns the digest."""
        self._close_shard()
        sharding = {
            "chunk_shape": [self._codec.group, *self._field.shape],
            "codecs": self._codec.metadata(self._field),
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
        digest = self.sha256.hexdigest()
        per_shard = self._per_shard * self._codec.group
        _write_metadata(self._path, self._field, self._rows, per_shard, codecs, {"sha256": digest, **attributes})
        return digest

    @property
    def _shard(self) -> Path:
        return self._path / _key(self._shards, 1 + len(self._field.shape))

    def _close_shard(self) -> None:
        empty = self._per_shard - len(self._index)
        index = np.array(self._index + [(_MISSING, _MISSING)] * empty, "<u8").tobytes()
        disk.extend(self._shard, index + google_crc32c.value(index).to_bytes(4, "little"))
        self._index, self._offset = [], 0
        self._shards += 1


class Array:
    """An array that the store or somebody else wrote, opened for reading. Holds no open file: may be pickled."""

    def __init__(self, path: Folder) -> None:
        self.path = path
        try:
            metadata = read_metadata(path)
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise _missing(path) from error
            raise
        try:
            self.shape = tuple(int(size) for size in metadata["shape"])
            self.dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
            self.attributes: dict[str, Any] = metadata.get("attributes", {})
            self._per_file = int(metadata["chunk_grid"]["configuration"]["chunk_shape"][0])
            self._is_table = _is_table(metadata)
            self.codec = None if self._is_table else _frame_codec(metadata, self.dtype)
            self._codecs = _all_names(metadata["codecs"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StoreError(f"{path} is no zarr v3 array that can be read here: {error!r}") from error
        self._indices: dict[int, NDArray[np.uint64]] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows start..stop (stop - start, *shape); all by default. Nothing outside is decoded but whole chunks."""
        start, stop, _ = slice(start, stop).indices(len(self))
        if not self._is_table and self.codec is None:
            return self._read_foreign(start, stop)
        out = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        for number in range(start // self._per_file, -(-stop // self._per_file) if len(out) else 0):
            first = max(start, number * self._per_file)
            last = min(stop, (number + 1) * self._per_file)
            self._read_file(number, first % self._per_file, out[first - start : last - start])
        return out

    def blocks(self) -> Iterator[NDArray[Any]]:
        """All rows in order, a block (n, *shape) of bounded size at a time."""
        size = max(1, BLOCK_BYTES // self._row_bytes)
        if self.codec is not None:
            size = -(-size // self.codec.group) * self.codec.group
        return (self.read(start, start + size) for start in range(0, len(self), size))

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """The compressed chunks start..stop of frames, in order."""
        assert self.codec is not None
        group, per_file = self.codec.group, self._per_file // self.codec.group
        start, stop, _ = slice(start, stop).indices(-(-len(self) // group))
        for number in range(start // per_file, -(-stop // per_file)):
            first = max(start, number * per_file)
            last = min(stop, (number + 1) * per_file)
            for some in range(first, last, per_read := max(1, BLOCK_BYTES // (group * self._row_bytes))):
                yield from self._chunks(
                    number, some - number * per_file, min(last, some + per_read) - number * per_file
                )

    def digest(self) -> str:
        """What the attribute `sha256` should be, from what is on disk now: of the rows, or of lossy chunks."""
        sha = hashlib.sha256()
        if self.codec is not None and not self.codec.lossless:
            for chunk in self.chunks():
                sha.update(chunk)
        else:
            for rows in self.blocks():
                sha.update(np.ascontiguousarray(rows))
        return sha.hexdigest()

    @property
    def _row_bytes(self) -> int:
        size: int = int(np.prod(self.shape[1:], dtype=int)) * self.dtype.itemsize
        return max(1, size)

    def _rows_in(self, number: int) -> int:
        """Rows in file `number`."""
        return min(len(self), (number + 1) * self._per_file) - number * self._per_file

    def _read_file(self, number: int, first: int, out: NDArray[Any]) -> None:
        if self.codec is None:
            whole = np.empty((self._per_file, *self.shape[1:]), self.dtype)
            content = self._content(number)
            try:
                decode_into(content, whole)
            except StoreError as error:
                raise self._damaged(number, 0, error) from error
            out[:] = whole[first : first + len(out)]
            return
        group, done = self.codec.group, 0
        chunks = self._chunks(number, first // group, -(-(first + len(out)) // group))
        for chunk in chunks:
            skip = (first + done) % group
            last = min(len(out), done + group - skip)
            try:
                self.codec.decode_into(chunk, out[done:last], skip)
            except StoreError as error:
                raise self._damaged(number, first + done, error) from error
            done = last

    def _content(self, number: int) -> bytes:
        path = self._file(number)
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise self._gone(path) from error

    def _chunks(self, number: int, start: int, stop: int) -> list[memoryview]:
        """The compressed chunks start..stop of a shard: they lie side by side, so that one read brings them all."""
        path = self._file(number)
        try:
            with path.open("rb", 0) as file:
                index = self._index(number, file)[start:stop]
                first, end = int(index[0, 0]), int(index[-1].sum())
                file.seek(first)
                content = memoryview(file.read(end - first))
        except FileNotFoundError as error:
            raise self._gone(path) from error
        if len(content) != end - first:
            raise StoreError(f"{path} is cut short; restore it from a copy")
        return [content[offset - first : offset - first + size] for offset, size in index.tolist()]

    def _index(self, number: int, file: Any) -> NDArray[np.uint64]:
        """Where the chunks of a shard lie: (chunks, 2), offset and size [B]."""
        if number not in self._indices:
            assert self.codec is not None
            per_shard = self._per_file // self.codec.group
            size = file.seek(0, 2)
            file.seek(max(0, size - (16 * per_shard + 4)))
            tail = file.read()
            if len(tail) < 20 or google_crc32c.value(tail[:-4]) != int.from_bytes(tail[-4:], "little"):
                raise StoreError(f"the index of {self._file(number)} is damaged; restore the file from a copy")
            index = np.frombuffer(tail[:-4], "<u8").reshape(-1, 2)[: -(-self._rows_in(number) // self.codec.group)]
            if (index == _MISSING).any() or (index.sum(axis=1) > size).any() or (np.diff(index[:, 0]) <= 0).any():
                raise StoreError(f"the index of {self._file(number)} names chunks that are not there; restore the file")
            self._indices[number] = index
        return self._indices[number]

    def _file(self, number: int) -> Folder:
        return self.path / _key(number, len(self.shape))

    def _gone(self, path: Folder) -> StoreError:
        return _missing(path)

    def _damaged(self, number: int, row: int, error: StoreError) -> StoreError:
        """What a codec said of a chunk, and where that is: it begins with, or holds, row `row` of file `number`."""
        return StoreError(
            f"{self._file(number)}, row {number * self._per_file + row}: {error}; restore the file from a copy, or "
            "hide its episode with `robot-stack data check --fix`"
        )

    def _read_foreign(self, start: int, stop: int) -> NDArray[Any]:
        """An array that another program wrote in another chunking or codec: slower, through the zarr library."""
        import zarr  # 0.8 s that nobody else has to wait for

        if not isinstance(self.path, Path):
            raise StoreError(f"{self.path} is in a codec that is not read from afar; copy the store to this machine")
        try:
            rows: NDArray[Any] = np.asarray(zarr.open_array(self.path, mode="r")[start:stop])
        except (zarr.errors.UnknownCodecError, ImportError) as error:
            raise CodecError(
                f"{self.path} is in {', '.join(self._codecs)}, of which this machine lacks one: install the Python "
                "package that brings it to the zarr library, then read again"
            ) from error
        except (KeyError, ValueError, RuntimeError) as error:
            raise StoreError(f"{self.path} cannot be read: {error}; restore it from a copy") from error
        return rows


def _missing(path: Folder) -> StoreError:
    """Of an episode that was opened before `data compact` replaced it, or of a damaged store."""
    return StoreError(
        f"{path} is missing: if `robot-stack data compact` has run since this episode was opened, open it again; "
        "if not, restore it from a copy"
    )


def _is_table(metadata: dict[str, Any]) -> bool:
    chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    return chunk[1:] == metadata["shape"][1:] and _names(metadata["codecs"]) == ["bytes", "blosc"] and _flat(metadata)


def _frame_codec(metadata: dict[str, Any], dtype: np.dtype[Any]) -> FrameCodec | None:
    """The codec of frames laid out as the store does it; None for anything else."""
    if _names(metadata["codecs"]) != ["sharding_indexed"] or not _flat(metadata):
        return None
    sharding = metadata["codecs"][0]["configuration"]
    chunk = sharding["chunk_shape"]
    index_codecs = _names(sharding["index_codecs"])
    if chunk[1:] != metadata["shape"][1:] or sharding["index_location"] != "end" or index_codecs != ["bytes", "crc32c"]:
        return None
    return from_metadata(sharding["codecs"], tuple(chunk), dtype)


def _names(codecs: list[dict[str, Any]]) -> list[str]:
    return [codec["name"] for codec in codecs]


def _all_names(codecs: list[dict[str, Any]]) -> list[str]:
    """Of the codecs of an array, and of those inside its shards."""
    inner = [one for codec in codecs for one in codec.get("configuration", {}).get("codecs", [])]
    return _names([*codecs, *inner])


def _flat(metadata: dict[str, Any]) -> bool:
    return bool(metadata["chunk_key_encoding"].get("configuration", {}).get("separator") == ".")


def _key(number: int, dimensions: int) -> str:
    """File name of the `number`-th chunk along the first axis."""
    return ".".join(["c", str(number), *["0"] * (dimensions - 1)])


def _write_metadata(
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
    disk.write(path / "zarr.json", json.dumps(content, indent=1).encode())


def _group(attributes: dict[str, Any]) -> bytes:
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=1).encode()
