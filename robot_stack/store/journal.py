"""The journal of an open episode: whole rows, appended as they happen, each with its checksum.

File: the line MAGIC, then records: HEADER (kind u1, payload bytes u4, crc32 u4 of kind, size and payload) and payload.
The first record is HEAD (JSON: attributes), then ROWs, then at most one COMMIT (JSON: the last attributes).
A row's payload: its table fields packed in spec order, then a u4 size for each frame field, then the encoded frames.
Whoever is killed while appending leaves a torn tail that reading stops at.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from robot_stack.clock import now
from robot_stack.spec import Record, Spec
from robot_stack.store.arrays import is_frame
from robot_stack.store.blosc import Codec
from robot_stack.types import StoreError

MAGIC = b"robot-stack journal 1\n"
SYNC_PERIOD = 1.0
"""Rows this old are on the disk even if the power fails [s]; a killed process loses none of them."""

_HEADER = struct.Struct("<BII")
_CHECKED = struct.Struct("<BI")


class Kind(IntEnum):
    """What a record of the journal holds."""

    HEAD = 0
    ROW = 1
    COMMIT = 2


class RowCodec:
    """Rows of one spec to bytes and back."""

    def __init__(self, spec: Spec, codec: Codec) -> None:
        self.tables = [field.name for field in spec if not is_frame(field)]
        self.frames = [field.name for field in spec if is_frame(field)]
        self.packed = np.dtype([(name, spec[name].dtype, spec[name].shape) for name in self.tables])
        self._codec = codec
        self._sizes = struct.Struct(f"<{len(self.frames)}I")

    def encode(self, row: Record) -> bytes:
        """The payload of one row."""
        table = np.empty((), self.packed)
        table[()] = row[self.tables]
        frames = [self._codec.encode(row[name]) for name in self.frames]
        return b"".join([table.tobytes(), self._sizes.pack(*map(len, frames)), *frames])

    def decode(self, payload: bytes) -> tuple[bytes, list[bytes]]:
        """The packed table fields, and the still encoded frames, of a row's payload."""
        start = self.packed.itemsize + self._sizes.size
        frames = []
        for size in self._sizes.unpack_from(payload, self.packed.itemsize):
            frames.append(payload[start : start + size])
            start += size
        return payload[: self.packed.itemsize], frames


class JournalWriter:
    """Appends records; a thread of its own makes them durable about once a second, so that appending never waits."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self._file = path.open("xb", buffering=0)
        self._size = 0
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._syncing: Future[None] | None = None
        self._synced = now()
        self._write(MAGIC)
        self.append(Kind.HEAD, json.dumps(head).encode())

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
        if self._syncing is not None:
            self._syncing.result()  # raises here what failed in the thread

    def _write(self, content: bytes) -> None:
        try:
            written = 0
            while written < len(content):
                written += self._file.write(content[written:])
        except OSError as error:
            self._file.truncate(self._size)
            self._file.seek(self._size)
            raise StoreError(
                f"cannot record to {self._file.name}: {error.strerror}; all rows before are safe"
            ) from error
        self._size += len(content)


@dataclass(frozen=True)
class Contents:
    """What a journal holds: its first attributes (None: killed before), whole rows, its commit (None: never), and the
    bytes of a torn tail."""

    head: dict[str, Any] | None
    rows: int
    commit: dict[str, Any] | None
    torn: int


def scan(path: Path) -> Contents:
    """Go through a journal once, checking every record."""
    found: dict[Kind, bytes] = {}
    rows, torn = 0, path.stat().st_size
    for kind, payload, rest in _records(path):
        rows += kind is Kind.ROW
        found[kind] = payload
        torn = rest
    head, commit = (json.loads(found[kind]) if kind in found else None for kind in (Kind.HEAD, Kind.COMMIT))
    return Contents(head, rows, commit, torn)


def read_rows(path: Path) -> Iterator[bytes]:
    """Payloads of the whole rows of a journal, in order."""
    return (payload for kind, payload, _ in _records(path) if kind is Kind.ROW)


def _records(path: Path) -> Iterator[tuple[Kind, bytes, int]]:
    """Each whole record: its kind, its payload, and the bytes that follow it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        while record := _read_record(file, size):
            yield *record, size - file.tell()


def _read_record(file: BinaryIO, size: int) -> tuple[Kind, bytes] | None:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    kind, length, crc = _HEADER.unpack(header)
    if length > size - file.tell():
        return None
    payload = file.read(length)
    if zlib.crc32(payload, zlib.crc32(_CHECKED.pack(kind, length))) != crc:
        return None
    return Kind(kind), payload
