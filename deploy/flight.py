"""The arm flown by a program at the terminal, through the control process of the service.

The motion test and the way home fly this way: on a bus of their own, with the limits, stops and watchdogs of every
other flight, and this program in the place of parent and operator. However it ends, the arm comes to rest first.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from deploy import cell
from deploy.worker import Worker, spawn
from robot_stack.bus import SharedBus
from robot_stack.clock import Rate, now
from robot_stack.spec import Record
from robot_stack.station import GRIPPER, REQUEST
from robot_stack.types import Array, Mode, RobotStackError, TargetKind
from teleop import OperatorInput
from teleop.lockstep import message

RATE = 50.0
"""Of this program's turns: each asks as operator, every fifth is a heartbeat [Hz]."""
HEARTBEAT = 5
STARTING = 60.0
"""Longest that the processes may take to report: the first time, meshes are decimated [s]."""
SILENCE = 1.0
"""Control that says nothing for so long is gone [s]."""
RESTING = 2.0
"""Longest that the arm is waited for to come to rest before its process is ended, which also stops it [s]."""


class FlightError(RobotStackError):
    """A flight that cannot go on: what stopped the arm, or which process ended, in its own words."""


class Flight:
    """Control, gripper and, in simulation, the world, for as long as the context lasts; entering moves nothing.

    config: of a verb, with `robot` and `task`. speed: override, 0..1 of the limits. control: the newest record of the
    control process. opening: of the gripper [m].
    """

    control: Record
    opening: float

    def __init__(self, config: Mapping[str, Any], speed: float) -> None:
        self.station = cell.station({**config, "rate": 10.0})
        self._config, self._speed = config, speed
        self._session = f"flight-{os.getpid()}"
        self._mode, self._asked = Mode.HOLD, OperatorInput()
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="robot-stack-flight-")
        self._bus = SharedBus(self._session)
        self._requests, self._operators = self._bus.publisher(REQUEST), self._bus.publisher(self.station.operator)
        self._controls, self._gripper = self._bus.subscriber(self.station.control), self._bus.subscriber(GRIPPER)
        self._rate, self._turn = Rate(RATE), 0
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._come_to_rest()
        finally:
            self._end()

    def _start(self) -> None:
        """Start the processes, and wait until each has said something."""
        robot = self._config["robot"]
        shared = {
            "station": cell.to_json(self.station),
            "robot": robot["name"],
            "task": self._config["task"]["name"],
        }
        jobs = {
            "world": {"driver": robot["world"]},
            "control": {"driver": robot["arm"], "limits": robot["limits"]},
            "gripper": {"driver": robot["gripper"]},
        }
        self._workers = [
            spawn(kind, self._session, {**shared, **own}, Path(self._folder.name))
            for kind, own in jobs.items()
            if own["driver"] is not None
        ]
        deadline = now() + STARTING
        while (control := self._controls.latest()) is None or self._gripper.latest() is None:
            self._beat()
            self._check_workers()
            if now() > deadline:
                raise FlightError(f"the arm's processes were not ready after {STARTING:.0f} s")
        self.control = control
        self._look()

    # --- what is asked ------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Come to rest and stay there."""
        self._mode, self._asked = Mode.HOLD, OperatorInput()

    def go_home(self) -> None:
        """Fly home as the service does."""
        self._mode, self._asked = Mode.HOME, OperatorInput()

    def ask(self, q: Array, opening: float) -> None:
        """Fly to joints (n,) [rad] and fingers this far apart [m], as an operator who stays engaged."""
        self._mode = Mode.RUN
        self._asked = OperatorInput(engaged=True, kind=TargetKind.JOINTS, q=q, grip=opening)

    def step(self) -> list[Record]:
        """One turn, a fiftieth of a second: ask, and return what control did meanwhile; FlightError if it stopped."""
        self._beat()
        self._check_workers()
        records = self._controls.drain()
        if records:
            self.control = records[-1]
        self._look()
        return records

    def _beat(self) -> None:
        self._rate.sleep()
        if self._turn % HEARTBEAT == 0:
            self._requests.send(REQUEST.spec.record(time=now(), mode=self._mode, speed=self._speed))
        self._operators.send(message(self._asked, self.station, now()))
        self._turn += 1

    def _look(self) -> None:
        """Take in what was measured; raise what stopped the arm."""
        gripper, control = self._gripper.latest(), self.control
        if gripper is not None:
            self.opening = float(gripper["opening"])
        if control["mode"] == Mode.STOP:
            raise FlightError(f"the arm was stopped: {control['reason'].item().decode(errors='replace')}")
        if now() - float(control["time"]) > SILENCE:
            raise FlightError(f"nothing was heard of the arm for {SILENCE:.0f} s")

    def _check_workers(self) -> None:
        for worker in self._workers:
            if not worker.alive:
                raise FlightError(f"{worker.name}: {worker.reason or worker.ending}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        """Nobody flies any more; while control lives, it brakes within its limits."""
        self.hold()
        until = now() + RESTING
        while self._moves() and now() < until and all(worker.alive for worker in self._workers):
            self._beat()

    def _moves(self) -> bool:
        control = self._controls.latest()
        return control is not None and bool(np.any(control["target.dq"])) and control["mode"] != Mode.STOP

    def _end(self) -> None:
        for worker in reversed(self._workers):
            worker.ask_to_stop()
        for worker in reversed(self._workers):
            worker.stop()
        self._bus.close()
        self._folder.cleanup()
