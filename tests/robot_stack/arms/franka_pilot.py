"""A program that owns one Franka arm, flies it at 500 Hz as the control process does, and does what it is told.

Run by `franka_flight.Flight`: words come as JSON lines, and each is answered by one.
"""

import importlib
import json
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from robot_stack.arms import Arm
from robot_stack.clock import Rate, now
from robot_stack.types import ArmState, Array, RobotStackError

RATE = 500.0
SWING = 0.5
"""How far a flight goes from where it began [rad]."""


def make(robot: str, host: str, **changes: Any) -> Arm:
    """The arm of `configs/robot/<robot>.yaml` at an address."""
    config = OmegaConf.load(Path(__file__).parents[3] / "configs" / "robot" / f"{robot}.yaml")["arm"]
    module, _, name = config.pop("_target_").rpartition(".")
    driver = getattr(importlib.import_module(module), name)
    arm: Arm = driver(robot, **{**OmegaConf.to_container(config), "host": host, "realtime": False, **changes})
    return arm


class Pilot:
    """What a test can ask for. One thread uses the arm, as in the control process."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._speed: Array | None = None  # None: nothing is servoed
        self._orders: list[tuple[str, tuple[Any, ...]]] = []
        self._start = arm.read().q
        self._state: ArmState | None = None
        self._ages: list[float] = []
        self._error = ""
        self._ends = False
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def read(self) -> dict[str, Any]:
        """The next state, or the error that ended the loop."""
        before = self._state
        while self._state is before and not self._error:
            time.sleep(0.001)
        if self._error or self._state is None:
            return {"error": self._error, "fault": "", "age": np.inf, "dq": [np.nan]}
        state = self._state
        values = {name: getattr(state, name).tolist() for name in ("q", "dq", "wrench", "base_from_tcp")}
        return {"error": "", "time": state.time, "age": now() - state.time, "fault": state.fault, **values}

    def fly(self, speed: list[float]) -> None:
        """Servo at 500 Hz, from where the arm is, with these joint velocities [rad/s], back and forth."""
        self._speed = np.array(speed)

    def fall_silent(self) -> None:
        """Servo no more, as a loop that stalls."""
        self._speed = None

    def guide(self, on: bool) -> None:
        self._speed = None
        self._orders.append(("guide", (on,)))

    def halt(self) -> None:
        self._speed = None
        self._orders.append(("halt", ()))

    def recover(self) -> None:
        self._orders.append(("recover", ()))

    def ages(self) -> list[float]:
        """How old each state was when the loop had read it, since last asked [s]."""
        ages, self._ages = self._ages, []
        return ages

    def end(self) -> None:
        """Have the loop end."""
        self._ends = True
        self._thread.join()

    def _loop(self) -> None:
        rate = Rate(RATE)
        reference: Array | None = None
        try:
            while not self._ends:
                rate.sleep()
                self._state = state = self._arm.read()
                self._ages.append(now() - state.time)
                while self._orders:
                    name, arguments = self._orders.pop(0)
                    getattr(self._arm, name)(*arguments)
                reference = self._servo(state, reference)
        except RobotStackError as error:
            self._error = str(error)

    def _servo(self, state: ArmState, reference: Array | None) -> Array | None:
        """As the control step: while there is a fault the reference is where the arm is."""
        if self._speed is None:
            return None
        away = state.q - self._start
        speed = self._speed = np.where(np.abs(away) > SWING, -np.copysign(self._speed, away), self._speed)
        reference = state.q if state.fault or reference is None else reference + speed / RATE
        self._arm.servo(reference, 0.0 * speed if state.fault else speed)
        return reference


def run(robot: str, host: str, changes: dict[str, Any]) -> None:
    """The program: one answer when the arm is entered or not, then one for each question; over again if told so."""
    again = True
    while again:
        again = False
        try:
            with make(robot, host, **changes) as arm:
                say("")
                again = obey(Pilot(arm))
            say("", "left")
        except RobotStackError as error:
            say(str(error))
        except Exception:
            say(traceback.format_exc())


def obey(pilot: Pilot) -> bool:
    """Do what is told until it is to leave; whether to enter again then."""
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what in ("leave", "leave and enter"):
            pilot.end()
            return bool(what != "leave")
        say("", getattr(pilot, what)(*arguments))
    return False


def contract(name: str, robot: str, host: str) -> None:
    """The program: one contract of an arm."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    contracts = importlib.import_module("contracts")
    try:
        getattr(contracts, name)(lambda: make(robot, host), *([7] if "measures" in name else []))
        say("")
    except Exception:
        say(traceback.format_exc())


def say(error: str, result: Any = None) -> None:
    print(json.dumps({"error": error, "result": result}), flush=True)
