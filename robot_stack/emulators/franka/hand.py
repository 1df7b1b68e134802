"""The Franka hand: its port 1338, its datagrams, and fingers that move in the scene.

One task at a time: a new one aborts the one before, as `stop` does. Assumed, for want of a document: how long homing
takes, and that a grasp which missed leaves the fingers where they met something.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import NamedTuple

from robot_stack.emulators.wire import Connection, Link, Port
from robot_stack.sim.world import World

PORT, VERSION = 1338, 3
HEADER = struct.Struct("<HII")  # command, id, size with this header
STATE = struct.Struct("<Idd?H")  # milliseconds, width, most width, holds something, temperature
STATE_STEPS = 100
"""The hand's state comes every so many milliseconds: ten times a second."""
WIDEST = 0.08
"""[m]"""
FASTEST = 0.1
"""[m/s]"""
THERE = 1e-3
"""Fingers this near their goal have arrived [m]."""
STALLED = 100
"""Fingers that have not moved for so many milliseconds have met something."""
STILL = 2e-5
"""Less than this in a millisecond is not moving [m]."""
SQUEEZE = 0.02
"""How far inside what they hold the fingers aim, so that they press with all that the scene's hand has [m]."""
TEMPERATURE = 35
"""[deg C]"""


class Command(IntEnum):
    """What a client asks for."""

    CONNECT = 0
    HOMING = 1
    GRASP = 2
    MOVE = 3
    STOP = 4


class Status(IntEnum):
    """How it ended."""

    SUCCESS = 0
    FAIL = 1
    UNSUCCESSFUL = 2
    ABORTED = 3


LAYOUTS = {
    Command.CONNECT: struct.Struct("<HH"),  # version, UDP port
    Command.HOMING: struct.Struct("<"),
    Command.GRASP: struct.Struct("<5d"),  # width, tolerance below and above it [m], speed [m/s], force [N]
    Command.MOVE: struct.Struct("<2d"),  # width [m], speed [m/s]
    Command.STOP: struct.Struct("<"),
}


class Request(NamedTuple):
    """One request as it came."""

    command: Command
    id: int
    payload: tuple[float, ...]


class Leg(NamedTuple):
    """One movement of the fingers: to a width [m], at a speed [m/s]."""

    width: float
    speed: float


class Hand:
    """Moves the fingers for one task at a time, a millisecond a `tick`.

    width: measured [m]. holds: whether something is grasped. running: the task, if there is one.
    """

    def __init__(self, world: World, done: Callable[[Request, Status], None], log: Callable[..., None]) -> None:
        self._world, self._done, self._log = world, done, log
        for finger in ("finger_joint1", "finger_joint2"):  # the hand's own drive makes up for it
            world.model.dof_frictionloss[world.model.joint(finger).dofadr] = 0.0
        self.width = world.gripper(0.0).opening
        self.holds = False
        self.running: Request | None = None
        self._aim = self.width
        self._legs: list[Leg] = []
        self._still = 0
        self._held = (0.0, 0.0)  # between which widths something is still held

    def start(self, request: Request) -> None:
        """Begin a task, and end the one before."""
        self.stop()
        self._log("hand", command=request.command.name.lower(), payload=list(request.payload))
        legs = self._plan(request)
        if not legs:
            self._done(request, Status.FAIL)
            return
        self.running, self._legs, self._still = request, legs, 0
        self.holds, self._aim = False, self.width

    def stop(self) -> None:
        """Stop the fingers where they are; the task is aborted."""
        if self.running is not None:
            self._aim = self.width
            self._world.move(self._aim)
            self._end(Status.ABORTED)

    def tick(self) -> None:
        """One millisecond."""
        before, self.width = self.width, self._world.gripper(0.0).opening
        self.holds = self.holds and self._held[0] < self.width < self._held[1]
        if self.running is None:
            return
        self._still = self._still + 1 if abs(self.width - before) < STILL else 0
        leg = self._legs[0]
        step = leg.speed / 1000.0
        self._aim += max(-step, min(step, leg.width - self._aim))
        self._world.move(self._aim)
        if self._aim == leg.width and (abs(self.width - leg.width) < THERE or self._still >= STALLED):
            self._arrive(self.running)

    def _arrive(self, request: Request) -> None:
        """The fingers are where a leg should take them, or cannot go on."""
        self._legs.pop(0)
        if self._legs:
            self._still = 0
        elif request.command is Command.GRASP:
            self._judge_grasp(request)
        else:
            self._end(Status.SUCCESS if abs(self.width - self._aim) < THERE else Status.UNSUCCESSFUL)

    def _judge_grasp(self, request: Request) -> None:
        """What the documentation says: something is held if width - inner < measured < width + outer."""
        width, inner, outer, _, _ = request.payload
        self._held = (width - inner, width + outer)
        self.holds = self._held[0] < self.width < self._held[1]
        self._end(Status.SUCCESS if self.holds else Status.UNSUCCESSFUL)

    def _plan(self, request: Request) -> list[Leg]:
        """The movements of a task; none if it asks for what cannot be."""
        if request.command is Command.HOMING:
            return [Leg(WIDEST, FASTEST), Leg(0.0, FASTEST), Leg(WIDEST, FASTEST)]
        width, speed = request.payload[0], min(request.payload[-2 if len(request.payload) == 5 else -1], FASTEST)
        if not (0.0 <= width <= WIDEST and speed > 0.0):
            return []
        if request.command is Command.MOVE:
            return [Leg(width, speed)]
        beyond = width - SQUEEZE if width < self.width else width + SQUEEZE  # from outside, or from inside
        return [Leg(min(max(beyond, 0.0), WIDEST), speed)]

    def _end(self, status: Status) -> None:
        assert self.running is not None
        request, self.running = self.running, None
        self._log("hand done", command=request.command.name.lower(), status=status.name.lower(), width=self.width)
        self._done(request, status)


class HandServer:
    """The hand on the wire."""

    def __init__(self, world: World, link: Link, host: str, log: Callable[..., None]) -> None:
        self.hand = Hand(world, self._answer, log)
        self._link = link
        self._states = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._states.bind((host, 0))
        self._client: tuple[str, int] | None = None
        self._connection: Connection | None = None
        self.port = Port(link, host, PORT, self._welcome)

    def tick(self, message: int) -> None:
        """One millisecond, the robot's `message`-th."""
        self.hand.tick()
        if message % STATE_STEPS == 0:
            self._send_state(message)

    def close(self) -> None:
        """Close the socket."""
        self._states.close()

    def _send_state(self, message: int) -> None:
        if self._client is None or self._link.silent:
            return
        hand = self.hand
        state = STATE.pack(message & 0xFFFFFFFF, hand.width, WIDEST, hand.holds, TEMPERATURE)
        with suppress(OSError):  # its socket is closed: TCP will tell
            self._states.sendto(state, self._client)

    def _welcome(self, connection: Connection) -> None:
        if self._connection is not None:
            self._link.loop.call_at(0.0, connection.close)
            return
        self._connection = connection
        pending = bytearray()

        def received(data: bytes) -> None:
            pending.extend(data)
            while len(pending) >= HEADER.size:
                number, id, size = HEADER.unpack_from(pending)
                if number > Command.STOP or size != HEADER.size + LAYOUTS[Command(number)].size:
                    connection.close()
                    return
                if len(pending) < size:
                    return
                payload = LAYOUTS[Command(number)].unpack_from(pending, HEADER.size)
                del pending[:size]
                self._serve(Request(Command(number), id, payload), connection)

        def closed() -> None:
            self._connection = self._client = None

        connection.received, connection.closed = received, closed

    def _serve(self, request: Request, connection: Connection) -> None:
        if request.command is Command.CONNECT:
            fits = int(request.payload[0]) == VERSION
            self._answer(request, Status.SUCCESS if fits else Status.FAIL, VERSION.to_bytes(2, "little"))
            self._client = (connection.client, int(request.payload[1]))
            self._send_state(1)
        elif request.command is Command.STOP:
            self.hand.stop()
            self._answer(request, Status.SUCCESS)
        else:
            self.hand.start(request)

    def _answer(self, request: Request, status: Status, extra: bytes = b"") -> None:
        if self._connection is not None:
            size = HEADER.size + 2 + len(extra)
            head = HEADER.pack(request.command, request.id, size) + struct.pack("<H", status)
            self._connection.send(head + extra)
