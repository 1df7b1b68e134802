"""A Franka arm's driver in a process of its own, asked by a test.

The libraries change the scheduling of their process, keep Python's lock, and end it where a robot hangs.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.franka import Client

PILOT = str(Path(__file__).with_name("franka_pilot.py"))
PATIENCE = 20.0
"""For what takes milliseconds on a quiet machine [s]."""
SPEED = 0.2
"""Of the last joint, where a test lets an arm move [rad/s]."""


class Flight(Client):
    """One arm, entered. `ask` has the `Pilot` in the process do something, and returns what it says.

    trouble: why it could not be entered; empty when it was.
    """

    def __init__(self, robot: str, host: str, **changes: Any) -> None:
        super().__init__(host, _code("run", robot, host, changes))
        self.trouble: str = self.hear()["error"]

    def ask(self, what: str, *arguments: Any) -> Any:
        self.tell(json.dumps([what, *arguments]))
        answer = self.hear()
        assert not answer["error"], answer["error"]
        return answer["result"]

    def fly(self, speed: float) -> None:
        """Servo from where the arm is, from now on, the last joint at this speed [rad/s]."""
        self.ask("fly", [0.0] * 6 + [speed])

    def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first state of which it is true."""
        deadline = now() + PATIENCE
        while not true(state := self.ask("read")):
            assert now() < deadline, state
        return state

    def until_it_moves(self) -> None:
        """Until it goes as fast as `fly` says."""
        self.until(lambda state: abs(state["dq"][-1]) > 0.5 * SPEED)

    def fault(self) -> str:
        """The first fault there is."""
        fault: str = self.until(lambda state: state["fault"] != "")["fault"]
        return fault

    def recover(self) -> None:
        """Have it recover, at a person's word, and wait until the arm flies again."""
        self.ask("recover")
        self.until(lambda state: state["fault"] == "")

    def leave(self) -> None:
        """Leave the arm; returns when the process has ended."""
        self.tell(json.dumps(["leave"]))
        assert self.hear()["result"] == "left"
        assert self._process.wait(PATIENCE) == 0

    def enter_again(self) -> None:
        """Leave the arm, whatever became of it, and enter it anew."""
        self.tell(json.dumps(["leave and enter"]))
        assert self.hear()["result"] == "left"
        self.trouble = self.hear()["error"]


def until(true: Callable[[], bool]) -> None:
    """Wait until it is true."""
    deadline = now() + PATIENCE
    while not true():
        assert now() < deadline
        time.sleep(0.01)


def rests(there: EmulatorProcess) -> bool:
    """Whether the emulated arm stands still."""
    return bool(np.abs(there.state()["dq"]).max() < 0.02)


def fulfil(contract: str, robot: str, host: str) -> None:
    """One of `tests/contracts.py`, by its name; AssertionError if the driver breaks it."""
    with Client(host, _code("contract", contract, robot, host)) as program:
        error = program.hear()["error"]
    assert not error, error


def _code(function: str, *arguments: Any) -> str:
    return f"import runpy; runpy.run_path({PILOT!r})[{function!r}](*{arguments!r})"
