"""States out, commands in, over UDP from one socket: a client answers to where its last state came from."""

import random
import select
import socket
from collections import deque
from contextlib import suppress

import numpy as np

from robot_stack.clock import now
from robot_stack.emulators.wire import Link
from robot_stack.spec import Record

Address = tuple[str, int]


class Datagrams:
    """The datagrams between the robot and the client that is connected, if one is.

    The link's delay and jitter count here in steps of the robot's own clock, whatever that is to the wall's: with a
    delay of three milliseconds the client knows a state three steps late. States never overtake one another.
    """

    def __init__(self, host: str, layout: np.dtype[np.void], link: Link) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self._layout, self._link = layout, link
        self._client: Address | None = None
        self._queue: deque[tuple[int, bytes]] = deque()  # step at which it goes out, state
        self._newest: Record | None = None

    def connect(self, client: Address) -> None:
        """Talk to this client from now on."""
        self._client = client
        self.forget()

    def disconnect(self) -> None:
        """Talk to nobody."""
        self._client = None

    def forget(self) -> None:
        """Drop what is on its way in either direction."""
        self._queue.clear()
        self._receive()
        self._newest = None

    def send(self, step: int, state: bytes) -> None:
        """Send the state of this step, or put it on its slow way."""
        link = self._link
        if self._client is None or link.silent:
            return
        if link.delay or link.jitter or self._queue:
            late = round(1000.0 * (link.delay + random.uniform(0.0, link.jitter)))
            after = self._queue[-1][0] if self._queue else 0
            self._queue.append((max(step + late, after), state))
            while self._queue and self._queue[0][0] <= step:
                self._send(self._queue.popleft()[1])
        else:
            self._send(state)

    def answer(self, message: int, patience: float = 0.0) -> Record | None:
        """The client's command that answers this state, waiting for it if need be [s]; None: it did not come.

        A command that answers an older state came too late, and is dropped.
        """
        deadline = now() + patience
        while True:
            self._receive()
            if self._newest is not None and int(self._newest["message_id"]) >= message:
                command, self._newest = self._newest, None
                return command
            remaining = deadline - now()
            if remaining <= 0.0 or self._link.silent:
                return None
            select.select([self._socket], (), (), remaining)

    def newest(self) -> Record | None:
        """The newest command since the last, whichever state it answers."""
        self._receive()
        command, self._newest = self._newest, None
        return command

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, state: bytes) -> None:
        assert self._client is not None
        with suppress(OSError):  # its socket is closed: TCP will tell
            self._socket.sendto(state, self._client)

    def _receive(self) -> None:
        while True:
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                return
            except OSError:  # an ICMP message: nobody listened to a state
                continue
            if len(data) == self._layout.itemsize and not self._link.silent:
                self._newest = np.frombuffer(data, self._layout).reshape(())
