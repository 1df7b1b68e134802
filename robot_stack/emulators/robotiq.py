"""A Robotiq 2F-85 behind the socket of its URCap, port 63352: `SET POS 255` is answered by `ack`, `GET POS` by `POS 3`.

Sources: Robotiq 2F-85 manual, "Control": the registers ACT GTO STA OBJ FLT POS PRE SPE FOR and the activation sequence.
Fingers that are wide open report 3 and closed ones 230, as open-source drivers found; modelled: how long activation
takes, and that a grip is noticed when the fingers stand still against something.
"""

from collections.abc import Callable, Mapping
from typing import Any

from robot_stack.clock import now
from robot_stack.emulators.admin import Admin
from robot_stack.emulators.body import Body, session
from robot_stack.emulators.journal import Events
from robot_stack.emulators.loop import Loop
from robot_stack.emulators.wire import Connection, Link, Port

PORT = 63352
STROKE = 0.085
"""[m]"""
OPEN, CLOSED = 3, 230
"""Counts of the position at the ends of the stroke."""
SLOWEST, FASTEST = 0.020, 0.150
"""Of the fingers towards each other, at SPE 0 and 255 [m/s]."""
ACTIVATION = 1.0
"""From ACT 1 until the gripper is ready [s]: real ones open and close once, 2 s and more."""
STILL = 2e-4
"""Fingers that move less than this in `PATIENCE` have stopped [m]."""
PATIENCE = 0.15
"""[s]"""
REACHED = 0.0015
"""Fingers this near to where they were asked to be are there [m]."""
STATES = {"RESET": 0, "ACTIVATING": 1, "ACTIVE": 3}
MOVING, STOPPED_OPENING, STOPPED_CLOSING, AT_POSITION = range(4)
NOT_ACTIVE = 7
"""Fault: the activation bit must be set before action."""
WRITABLE = ("ACT", "GTO", "POS", "SPE", "FOR", "ATR", "ARD")


class Robotiq:
    """The gripper: its registers and the motion that they ask of the fingers in a body's scene."""

    def __init__(self, body: Body, events: Events) -> None:
        self._body, self._events = body, events
        self.registers = dict.fromkeys(("ACT", "GTO", "STA", "FLT", "PRE", "SPE", "FOR", "ATR", "ARD"), 0)
        self.registers |= {"SPE": 255, "FOR": 255, "PRE": OPEN, "OBJ": AT_POSITION}
        self._time = self._ready_at = 0.0
        self._asked = body.opening
        self._checked = (self._time, body.opening)

    def get(self, name: str) -> int | None:
        """A register's value, or None if there is none of that name."""
        return self._position() if name == "POS" else self.registers.get(name)

    def set(self, name: str, value: int) -> None:
        """Write a register."""
        value = min(255, max(0, value))
        if name == "ACT":
            self._activate(bool(value))
        elif name == "POS":
            self._go(value)
        else:
            self.registers[name] = value
            self.registers["OBJ"] = MOVING if name == "GTO" and value else self.registers["OBJ"]

    def fail(self, code: int) -> None:
        """A fault occurs (0: none), as by its number in the manual; from 8 on the gripper must be activated anew."""
        self.registers["FLT"] = code
        if code >= 8:
            self.registers["STA"] = STATES["RESET"]
        self._events.add("gripper-fault", code=code)

    def cycle(self, period: float) -> None:
        """Let the fingers move for a period [s]."""
        self._time += period
        registers = self.registers
        if registers["STA"] == STATES["ACTIVATING"] and self._time >= self._ready_at:
            registers["STA"] = STATES["ACTIVE"]
            self._events.add("gripper-active")
        if registers["STA"] != STATES["ACTIVE"] or not registers["GTO"] or registers["OBJ"] != MOVING:
            return
        goal = opening_of(registers["PRE"])
        step = period * (SLOWEST + (FASTEST - SLOWEST) * registers["SPE"] / 255)
        self._asked += min(step, max(-step, goal - self._asked))
        self._body.world.move(self._asked)
        self._watch(goal)

    def _activate(self, on: bool) -> None:
        registers = self.registers
        if on and not registers["ACT"]:
            registers["STA"], self._ready_at = STATES["ACTIVATING"], self._time + ACTIVATION
        if not on:
            registers["STA"] = STATES["RESET"]
        registers["ACT"], registers["FLT"] = int(on), 0

    def _go(self, position: int) -> None:
        registers = self.registers
        registers["PRE"] = position
        if registers["STA"] != STATES["ACTIVE"]:
            registers["FLT"] = NOT_ACTIVE
            return
        self._asked, self._checked = self._body.opening, (self._time, self._body.opening)
        registers["OBJ"] = MOVING

    def _watch(self, goal: float) -> None:
        """Whether the fingers stand still, and where."""
        if self._time - self._checked[0] < PATIENCE:
            return
        opening = self._body.opening
        moved, self._checked = abs(opening - self._checked[1]), (self._time, opening)
        if moved > STILL:
            return
        if self._asked == goal and abs(opening - goal) < REACHED:
            self.registers["OBJ"] = AT_POSITION
        elif abs(self._asked - opening) > 2 * REACHED:
            self._stop(opening < goal)

    def _stop(self, opening: bool) -> None:
        """Held up: by something between the fingers, or at the end of what they can do."""
        held = self._body.touches(_is_finger)
        self.registers["OBJ"] = (STOPPED_OPENING if opening else STOPPED_CLOSING) if held else AT_POSITION
        self._events.add("gripper-stopped", object=held)

    def _position(self) -> int:
        return round(OPEN + (CLOSED - OPEN) * (1.0 - min(1.0, max(0.0, self._body.opening / STROKE))))


def opening_of(position: int) -> float:
    """The distance between the fingers [m] that a position asks for."""
    return STROKE * min(1.0, max(0.0, (CLOSED - position) / (CLOSED - OPEN)))


def _is_finger(name: str) -> bool:
    return name.startswith("gripper_")


class RobotiqServer:
    """The socket. A line is a command; `SET` takes several registers, which are set together."""

    def __init__(self, link: Link, host: str, body: Body, events: Events) -> None:
        self.gripper = Robotiq(body, events)
        self._period = body.world.timestep
        self._present = True
        self._port = Port(link, host, PORT, self._welcome)

    def cycle(self) -> None:
        """One physics step."""
        self.gripper.cycle(self._period)

    def faults(self) -> list[Callable[..., Any]]:
        """Commands for the back door."""
        return [self.gripper_fault, self.gripper_absent]

    def gripper_fault(self, code: int) -> None:
        """Let the gripper have a fault, by its number in the manual (0: none)."""
        self.gripper.fail(code)

    def gripper_absent(self, on: bool = True) -> None:
        """Unplug the gripper: its port is closed (on=false: plug it in, not activated)."""
        self._present = not on
        if on:
            self.gripper.set("ACT", 0)
            self._port.close()
        else:
            self._port.open()

    def _welcome(self, connection: Connection) -> None:
        pending = bytearray()

        def received(data: bytes) -> None:
            pending.extend(data)
            while b"\n" in pending:
                line, _, rest = bytes(pending).partition(b"\n")
                pending[:] = rest
                connection.send((self._answer(line.decode(errors="replace").split()) + "\n").encode())

        connection.received = received

    def _answer(self, words: list[str]) -> str:
        if len(words) == 2 and words[0] == "GET":
            value = self.gripper.get(words[1])
            return "?" if value is None else f"{words[1]} {value}"
        pairs = list(zip(words[1::2], words[2::2], strict=False))
        valid = len(words) % 2 == 1 and all(name in WRITABLE and text.isdecimal() for name, text in pairs)
        if not pairs or words[0] != "SET" or not valid:
            return "nack"
        for name, text in pairs:
            self.gripper.set(name, int(text))
        return "ack"


class RobotiqEmulator:
    """A gripper alone, on an arm that holds still. config: the keys of configs/emulate_robotiq.yaml."""

    rate = 500.0

    def __init__(self, loop: Loop, config: Mapping[str, Any]) -> None:
        self.host = str(config["host"])
        self.session = session("ur5e", self.host)
        self.happened, self.link = Events(), Link(loop)
        self.body = Body("ur5e", str(config["task"]), self.host, self.rate)
        self.server = RobotiqServer(self.link, self.host, self.body, self.happened)

    def cycle(self, due: float) -> None:
        """One step of the scene."""
        self.server.cycle()
        self.body.step()

    def serves(self) -> str:
        """What it serves and how to connect to it, in plain words."""
        return f"A Robotiq 2F-85, emulated on port {PORT} of {self.host}; try: echo GET POS | nc {self.host} {PORT}"

    def offer(self, admin: Admin) -> None:
        """Add the commands that tests and a person may give."""
        admin.offer(self.state, self.events, self.drop, *self.server.faults())

    def close(self) -> None:
        """Leave the bus."""
        self.body.close()

    def state(self) -> dict[str, Any]:
        """The gripper's registers, and how far the fingers are apart [m]."""
        return {"time": now(), "steps": self.body.steps, "opening": self.body.opening, **self.server.gripper.registers}

    def events(self, since: float = 0.0) -> list[dict[str, Any]]:
        """What happened, with times of the monotonic clock."""
        return self.happened.since(since)

    def drop(self, reset: bool = False) -> None:
        """End all connections with FIN, or with RST."""
        self.link.cut(reset)
