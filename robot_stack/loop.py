"""The paced loop around the control step: read, step, command, publish, once every control period."""

from collections.abc import Callable
from math import inf

from robot_stack.arms import Arm
from robot_stack.bus import Bus
from robot_stack.clock import Rate, now
from robot_stack.control import Controller
from robot_stack.spec import Record
from robot_stack.station import GRIPPER, REQUEST, Station
from robot_stack.types import GripperState, TargetKind

LEAVING = 0.25
"""Told to stop, the loop brakes for at most this long before the arm is halted [s]: a fast arm needs 0.2."""


class ControlLoop:
    """Flies the arm: read, step, servo, publish, once every control period.

    Told to stop, it brakes within the limits first. The arm is halted however the loop ends.
    """

    def __init__(self, arm: Arm, controller: Controller, bus: Bus, station: Station) -> None:
        self.arm = arm
        self.controller = controller
        self.rate = station.control_rate
        self.request = bus.subscriber(REQUEST)
        self.operator = bus.subscriber(station.operator)
        self.chunk = bus.subscriber(station.chunk)
        self.gripper = bus.subscriber(GRIPPER)
        self.control = bus.publisher(station.control)

    def run(self, stop: Callable[[], bool]) -> None:
        """Until `stop()`, at absolute deadlines. A tick does no other I/O, takes no lock and writes no log."""
        try:
            self.controller.seed(self.arm.read())
            self._loop(stop)
        finally:
            self.arm.halt()

    def _loop(self, stop: Callable[[], bool]) -> None:
        rate = Rate(self.rate)
        tick, work, until = 0, 0.0, inf
        self._guides = self._recovers = False
        while now() < until and not (until < inf and self.controller.at_rest):
            late = rate.sleep()
            woke = now()
            record = self._tick(leaving=until < inf)
            record["tick"], record["late"], record["work"], record["missed"] = tick, late, work, rate.missed
            self.control.send(record)
            tick, work = tick + 1, now() - woke
            if until == inf and stop():
                until = now() + LEAVING

    def _tick(self, leaving: bool) -> Record:
        """leaving: whatever others ask for, come to rest."""
        state = self.arm.read()
        measured = self.gripper.latest()
        grip = None if measured is None else GripperState(float(measured["time"]), float(measured["opening"]))
        request = None if leaving else self.request.latest()
        operator, chunk = self.operator.latest(), self.chunk.latest()
        record = self.controller.step(now(), state, grip, request, operator, chunk)
        self._command(record, request)
        return record

    def _command(self, record: Record, request: Record | None) -> None:
        """Pass on what was decided: switch guiding, begin a recovery that a person asks for, or move."""
        guides = int(record["requested.kind"]) == TargetKind.GUIDE
        if guides is not self._guides:
            self._guides = guides
            self.arm.guide(guides)
        recovers = request is not None and bool(request["recover"])
        if recovers and not self._recovers and record["fault"] != b"":
            self.arm.recover()
        self._recovers = recovers
        if not guides:
            self.arm.servo(record["target.q"], record["target.dq"])
