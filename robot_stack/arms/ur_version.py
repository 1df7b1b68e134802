"""The software of a UR controller, asked for over RTDE (port 30004) before the client library is let at it.

Universal Robots, "Real-Time Data Exchange (RTDE) Guide": packages of size (2 bytes), type (1 byte) and payload.
"""

import socket
import struct
from typing import NamedTuple

from robot_stack.tcp import connect
from robot_stack.types import DeviceError

PORT = 30004
_REQUEST_PROTOCOL, _GET_VERSION = b"V", b"v"


class Version(NamedTuple):
    """Of the controller: PolyScope 5.17 is major 5, minor 17."""

    major: int
    minor: int
    bugfix: int
    build: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


def controller_version(host: str) -> Version:
    """What the controller at this address runs; DeviceError when it is not reached or does not speak RTDE."""
    with connect(host, PORT, "the RTDE interface of the UR controller") as connection:
        try:
            _ask(connection, _REQUEST_PROTOCOL, struct.pack(">H", 2))
            return Version(*struct.unpack(">4I", _ask(connection, _GET_VERSION)))
        except (OSError, struct.error) as error:
            raise DeviceError(
                f"what answers at {host}, port {PORT}, does not speak RTDE ({error or 'connection ended'}): is this a "
                "UR controller?"
            ) from error


def _ask(connection: socket.socket, kind: bytes, payload: bytes = b"") -> bytes:
    """The payload of the answer to one package."""
    connection.sendall(struct.pack(">H", 3 + len(payload)) + kind + payload)
    size, answered = struct.unpack(">Hc", _receive(connection, 3))
    if answered != kind:
        raise OSError(f"answers {kind!r} with {answered!r}")
    return _receive(connection, size - 3)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data
