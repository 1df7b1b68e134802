"""Reads and writes structs of Thrift's compact protocol, which Parquet's headers and footers are in, without a schema.

A struct is a dict field number -> (type, value); a list is (type of the elements, values).
Format: apache/thrift, doc/specs/thrift-compact-protocol.md.
"""

import struct
from typing import Any

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _MAP, STRUCT = range(1, 13)
_INTEGERS = (I16, I32, I64)

Struct = dict[int, tuple[int, Any]]


class Reader:
    """Reads values from `at` on; ValueError where there is none."""

    def __init__(self, content: bytes | memoryview, at: int = 0) -> None:
        self._content, self.at = content, at

    def struct(self) -> Struct:
        """Fields up to the stop byte."""
        fields: Struct = {}
        number = 0
        while byte := self._byte():
            kind = byte & 15
            number = number + (byte >> 4) if byte >> 4 else self._zigzag()
            fields[number] = kind, self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == I8:
            return self._byte()
        if kind == DOUBLE:
            return struct.unpack("<d", self._take(8))[0]
        if kind == BINARY:
            return self._take(self._varint())
        if kind in (LIST, SET):
            return self._list()
        if kind == STRUCT:
            return self.struct()
        raise ValueError(f"no value of type {kind} is expected in Parquet")

    def _list(self) -> tuple[int, list[Any]]:
        byte = self._byte()
        size = byte >> 4 if byte >> 4 < 15 else self._varint()
        kind = byte & 15
        if kind in (TRUE, FALSE):
            return kind, [self._byte() == TRUE for _ in range(size)]
        return kind, [self._value(kind) for _ in range(size)]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bit")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        taken = bytes(self._content[self.at : self.at + size])
        if len(taken) != size:
            raise ValueError("cut short")
        self.at += size
        return taken


def write(fields: Struct) -> bytes:
    """The inverse of `Reader.struct`."""
    made, before = bytearray(), 0
    for number, (kind, value) in sorted(fields.items()):
        kind = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        step = number - before
        made += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _zigzag(number)
        made += b"" if kind in (TRUE, FALSE) else _written(kind, value)
        before = number
    return bytes(made) + b"\0"


def _written(kind: int, value: Any) -> bytes:
    if kind in _INTEGERS:
        return _zigzag(value)
    if kind in (I8, TRUE, FALSE):
        return bytes([value])
    if kind == DOUBLE:
        return struct.pack("<d", value)
    if kind == BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == STRUCT:
        return write(value)
    element, values = value
    head = bytes([len(values) << 4 | element]) if len(values) < 15 else bytes([0xF0 | element]) + _varint(len(values))
    return head + b"".join(_written(element, each) for each in values)


def _zigzag(value: int) -> bytes:
    return _varint((value << 1) ^ (value >> 63))


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
