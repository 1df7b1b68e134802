"""A Robotiq 2F-85 at the wrist of a UR arm, through the socket that Robotiq's URCap opens on the UR controller.

Lines of text on port 63352: `GET POS` is answered by `POS 3`, `SET POS 255 GTO 1` by `ack`. Registers as in Robotiq's
"2F-85 & 2F-140 Instruction Manual", 4.4 and 4.5; the URCap writes `?` for a value while the gripper has no power.
"""

import logging
import re
import time
from math import isfinite
from types import TracebackType
from typing import Self

from robot_stack.clock import now
from robot_stack.robots import robot as robot_named
from robot_stack.tcp import connect
from robot_stack.types import ConfigError, DeviceError, GripperState

PORT = 63352
SPEEDS = (0.02, 0.15)
"""Of a finger-to-finger motion at SPE 0 and 255 [m/s]; manual, 6.1."""
FORCES = (20.0, 235.0)
"""Of the grip at FOR 0 and 255 [N]; manual, 6.1."""

RESET, ACTIVE = 0, 3
"""Of the status STA."""
ACTIVATING = 10.0
"""Longest that an activation may take [s]; opening and closing take two to three."""

FAULTS = {
    5: "the activation is not finished",
    7: "it is not activated",
    8: "it is too hot: let it cool down",
    9: "it has not heard from the controller for a second",
    10: "its supply voltage is too low",
    11: "an automatic release is under way",
    12: "internal fault: ask Robotiq",
    13: "the activation failed: look for something between the fingers",
    14: "overcurrent: look for what blocks the fingers",
    15: "an automatic release has ended",
}
"""Of the register FLT; manual, 4.5."""

log = logging.getLogger(__name__)


class Robotiq:
    """The gripper of the UR controller at `host`.

    speed, force: of every motion and grip, 0.02..0.15 [m/s] and 20..235 [N]. open, closed: what POS says when the
    fingers stand apart as far as they can and when they touch, 0..255; read them off the pendant's gripper page.
    activate: a gripper that is not activated is, at the start: it then opens and closes once.
    """

    def __init__(
        self,
        host: str,
        speed: float = 0.15,
        force: float = 40.0,
        open: int = 3,
        closed: int = 230,
        activate: bool = True,
    ) -> None:
        self._host, self._activate = host, activate
        self._speed, self._force = _count("speed", speed, SPEEDS), _count("force", force, FORCES)
        if not 0 <= open < closed <= 255:
            raise ConfigError(f"open is {open} and closed {closed}, expected 0 <= open < closed <= 255")
        self._open, self._closed = open, closed
        self._stroke = robot_named("ur5e").opening

    def __enter__(self) -> Self:
        self._asked = -1
        self._socket = connect(self._host, PORT, "the Robotiq URCap on the UR controller")
        try:
            if self._get("STA")[0] != ACTIVE:
                self._make_active()
            self.read()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def read(self) -> GripperState:
        """The newest measurement; DeviceError while the gripper has a fault, with what it is."""
        asked = now()
        position, status, fault = self._get("POS", "STA", "FLT")
        if fault:
            raise DeviceError(f"the gripper has fault {fault}: {FAULTS.get(fault, 'see its manual, 4.5')}")
        if status != ACTIVE:
            raise DeviceError(f"the gripper is not activated any more (status {status}): was it, at the pendant?")
        part = (self._closed - position) / (self._closed - self._open)
        return GripperState(asked, self._stroke * min(max(part, 0.0), 1.0))

    def move(self, opening: float) -> None:
        """Ask for a distance between the fingers [m]; returns at once."""
        if not isfinite(opening):
            raise DeviceError(f"the gripper was asked for an opening of {opening} m")
        part = min(max(opening / self._stroke, 0.0), 1.0)
        position = round(self._closed + part * (self._open - self._closed))
        if position != self._asked:
            self._set(f"POS {position} SPE {self._speed} FOR {self._force} GTO 1")
            self._asked = position

    def _make_active(self) -> None:
        if not self._activate:
            raise DeviceError(
                "the gripper is not activated: do it at the pendant, or allow it with gripper.activate=true (it then "
                "opens and closes once)"
            )
        log.warning("activating the gripper: it opens and closes")
        self._set("ACT 0")
        self._wait_for(RESET)
        self._set("ACT 1")
        self._wait_for(ACTIVE)

    def _wait_for(self, wanted: int) -> None:
        deadline = now() + ACTIVATING
        while (status := self._get("STA")[0]) != wanted:
            if now() > deadline:
                fault = self._get("FLT")[0]
                raise DeviceError(
                    f"the gripper was not activated in {ACTIVATING:.0f} s: status {status}, fault {fault} "
                    f"({FAULTS.get(fault, 'none')})"
                )
            time.sleep(0.02)

    # --- the socket ---------------------------------------------------------------------------------------------------

    def _get(self, *names: str) -> list[int]:
        """The values of some registers."""
        self._send("".join(f"GET {name}\n" for name in names))
        answer, values = "", list[tuple[str, str]]()
        while len(values) < len(names):  # neither the last line nor `ack` need end in a newline
            answer += self._receive()
            values = re.findall(r"([A-Z]{3}) (\d+|\?)", answer)
        if [name for name, _ in values] != list(names):
            raise DeviceError(f"the gripper answers {answer!r}, asked for {', '.join(names)}")
        if any(value == "?" for _, value in values):
            raise DeviceError("the gripper is silent: is it plugged in at the wrist, and the tool's 24 V on?")
        return [int(value) for _, value in values]

    def _set(self, assignments: str) -> None:
        self._send(f"SET {assignments}\n")
        if (answer := self._receive().strip()) != "ack":
            raise DeviceError(f"the gripper answers SET {assignments} with {answer!r}, expected 'ack'")

    def _send(self, text: str) -> None:
        try:
            self._socket.sendall(text.encode())
        except OSError as error:
            raise DeviceError(f"link to the gripper at {self._host} lost: {error.strerror or error}") from error

    def _receive(self) -> str:
        try:
            data = self._socket.recv(1024)
        except OSError as error:
            raise DeviceError(f"the gripper at {self._host} does not answer: {error.strerror or error}") from error
        if not data:
            raise DeviceError(f"link to the gripper at {self._host} lost: the URCap ended the connection")
        return data.decode(errors="replace")


def _count(name: str, value: float, span: tuple[float, float]) -> int:
    """0..255 for a value within its span."""
    low, high = span
    if not low <= value <= high:
        raise ConfigError(f"the gripper's {name} is {value}, expected {low}..{high}")
    return round(255 * (value - low) / (high - low))
