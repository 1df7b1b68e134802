"""The dashboard server of a UR controller (port 29999): what a person does at the pendant, in lines of text.

Universal Robots, "Dashboard Server e-Series". ur_rtde has a client too; this one ends its waiting and says why.
"""

import re
from types import TracebackType
from typing import Self

from robot_stack.arms import ur_status
from robot_stack.tcp import connect
from robot_stack.types import DeviceError

PORT = 29999
GREETING = "Connected: Universal Robots Dashboard Server"


class Dashboard:
    """A connection to the dashboard server; DeviceError when it is not reached or answers something else."""

    def __init__(self, host: str, timeout: float = 2.5) -> None:
        self._host = host
        self._socket = connect(host, PORT, "the dashboard server of the UR controller", timeout)
        self._lines = self._socket.makefile("r", encoding="utf-8", errors="replace", newline="\n")
        try:
            self._check_greeting()
        except BaseException:
            self.close()
            raise

    def _check_greeting(self) -> None:
        greeting = self._read("a greeting")
        if "Dashboard Server" not in greeting:
            raise DeviceError(f"{self._host} greets with {greeting!r}, expected {GREETING!r}: is this a UR controller?")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._socket.close()

    def ask(self, command: str) -> str:
        """The answer to one command, as it came."""
        try:
            self._socket.sendall(f"{command}\n".encode())
        except OSError as error:
            raise DeviceError(f"the dashboard server of {self._host} is gone: {error.strerror or error}") from error
        return self._read(command)

    def order(self, command: str, expected: str) -> None:
        """Give a command; DeviceError with the controller's own words if its answer does not begin as expected."""
        answer = self.ask(command)
        if not answer.lower().startswith(expected.lower()):
            raise DeviceError(f"the controller answers {command!r} with {answer!r}, expected {expected!r}")

    def _read(self, what: str) -> str:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise DeviceError(
                f"the dashboard server of {self._host} did not answer {what!r}: {error.strerror or error}"
            ) from error
        if not line:
            raise DeviceError(
                f"the dashboard server of {self._host} ended the connection instead of answering {what!r}"
            )
        return line.strip()

    def model(self) -> str:
        """The model, of which an e-Series arm does not say its series: UR5."""
        return self.ask("get robot model")

    def is_in_remote_control(self) -> bool:
        """Whether programs that come over the network are run."""
        return self.ask("is in remote control").lower() == "true"

    def safety_mode(self) -> int:
        """As in `ur_status.SAFETY`."""
        return ur_status.number(ur_status.SAFETY, _value(self.ask("safetystatus")))

    def robot_mode(self) -> int:
        """As in `ur_status.ROBOT`."""
        return ur_status.number(ur_status.ROBOT, _value(self.ask("robotmode")))

    def playing(self) -> str:
        """The name of the program that runs or is paused, '?' if it has none; empty when there is none."""
        state, _, name = self.ask("programState").partition(" ")
        return "" if state == "STOPPED" else name or "?"


def _value(answer: str) -> str:
    """NORMAL out of 'Safetystatus: NORMAL'."""
    return re.sub(r"^[^:]*:\s*", "", answer)
