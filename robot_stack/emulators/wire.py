"""TCP as it is between a controller and its clients, with all that can go wrong there."""

import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from robot_stack.clock import now
from robot_stack.emulators.loop import Loop
from robot_stack.types import DeviceError

CHUNK = 65536
_ABORT = struct.pack("ii", 1, 0)  # linger on, 0 s: closing sends RST


@dataclass
class Link:
    """What is wrong with the cable; at first nothing.

    delay: of everything that the controller sends [s]. jitter: up to so much more [s]. silent: nothing goes through in
    either direction, and nobody is told: a pulled cable. What a client sends meanwhile arrives when it is plugged in.
    """

    loop: Loop
    delay: float = 0.0
    jitter: float = 0.0
    silent: bool = False
    ports: list["Port"] = field(default_factory=list)

    def cut(self, reset: bool) -> None:
        """End every connection, with FIN or with RST."""
        for port in self.ports:
            port.cut(reset)

    def refuse(self) -> None:
        """End every connection and accept none: a controller that boots."""
        for port in self.ports:
            port.close()

    def accept(self) -> None:
        """Accept connections again."""
        for port in self.ports:
            port.open()


class Connection:
    """One client of a port. received: called with the bytes that come; closed: called once, when it is over.

    client: its address.
    """

    def __init__(self, link: Link, peer: socket.socket) -> None:
        self.received: Callable[[bytes], None] = lambda data: None
        self.closed: Callable[[], None] = lambda: None
        self.client: str = peer.getpeername()[0]
        self.open = True
        self.skipped = 0
        self._link, self._socket, self._descriptor = link, peer, peer.fileno()
        self._unsent = bytearray()
        self._free_at = 0.0  # when the last delayed package goes out: none may overtake it
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)  # as little as a controller has
        link.loop.watch(self._descriptor, self._read)

    def send(self, data: bytes) -> None:
        """Send, as late as the link says."""
        link = self._link
        if link.delay or link.jitter or self._free_at > now():
            self._free_at = max(self._free_at, now() + link.delay + random.uniform(0.0, link.jitter))
            link.loop.call_at(self._free_at, lambda: self._write(data))
        else:
            self._write(data)

    def offer(self, data: bytes) -> None:
        """Send unless the client is behind with reading: then it misses this one, as with the real controller."""
        if self._unsent:
            self._write(b"")
        if self._unsent:
            self.skipped += 1
        else:
            self.send(data)

    def close(self, reset: bool = False) -> None:
        """End the connection, with FIN or with RST."""
        if not self.open:
            return
        self.open = False
        self._link.loop.forget(self._descriptor)
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._socket.close()
        self.closed()

    def _read(self) -> None:
        if self._link.silent:
            self._link.loop.forget(self._descriptor)
            self._link.loop.call_at(now() + 0.01, self._listen_again)
            return
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.received(data)
        else:
            self.close()

    def _listen_again(self) -> None:
        if self.open:
            self._link.loop.watch(self._descriptor, self._read)

    def _write(self, data: bytes) -> None:
        if not self.open or self._link.silent:
            return
        self._unsent += data
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()


class Port:
    """A TCP port of the controller. welcome: called with each new connection, sets its `received` and `closed`."""

    def __init__(self, link: Link, host: str, number: int, welcome: Callable[[Connection], None]) -> None:
        self.number = number
        self.connections: list[Connection] = []
        self._link, self._host, self._welcome = link, host, welcome
        self._listener: socket.socket | None = None
        link.ports.append(self)
        self.open()

    def open(self) -> None:
        """Accept connections; DeviceError if another process has the port."""
        if self._listener is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self.number))
        except OSError as error:
            listener.close()
            raise DeviceError(
                f"cannot serve port {self.number} of {self._host}: {error.strerror}. Is another emulator running "
                "there? Any address of this machine will do: host=127.0.0.2"
            ) from error
        listener.listen()
        listener.setblocking(False)
        self.number = listener.getsockname()[1]
        self._listener = listener
        self._link.loop.watch(listener.fileno(), self._accept)

    def close(self) -> None:
        """Refuse connections and end those there are."""
        if self._listener is not None:
            self._link.loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self, reset: bool = False) -> None:
        """End the connections there are, with FIN or with RST; new ones are welcome."""
        for connection in list(self.connections):
            connection.close(reset)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            peer, _ = self._listener.accept()
        except OSError:  # the client thought better of it
            return
        connection = Connection(self._link, peer)
        self.connections.append(connection)
        self._welcome(connection)
        told = connection.closed

        def closed() -> None:
            self.connections.remove(connection)
            told()

        connection.closed = closed
