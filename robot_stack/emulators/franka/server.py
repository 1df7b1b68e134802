"""The robot's port 1337: lets one client in, hands its requests to the controller, and carries the answers back."""

import logging
from collections.abc import Callable

from robot_stack.emulators.franka.protocol import Command, Request, Requests, Status, Version
from robot_stack.emulators.wire import Connection, Link, Port
from robot_stack.types import DeviceError

PORT = 1337
LIBRARY = (0, 0)
"""The model library is asked for by a client of this architecture and system: x86-64, Linux."""

log = logging.getLogger(__name__)


class RobotServer:
    """One client at a time; a second one is turned away.

    number: the version that the server claims to be of. handle: does a request; welcomed: called with the client's
    address for states, as soon as it is accepted; left: called when it is gone. model: what describes the robot to the
    client, or raises DeviceError.
    """

    def __init__(
        self,
        version: Version,
        link: Link,
        host: str,
        handle: Callable[[Request], None],
        welcomed: Callable[[tuple[str, int]], None],
        left: Callable[[], None],
        model: Callable[[], bytes],
    ) -> None:
        self.number = version.number
        self._version = version
        self._handle, self._welcomed, self._left, self._model = handle, welcomed, left, model
        self._connection: Connection | None = None
        self._link = link
        self.port = Port(link, host, PORT, self._welcome)

    @property
    def connected(self) -> bool:
        """Whether there is a client."""
        return self._connection is not None

    def answer(self, request: Request, status: Status, extra: bytes = b"") -> None:
        """Send the answer to a request; nobody hears it if the client is gone."""
        if self._connection is not None:
            self._connection.send(self._version.response(request, status, extra))

    def _welcome(self, connection: Connection) -> None:
        if self._connection is not None:
            log.warning("a second client was turned away")
            self._link.loop.call_at(0.0, connection.close)
            return
        self._connection = connection
        requests = Requests(self._version)

        def received(data: bytes) -> None:
            try:
                for request in requests.feed(data):
                    self._serve(request, connection)
            except ValueError as error:
                log.warning("client dropped: %s", error)
                connection.close()

        def closed() -> None:
            self._connection = None
            self._left()

        connection.received, connection.closed = received, closed

    def _serve(self, request: Request, connection: Connection) -> None:
        match request.command:
            case Command.CONNECT:
                self._connect(request, connection)
            case Command.GET_ROBOT_MODEL | Command.LOAD_MODEL_LIBRARY:
                self._describe(request)
            case Command.GET_CARTESIAN_LIMIT:  # there are no virtual walls
                self.answer(request, Status.SUCCESS, bytes(8 * (3 + 16) + 1))
            case _:
                self._handle(request)

    def _connect(self, request: Request, connection: Connection) -> None:
        version, port = (int(number) for number in request.payload)
        fits = version == self.number
        own = self.number.to_bytes(2, "little")
        self.answer(request, Status.SUCCESS if fits else Status.INCOMPATIBLE, own)
        if fits:
            self._welcomed((connection.client, port))

    def _describe(self, request: Request) -> None:
        try:
            if request.command is Command.LOAD_MODEL_LIBRARY and request.payload != LIBRARY:
                raise DeviceError(f"no model library for architecture and system {request.payload}")
            self.answer(request, Status.SUCCESS, self._model())
        except DeviceError as error:
            log.error("%s", error)
            refusal = Status.NOT_POSSIBLE if request.command is Command.GET_ROBOT_MODEL else Status.ABORTED
            self.answer(request, refusal)
