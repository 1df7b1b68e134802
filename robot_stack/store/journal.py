"""The journal of an open episode: whole rows, appended as they happen, each with its checksum.

File: the line MAGIC, then records: HEADER (kind u1, payload bytes u4, crc32 u4 of kind, size and payload) and payload.
The first record is HEAD (JSON: see `Head`), then ROWs and blocks of raw STREAMs as they come, then at most one COMMIT
(JSON: the last attributes). A row's payload: its table fields packed in spec order, then a u4 size for each frame
field, then the compressed chunks; a size of 0 where the frame is in the chunk of a row before it. A stream's payload:
its number u1, then rows of float64. Whoever is killed while appending leaves a torn tail that reading stops at.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from robot_stack.clock import now
from robot_stack.spec import Record, Spec
from robot_stack.store import disk
from robot_stack.store.arrays import is_frame
from robot_stack.store.codecs import FrameCodec
from robot_stack.types import ConfigError, StoreError

MAGIC = b"robot-stack journal 2\n"
MAGIC_1 = b"robot-stack journal 1\n"  # its head is the attributes alone
SYNC_PERIOD = 1.0
"""Rows this old are on the disk even if the power fails [s]; a killed process loses none of them."""

_HEADER = struct.Struct("<BII")
_CHECKED = struct.Struct("<BI")


class Kind(IntEnum):
    """What a record of the journal holds."""

    HEAD = 0
    ROW = 1
    COMMIT = 2
    STREAM = 3


@dataclass(frozen=True)
class Head:
    """What is known when an episode is opened. streams: name -> columns. codecs: frame field -> name of its codec.
    salvage: whether its rows are worth keeping without a commit; those of a copy are not, the original is there."""

    attributes: dict[str, Any]
    streams: dict[str, list[str]] = field(default_factory=dict)
    codecs: dict[str, str] = field(default_factory=dict)
    salvage: bool = True


class RowCodec:
    """Rows of one spec to bytes and back. codecs: of each frame field."""

    def __init__(self, spec: Spec, codecs: Mapping[str, FrameCodec]) -> None:
        self.tables = [field.name for field in spec if not is_frame(field)]
        self.frames = [field.name for field in spec if is_frame(field)]
        self.packed = np.dtype([(name, spec[name].dtype, spec[name].shape) for name in self.tables])
        self._codecs = [codecs[name] for name in self.frames]
        self._sizes = struct.Struct(f"<{len(self.frames)}I")

    def encode(self, row: Record, number: int, chunks: Mapping[str, bytes]) -> bytes:
        """The payload of row `number`. chunks: of the fields that come compressed already."""
        table = np.empty((), self.packed)
        table[()] = row[self.tables]
        frames = []
        for name, codec in zip(self.frames, self._codecs, strict=True):
            if number % codec.group:
                frames.append(b"")
            elif name in chunks:
                frames.append(chunks[name])
            elif codec.group == 1:
                frames.append(codec.encode(row[name][None]))
            else:
                raise ConfigError(f"{name} is {codec.name} video: every {codec.group}th row comes with a chunk of it")
        return b"".join([table.tobytes(), self._sizes.pack(*map(len, frames)), *frames])

    def decode(self, payload: bytes) -> tuple[bytes, list[bytes]]:
        """The packed table fields, and the still compressed chunks, of a row's payload."""
        start = self.packed.itemsize + self._sizes.size
        frames = []
        for size in self._sizes.unpack_from(payload, self.packed.itemsize):
            frames.append(payload[start : start + size])
            start += size
        return payload[: self.packed.itemsize], frames


class JournalWriter:
    """Appends records; a thread of its own makes them durable about once a second, so that appending never waits."""

    def __init__(self, path: Path, head: Head) -> None:
        self._file = path.open("xb", buffering=0)
        self._size = 0
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._syncing: Future[None] | None = None
        self._synced = now()
        try:
            self._write(MAGIC)
            self.append(Kind.HEAD, json.dumps(asdict(head)).encode())
        except StoreError:
            self._file.close()
            raise

    def append(self, kind: Kind, payload: bytes) -> None:
        """Add a record, whole or not at all."""
        crc = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(kind, len(payload))))
        self._write(_HEADER.pack(kind, len(payload), crc) + payload)
        if now() - self._synced > SYNC_PERIOD and (self._syncing is None or self._syncing.done()):
            self._check_disk()
            self._syncing = self._disk.submit(os.fdatasync, self._file.fileno())
            self._synced = now()

    @property
    def is_open(self) -> bool:
        """Whether records can still be appended."""
        return not self._file.closed

    def close(self) -> None:
        """Make everything durable and close the file; may be called more than once."""
        self._disk.shutdown()
        if not self.is_open:
            return
        with self._file:
            self._check_disk()
            os.fsync(self._file.fileno())

    def _check_disk(self) -> None:
        try:
            if self._syncing is not None:
                self._syncing.result()  # raises here what failed in the thread
        except OSError as error:
            raise StoreError(
                f"{self._file.name} cannot be made durable: {error.strerror}; stop recording and look at the disk"
            ) from error

    def _write(self, content: bytes) -> None:
        try:
            disk.append_whole(self._file, content, self._size)
        except OSError as error:
            raise StoreError(
                f"cannot record to {self._file.name}: {error.strerror}; all rows before are safe. Make room or mend "
                "the disk, then go on"
            ) from error
        self._size += len(content)


@dataclass(frozen=True)
class Contents:
    """What a journal holds: its head (None: killed before), whole rows, rows of each stream, its commit (None: never),
    the bytes of a torn tail, and whether there is damage: a record that is all there, but is not what was written."""

    head: Head | None
    rows: int
    streams: dict[str, int]
    commit: dict[str, Any] | None
    torn: int
    damaged: bool


def scan(path: Path) -> Contents:
    """Go through a journal once, checking every record."""
    found: dict[Kind, bytes] = {}
    head: Head | None = None
    streams: dict[str, int] = {}
    rows, end = 0, 0
    reader = _Reader(path)
    for kind, payload in reader:
        rows += kind is Kind.ROW
        end = reader.position
        if kind is Kind.HEAD:
            head = _head(payload, reader.magic)
            streams = dict.fromkeys(head.streams, 0)
        elif kind is Kind.STREAM and head is not None:
            name = list(streams)[payload[0]]
            streams[name] += len(payload) // (8 * len(head.streams[name]))
        found[kind] = payload
    commit = json.loads(found[Kind.COMMIT]) if Kind.COMMIT in found else None
    return Contents(head, rows, streams, commit, reader.size - end, reader.damaged)


def records(path: Path) -> Iterator[tuple[Kind, bytes]]:
    """The whole records of a journal, in order: kind and payload."""
    return iter(_Reader(path))


def stream_payload(number: int, values: NDArray[np.float64]) -> bytes:
    """The payload of rows (n, columns) of the stream of that number."""
    return bytes([number]) + np.ascontiguousarray(values, "<f8").tobytes()


def stream_values(payload: bytes, columns: int) -> NDArray[np.float64]:
    """The inverse of `stream_payload`, without the number."""
    return np.frombuffer(payload, "<f8", offset=1).reshape(-1, columns)


class _Reader:
    """The whole records of a journal; after the last one, `damaged` says why it ended there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        self.position = 0
        self.damaged = False
        self.magic = b""

    def __iter__(self) -> Iterator[tuple[Kind, bytes]]:
        with self._path.open("rb") as file:
            self.magic = file.read(len(MAGIC))
            if self.magic not in (MAGIC, MAGIC_1):
                self.damaged = len(self.magic) == len(MAGIC)
                return
            self.position = file.tell()
            while record := self._read(file):
                self.position = file.tell()
                yield record

    def _read(self, file: BinaryIO) -> tuple[Kind, bytes] | None:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        kind, length, crc = _HEADER.unpack(header)
        if length > self.size - file.tell():
            self.damaged = kind not in list(Kind)
            return None
        payload = file.read(length)
        if zlib.crc32(payload, zlib.crc32(_CHECKED.pack(kind, length))) != crc:
            self.damaged = True
            return None
        return Kind(kind), payload


def _head(payload: bytes, magic: bytes) -> Head:
    content = json.loads(payload)
    return Head(content) if magic == MAGIC_1 else Head(**content)
