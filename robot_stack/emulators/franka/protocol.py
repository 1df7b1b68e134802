"""The two dialects of the Franka control interface that are spoken here: server version 10 (FR3) and 5 (Panda, FER).

A request is a header `u32 command, u32 id, u32 size` and a payload; its response echoes command and id, then one byte
of status and whatever the command asks for. Numbers of commands and of statuses differ between versions, names do not:
all that is above this module speaks in names. Everything is little-endian and packed. Sources: libfranka 0.21 (version
10) and 0.9.2 (version 5), research_interface/robot/service_types.h. A status that a client does not know ends its
program with a ProtocolException, so no others than below may ever be sent.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

HEADER = struct.Struct("<III")


class Command(StrEnum):
    """What a client asks for over TCP."""

    CONNECT = "connect"
    MOVE = "move"
    STOP_MOVE = "stop_move"
    GET_CARTESIAN_LIMIT = "get_cartesian_limit"
    SET_COLLISION_BEHAVIOR = "set_collision_behavior"
    SET_JOINT_IMPEDANCE = "set_joint_impedance"
    SET_CARTESIAN_IMPEDANCE = "set_cartesian_impedance"
    SET_GUIDING_MODE = "set_guiding_mode"
    SET_EE_TO_K = "set_ee_to_k"
    SET_NE_TO_EE = "set_ne_to_ee"
    SET_LOAD = "set_load"
    SET_FILTERS = "set_filters"
    AUTOMATIC_ERROR_RECOVERY = "automatic_error_recovery"
    LOAD_MODEL_LIBRARY = "load_model_library"
    GET_ROBOT_MODEL = "get_robot_model"


class Status(StrEnum):
    """How a request ended."""

    SUCCESS = "success"
    INCOMPATIBLE = "incompatible version"
    STARTED = "motion started"
    PREEMPTED = "preempted"
    PREEMPTED_BY_SAFETY = "preempted by a safety function"
    REJECTED_BY_SAFETY = "rejected by a safety function"
    NOT_POSSIBLE = "not possible in the current mode"
    SINGULAR = "start at a singular pose"
    INVALID = "invalid argument"
    REFLEX = "aborted by a reflex"
    EMERGENCY = "aborted by the user stop"
    INPUT_ERROR = "aborted for an input error"
    ABORTED = "aborted"
    MANUAL = "manual recovery required"


class Request(NamedTuple):
    """One request as it came: payload holds its numbers, unpacked."""

    command: Command
    id: int
    payload: tuple[float, ...]


@dataclass(frozen=True)
class Version:
    """One dialect.

    number: what the server says it is. commands: in the order of their numbers. statuses: of the groups of commands, in
    the order of their codes. real: numpy's name of the numbers in the state. acceleration: whether the state has the
    accelerometers. torque_finished: whether a command can finish torques alone, which then need no motion generator.
    asynchronous: whether the robot itself can interpolate. move: layout of the request to move.
    """

    number: int
    commands: tuple[Command, ...]
    moving: tuple[Status, ...]
    stopping: tuple[Status, ...]
    setting: tuple[Status, ...]
    recovering: tuple[Status, ...]
    real: str
    acceleration: bool
    torque_finished: bool
    asynchronous: bool
    move: struct.Struct

    def layout(self, command: Command) -> struct.Struct:
        """The payload of a request."""
        return self.move if command is Command.MOVE else PAYLOADS[command]

    def code(self, command: Command, status: Status) -> int:
        """The number that says this to this client."""
        return self._codes(command).index(status)

    def response(self, request: Request, status: Status, extra: bytes = b"") -> bytes:
        """The whole message that answers a request."""
        size = HEADER.size + 1 + len(extra)
        head = HEADER.pack(self.commands.index(request.command), request.id, size)
        return head + bytes([self.code(request.command, status)]) + extra

    def _codes(self, command: Command) -> tuple[Status, ...]:
        groups = {
            Command.CONNECT: (Status.SUCCESS, Status.INCOMPATIBLE),
            Command.MOVE: self.moving,
            Command.STOP_MOVE: self.stopping,
            Command.AUTOMATIC_ERROR_RECOVERY: self.recovering,
            Command.LOAD_MODEL_LIBRARY: (Status.SUCCESS, Status.ABORTED),
            Command.GET_ROBOT_MODEL: (Status.SUCCESS, Status.NOT_POSSIBLE, Status.REJECTED_BY_SAFETY),
        }
        return groups.get(command, self.setting)


PAYLOADS = {
    Command.CONNECT: struct.Struct("<HH"),  # version, UDP port of the client
    Command.STOP_MOVE: struct.Struct("<"),
    Command.GET_CARTESIAN_LIMIT: struct.Struct("<i"),  # number of the virtual wall
    Command.SET_COLLISION_BEHAVIOR: struct.Struct("<52d"),  # torques 4 x 7, forces 4 x 6
    Command.SET_JOINT_IMPEDANCE: struct.Struct("<7d"),
    Command.SET_CARTESIAN_IMPEDANCE: struct.Struct("<6d"),
    Command.SET_GUIDING_MODE: struct.Struct("<7?"),
    Command.SET_EE_TO_K: struct.Struct("<16d"),
    Command.SET_NE_TO_EE: struct.Struct("<16d"),
    Command.SET_LOAD: struct.Struct("<13d"),  # mass, centre of mass, inertia
    Command.SET_FILTERS: struct.Struct("<5d"),
    Command.AUTOMATIC_ERROR_RECOVERY: struct.Struct("<"),
    Command.LOAD_MODEL_LIBRARY: struct.Struct("<BB"),  # architecture, operating system
    Command.GET_ROBOT_MODEL: struct.Struct("<"),
}

V10 = Version(
    number=10,
    commands=(
        Command.CONNECT,
        Command.MOVE,
        Command.STOP_MOVE,
        Command.SET_COLLISION_BEHAVIOR,
        Command.SET_JOINT_IMPEDANCE,
        Command.SET_CARTESIAN_IMPEDANCE,
        Command.SET_GUIDING_MODE,
        Command.SET_EE_TO_K,
        Command.SET_NE_TO_EE,
        Command.SET_LOAD,
        Command.AUTOMATIC_ERROR_RECOVERY,
        Command.GET_ROBOT_MODEL,
    ),
    moving=(
        Status.SUCCESS,
        Status.STARTED,
        Status.PREEMPTED,
        Status.PREEMPTED_BY_SAFETY,
        Status.REJECTED_BY_SAFETY,
        Status.NOT_POSSIBLE,
        Status.SINGULAR,
        Status.INVALID,
        Status.REFLEX,
        Status.EMERGENCY,
        Status.INPUT_ERROR,
        Status.ABORTED,
    ),
    stopping=(
        Status.SUCCESS,
        Status.NOT_POSSIBLE,
        Status.REJECTED_BY_SAFETY,
        Status.EMERGENCY,
        Status.REFLEX,
        Status.ABORTED,
    ),
    setting=(Status.SUCCESS, Status.NOT_POSSIBLE, Status.INVALID, Status.REJECTED_BY_SAFETY),
    recovering=(
        Status.SUCCESS,
        Status.NOT_POSSIBLE,
        Status.REJECTED_BY_SAFETY,
        Status.MANUAL,
        Status.REFLEX,
        Status.EMERGENCY,
        Status.ABORTED,
    ),
    real="<f4",
    acceleration=True,
    torque_finished=True,
    asynchronous=True,
    move=struct.Struct("<II6d?7d"),  # controller, generator, deviations on the path and at the goal; own motion: speeds
)

V5 = Version(
    number=5,
    commands=(
        Command.CONNECT,
        Command.MOVE,
        Command.STOP_MOVE,
        Command.GET_CARTESIAN_LIMIT,
        Command.SET_COLLISION_BEHAVIOR,
        Command.SET_JOINT_IMPEDANCE,
        Command.SET_CARTESIAN_IMPEDANCE,
        Command.SET_GUIDING_MODE,
        Command.SET_EE_TO_K,
        Command.SET_NE_TO_EE,
        Command.SET_LOAD,
        Command.SET_FILTERS,
        Command.AUTOMATIC_ERROR_RECOVERY,
        Command.LOAD_MODEL_LIBRARY,
    ),
    moving=(
        Status.SUCCESS,
        Status.STARTED,
        Status.PREEMPTED,
        Status.NOT_POSSIBLE,
        Status.SINGULAR,
        Status.INVALID,
        Status.REFLEX,
        Status.EMERGENCY,
        Status.INPUT_ERROR,
        Status.ABORTED,
    ),
    stopping=(Status.SUCCESS, Status.NOT_POSSIBLE, Status.EMERGENCY, Status.REFLEX, Status.ABORTED),
    setting=(Status.SUCCESS, Status.NOT_POSSIBLE, Status.INVALID),
    recovering=(
        Status.SUCCESS,
        Status.NOT_POSSIBLE,
        Status.MANUAL,
        Status.REFLEX,
        Status.EMERGENCY,
        Status.ABORTED,
    ),
    real="<f8",
    acceleration=False,
    torque_finished=False,
    asynchronous=False,
    move=struct.Struct("<II6d"),
)


class Requests:
    """The stream of one client's requests, cut into messages."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._bytes = b""

    def feed(self, received: bytes) -> list[Request]:
        """The requests that are complete with these bytes. ValueError: what came is no request of this version."""
        self._bytes += received
        requests = []
        while len(self._bytes) >= HEADER.size:
            number, id, size = HEADER.unpack_from(self._bytes)
            layout, command = self._known(number, size)
            if len(self._bytes) < size:
                break
            requests.append(Request(command, id, layout.unpack_from(self._bytes, HEADER.size)))
            self._bytes = self._bytes[size:]
        return requests

    def _known(self, number: int, size: int) -> tuple[struct.Struct, Command]:
        if number >= len(self._version.commands):
            raise ValueError(f"request number {number}: version {self._version.number} has none of that number")
        command = self._version.commands[number]
        layout = self._version.layout(command)
        if size != HEADER.size + layout.size:
            raise ValueError(f"{command} of {size} bytes, expected {HEADER.size + layout.size}")
        return layout, command
