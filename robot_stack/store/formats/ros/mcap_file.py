"""Reads MCAP files front to back, whole or cut, and finds a message again by its place.

Written here because the libraries refuse what people have: rosbags opens no file without a footer (a recorder that
was killed), and mcap reads such a file but cannot find a message again without the index at its end.
Format: https://mcap.dev/spec. A record is an opcode (1 byte), a length (8 bytes) and its content, all little-endian.
"""

import struct
from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from robot_stack.store.formats.ros.bag import Message, Place, Topic, need_rosbags
from robot_stack.types import StoreError

MAGIC = b"\x89MCAP0\r\n"
CACHE = 64 << 20
"""Decompressed chunks kept for `read` [bytes]; the newest is always kept."""

LONGEST = 1 << 30
"""A longer record is taken for a damaged length, of which no more than this is read [bytes]."""

LAST = 2**62
"""No message was received after this [ns]: in the year 2116."""

_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _STATISTICS, _DATA_END, _FOOTER = 0x03, 0x04, 0x05, 0x06, 0x0B, 0x0F, 0x02
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time [ns]
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last log time [ns], bytes decompressed, their CRC-32 or 0
_FOOTER_BYTES = _RECORD.size + 20 + len(MAGIC)


class _Record(NamedTuple):
    position: int
    opcode: int
    content: memoryview


class McapFile:
    """One MCAP file."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.warnings: list[str] = []
        self._path = path
        self._opened: BinaryIO | None = None
        self._torn = 0
        self._size = path.stat().st_size
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._channels: dict[int, Topic] = {}
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._whole = self._size > len(MAGIC) + _FOOTER_BYTES and self._end() == MAGIC
        self.close()

    def topics(self) -> dict[str, Topic]:
        """From the summary at the end of the file, or, where there is none, by reading all of it."""
        if not (self._whole and self._read_summary()):
            self._count()
        if not self._channels:
            raise StoreError(f"{self.name} has no topics in it: nothing was recorded, or it was cut at its beginning")
        topics: dict[str, Topic] = {}
        for channel in self._channels.values():
            known = topics.setdefault(channel.name, channel)
            if known is not channel:  # several publishers
                _merge(known, channel, self.name)
        return topics

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """The messages of these topics, with all of their bytes."""
        self.warnings.clear()
        self._torn = 0
        for record, place in self._inner():
            if (found := self._take(record)) and found[0].name in topics:
                yield Message(found[0].name, found[1], record.content[_MESSAGE_HEAD.size :], place)
        if self._torn:
            self.warnings.append(f"{self.name}: {self._torn} damaged records are left out")

    def read(self, place: Place) -> memoryview:
        """The encoded message there; chunks are kept, so that going on near by is cheap."""
        if place.inside < 0:
            return self._at(place.at)[_MESSAGE_HEAD.size :]
        chunk = self._chunks.get(place.at)
        if chunk is None:
            chunk = self._chunks[place.at] = self._chunk(place.at, self._at(place.at))
            while len(self._chunks) > 1 and sum(map(len, self._chunks.values())) > CACHE:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(place.at)
        _, length = _RECORD.unpack_from(chunk, place.inside)
        start = place.inside + _RECORD.size
        return memoryview(chunk)[start + _MESSAGE_HEAD.size : start + length]

    def close(self) -> None:
        """Let go of the file, until the next time that it is read."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None
        self._chunks.clear()

    @property
    def _file(self) -> BinaryIO:
        if self._opened is None:
            self._opened = self._path.open("rb")
        return self._opened

    def _inner(self) -> Iterator[tuple[_Record, Place]]:
        """All records, those in chunks one by one, with their places."""
        for record in self._records():
            if record.opcode == _CHUNK:
                for inner in _records(self._chunk(record.position, record.content, told=True)):
                    yield inner, Place(record.position, inner.position)
            else:
                yield record, Place(record.position, -1)

    def _take(self, record: _Record) -> tuple[Topic, int] | None:
        """The topic of a message and when it was received [ns]; None of another record, which is noted."""
        try:
            if record.opcode != _MESSAGE:
                self._note(record)
                return None
            channel, _, received, _ = _MESSAGE_HEAD.unpack_from(record.content)
        except struct.error:
            self._torn += 1
            return None
        if channel not in self._channels or received > LAST:
            self._torn += 1
            return None
        return self._channels[channel], received

    def _records(self) -> Iterator[_Record]:
        """The records up to the end of the data, or up to where the file was cut."""
        position = len(MAGIC)
        while position + _RECORD.size <= self._size:
            self._file.seek(position)
            opcode, length = _RECORD.unpack(self._file.read(_RECORD.size))
            if opcode in (_DATA_END, _FOOTER):
                return
            if opcode == 0 or (position + _RECORD.size + length > self._size and opcode != _CHUNK):
                break
            yield _Record(position, opcode, memoryview(self._file.read(min(length, LONGEST))))
            position += _RECORD.size + length
        cut = min(position, self._size)
        self.warnings.append(
            f"{self.name} was cut or is damaged at byte {cut:,} of {self._size:,}: the whole messages before it come in"
        )

    def _at(self, position: int) -> memoryview:
        self._file.seek(position)
        _, length = _RECORD.unpack(self._file.read(_RECORD.size))
        return memoryview(self._file.read(length))

    def _chunk(self, position: int, content: memoryview, told: bool = False) -> bytes:
        """The records of a chunk; of one that was cut, as many bytes as there are, of a damaged one none."""
        try:
            _, _, size, checksum = _CHUNK_HEAD.unpack_from(content)
            name, start = _string(content, _CHUNK_HEAD.size)
            (length,) = struct.unpack_from("<Q", content, start)
        except struct.error:  # cut before its records begin
            return b""
        packed = content[start + 8 : start + 8 + length]
        records = self._decompress(name, packed, size)
        whole = len(packed) == length
        if whole and (len(records) != size or (checksum and crc32(records) != checksum)):
            if told:
                self.warnings.append(
                    f"{self.name}: the chunk at byte {position:,} is damaged (its checksum differs): its messages are "
                    "left out"
                )
            return b""
        return records

    def _decompress(self, name: str, packed: memoryview, size: int) -> bytes:
        """As many of the `size` bytes as can be made of it."""
        try:
            if name == "zstd":
                from backports.zstd import ZstdDecompressor, ZstdError

                try:
                    return ZstdDecompressor().decompress(packed, size)
                except ZstdError:
                    return b""
            if name == "lz4":
                from lz4.frame import LZ4FrameDecompressor

                try:
                    return bytes(LZ4FrameDecompressor().decompress(packed))
                except RuntimeError:
                    return b""
        except ImportError as error:
            raise need_rosbags() from error
        if name:
            raise StoreError(
                f"{self.name} is compressed by {name}; zstd and lz4 can be read: `mcap compress` rewrites it"
            )
        return bytes(packed)

    def _note(self, record: _Record) -> None:
        """Remember a schema or a channel."""
        if record.opcode == _SCHEMA:
            (number,) = struct.unpack_from("<H", record.content)
            name, at = _string(record.content, 2)
            syntax, at = _string(record.content, at)
            text, _ = _string(record.content, at)
            self._schemas[number] = (name, syntax, text)
        elif record.opcode == _CHANNEL:
            number, schema = struct.unpack_from("<HH", record.content)
            topic, at = _string(record.content, 4)
            encoding, _ = _string(record.content, at)
            kind, syntax, text = self._schemas.get(schema, ("", "", ""))
            self._channels.setdefault(number, Topic(topic, kind, encoding, text, syntax))

    def _end(self) -> bytes:
        self._file.seek(max(0, self._size - len(MAGIC)))
        return self._file.read()

    def _read_summary(self) -> bool:
        """Topics and counts from the end of the file; False when they are not there."""
        self._file.seek(max(0, self._size - _FOOTER_BYTES))
        opcode, _ = _RECORD.unpack(self._file.read(_RECORD.size))
        (start,) = struct.unpack("<Q", self._file.read(8))
        if opcode != _FOOTER or not len(MAGIC) < start < self._size:
            return False
        self._file.seek(start)
        counted = False
        try:
            for record in _records(self._file.read(self._size - _FOOTER_BYTES - start)):
                self._note(record)
                if record.opcode == _STATISTICS:
                    counted = True
                    self._note_counts(record.content)
        except struct.error:  # damaged: it is counted anew
            return False
        return counted and bool(self._channels)

    def _note_counts(self, content: memoryview) -> None:
        first, last, length = struct.unpack_from("<QQI", content, 26)
        for number, count in struct.iter_unpack("<HQ", content[46 : 46 + length]):
            if number in self._channels:
                topic = self._channels[number]
                topic.count, topic.first, topic.last = count, first, last

    def _count(self) -> None:
        """Read the whole file for its topics and counts."""
        for record, _ in self._inner():
            if found := self._take(record):
                topic, received = found
                topic.first = min(topic.first, received) if topic.count else received
                topic.last = max(topic.last, received)
                topic.count += 1


def _records(chunk: bytes) -> Iterator[_Record]:
    """The whole records of a chunk."""
    position, view = 0, memoryview(chunk)
    while position + _RECORD.size <= len(chunk):
        opcode, length = _RECORD.unpack_from(chunk, position)
        end = position + _RECORD.size + length
        if end > len(chunk):
            return
        yield _Record(position, opcode, view[position + _RECORD.size : end])
        position = end


def _string(content: memoryview, at: int) -> tuple[str, int]:
    """A string with its length before it, and where the next thing begins."""
    (length,) = struct.unpack_from("<I", content, at)
    return str(content[at + 4 : at + 4 + length], "utf-8", "replace"), at + 4 + length


def _merge(known: Topic, other: Topic, file: str) -> None:
    if (known.type, known.encoding) != (other.type, other.encoding):
        raise StoreError(f"{file}: {known.name} is both {known.type} and {other.type}; record it again under two names")
    if other.count:
        known.first = min(known.first, other.first) if known.count else other.first
        known.last = max(known.last, other.last)
        known.count += other.count
