"""The client library's own connections, looked at from beside it: it notices a closed one some milliseconds late."""

import os
import select
import socket
import stat
from contextlib import suppress


class Connections:
    """This process's TCP connections to one port of a host, as they are now; more may be opened later."""

    def __init__(self, host: str, port: int) -> None:
        address = (socket.gethostbyname(host), port)
        self._sockets = [socket.socket(fileno=os.dup(number)) for number in _open_sockets()]
        for other in [one for one in self._sockets if _peer(one) != address]:
            self._sockets.remove(other)
            other.close()
        self._poll = select.poll()
        for one in self._sockets:
            self._poll.register(one, select.POLLRDHUP)

    def __len__(self) -> int:
        return len(self._sockets)

    def is_any_closed(self) -> bool:
        """Whether the other side has ended one, with FIN or with RST."""
        return bool(self._poll.poll(0))

    def release(self) -> None:
        """Watch no longer. Until then these stay open, whatever their owner does."""
        for one in self._sockets:
            one.close()


def _open_sockets() -> list[int]:
    """The numbers of this process's open sockets."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # the number of the listing itself, closed by now
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found.append(number)
    return found


def _peer(one: socket.socket) -> object:
    """The address that a socket is connected to; None if it is not connected."""
    try:
        return one.getpeername()
    except OSError:
        return None
