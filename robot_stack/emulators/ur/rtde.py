"""RTDE, port 30004: clients choose what they get and what they write, then packages flow (RTDE guide).

A package is `uint16 size, uint8 type`, then its payload; the size counts all of it.
"""

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from robot_stack.emulators.journal import Events
from robot_stack.emulators.ur.controller import Controller
from robot_stack.emulators.ur.variables import INPUTS, OUTPUTS, Getter, layout, width
from robot_stack.emulators.wire import Connection, Link, Port

PORT = 30004
HEADER = struct.Struct(">HB")
LONGEST = 4096
"""A package that says that it is longer is not one [bytes]."""

Apply = Callable[[dict[str, Any]], None]


class Kind(IntEnum):
    """Of packages."""

    PROTOCOL = 86
    VERSION = 118
    TEXT = 77
    DATA = 85
    OUTPUTS = 79
    INPUTS = 73
    START = 83
    PAUSE = 80


def package(kind: Kind, payload: bytes) -> bytes:
    """A package ready to be sent."""
    return HEADER.pack(HEADER.size + len(payload), kind) + payload


class InputRecipe:
    """A list of inputs that a client writes together."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        types = [INPUTS[name] for name in names]
        self.layout = layout(types)
        self._widths = [width(kind) for kind in types]

    def read(self, payload: bytes) -> dict[str, Any]:
        """The values in a package, by name."""
        numbers = self.layout.unpack(payload)
        values, at = {}, 0
        for name, count in zip(self.names, self._widths, strict=True):
            values[name] = numbers[at] if count == 1 else numbers[at : at + count]
            at += count
        return values


class OutputRecipe:
    """What a client gets, and every how many cycles."""

    def __init__(self, names: list[str], cycles: int) -> None:
        self.cycles = cycles
        self._getters: list[tuple[Getter, bool]] = [(OUTPUTS[name][1], width(OUTPUTS[name][0]) > 1) for name in names]
        self._layout = layout(OUTPUTS[name][0] for name in names)

    def pack(self, controller: Controller) -> bytes:
        """The values now."""
        values: list[Any] = []
        for getter, is_vector in self._getters:
            if is_vector:
                values.extend(getter(controller))
            else:
                values.append(getter(controller))
        return self._layout.pack(*values)


class RtdeServer:
    """All clients of the port. version: of the controller, four numbers. fastest: of what it sends [Hz].

    apply: called with the inputs of each data package, by name. counts: packages that a controller would stumble over.
    """

    def __init__(
        self, link: Link, host: str, controller: Controller, version: list[int], fastest: int, apply: Apply
    ) -> None:
        self.controller, self.version, self.fastest, self.apply = controller, version, fastest, apply
        self.counts = {"malformed": 0, "too_short": 0, "too_long": 0, "unknown": 0, "skipped": 0}
        self.frozen = False
        self.owners: dict[str, Client] = {}
        self._clients: list[Client] = []
        self._cycle = 0
        self._events: Events = controller.events
        self._port = Port(link, host, PORT, self._welcome)

    def cycle(self) -> None:
        """Send each client what is due to it in this cycle."""
        self._cycle += 1
        for client in self._clients:
            client.cycle(self._cycle)

    def tell(self, message: str) -> None:
        """Send a text message, as of an exception, to those clients whose data flow."""
        for client in self._clients:
            if client.started:
                client.tell(message)

    def _welcome(self, connection: Connection) -> None:
        client = Client(self, connection)
        self._clients.append(client)

        def closed() -> None:
            self._clients.remove(client)
            self.counts["skipped"] += connection.skipped
            for name in [name for name, owner in self.owners.items() if owner is client]:
                del self.owners[name]

        connection.received, connection.closed = client.received, closed


class Client:
    """One connection: one output recipe, up to 255 input recipes."""

    def __init__(self, server: RtdeServer, connection: Connection) -> None:
        self.started = False
        self._server, self._connection = server, connection
        self._version = 1
        self._pending = bytearray()
        self._outputs: OutputRecipe | None = None
        self._inputs: dict[int, InputRecipe] = {}
        self._last = b""
        self._answers: dict[int, Callable[[bytes], bytes | None]] = {
            Kind.PROTOCOL: self._choose_protocol,
            Kind.VERSION: lambda payload: struct.pack(">4I", *self._server.version),
            Kind.OUTPUTS: self._choose_outputs,
            Kind.INPUTS: self._choose_inputs,
            Kind.START: self._start,
            Kind.PAUSE: self._pause,
            Kind.DATA: self._take,
            Kind.TEXT: lambda payload: None,
        }

    def received(self, data: bytes) -> None:
        """Bytes came; packages may be split over several calls, and several may come in one."""
        pending = self._pending
        pending += data
        while len(pending) >= HEADER.size:
            size, kind = HEADER.unpack_from(pending)
            if not HEADER.size <= size <= LONGEST:
                self._server.counts["malformed"] += 1
                self._connection.close()
                return
            if len(pending) < size:
                return
            payload = bytes(pending[HEADER.size : size])
            del pending[:size]
            self._handle(kind, payload)

    def cycle(self, cycle: int) -> None:
        """Send what is due in this cycle."""
        if not self.started or self._outputs is None or cycle % self._outputs.cycles:
            return
        if not self._server.frozen or not self._last:
            recipe = b"\x01" if self._version > 1 else b""
            self._last = package(Kind.DATA, recipe + self._outputs.pack(self._server.controller))
        self._connection.offer(self._last)

    def tell(self, message: str) -> None:
        """Send a text message of level 1, error."""
        text, source = message.encode()[:255], b"Controller"
        if self._version > 1:
            payload = bytes([len(text)]) + text + bytes([len(source)]) + source + b"\x01"
            self._connection.send(package(Kind.TEXT, payload))

    def _handle(self, kind: int, payload: bytes) -> None:
        if kind not in self._answers:
            self._server.counts["unknown"] += 1
            return
        try:
            answer = self._answers[kind](payload)
        except (struct.error, UnicodeDecodeError):
            self._server.counts["malformed"] += 1
            return
        if answer is not None:
            self._connection.send(package(Kind(kind), answer))

    def _choose_protocol(self, payload: bytes) -> bytes:
        (asked,) = struct.unpack(">H", payload)
        if asked not in (1, 2):
            return b"\x00"
        self._version = asked
        return b"\x01"

    def _choose_outputs(self, payload: bytes) -> bytes:
        fastest, rate = self._server.fastest, min(125.0, self._server.fastest)
        if self._version > 1:
            (rate,) = struct.unpack_from(">d", payload)
            payload = payload[8:]
        names = _names(payload)
        types = [OUTPUTS[name][0] if name in OUTPUTS else "NOT_FOUND" for name in names]
        found = "NOT_FOUND" not in types
        every = max(1, int(fastest / rate)) if rate > 0.0 else 1
        self._outputs = OutputRecipe(names, every * round(500 / fastest)) if found else None
        recipe = bytes([int(found)]) if self._version > 1 else b""
        return recipe + ",".join(types).encode()

    def _choose_inputs(self, payload: bytes) -> bytes:
        names, owners = _names(payload), self._server.owners
        types = [INPUTS.get(name, "NOT_FOUND") for name in names]
        types = ["IN_USE" if owners.get(n, self) is not self else kind for n, kind in zip(names, types, strict=True)]
        if "IN_USE" in types or "NOT_FOUND" in types or len(self._inputs) == 255:
            return b"\x00" + ",".join(types).encode()
        owners.update(dict.fromkeys(names, self))
        number = len(self._inputs) + 1
        self._inputs[number] = InputRecipe(names)
        return bytes([number]) + ",".join(types).encode()

    def _start(self, payload: bytes) -> bytes:
        self.started = self._outputs is not None or bool(self._inputs)
        return bytes([int(self.started)])

    def _pause(self, payload: bytes) -> bytes:
        self.started = False
        return b"\x01"

    def _take(self, payload: bytes) -> None:
        """A data package: too short is ignored, of one that is too long the beginning counts; modelled."""
        recipe = self._inputs.get(payload[0]) if payload else None
        if recipe is None:
            self._server.counts["unknown"] += 1
            return
        size, values = recipe.layout.size, payload[1:]
        if len(values) < size:
            self._server.counts["too_short"] += 1
            return
        self._server.counts["too_long"] += len(values) > size
        self._server.apply(recipe.read(values[:size]))


def _names(payload: bytes) -> list[str]:
    """A list joined with commas; ur_rtde ends it with one."""
    return [name for name in payload.decode("ascii").split(",") if name]
