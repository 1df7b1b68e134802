"""What is measured, and why the arm must stop: trusts neither the arm nor those who limit its setpoint."""

from collections.abc import Iterable
from math import hypot, isfinite
from operator import le, sub

import numpy as np

from robot_stack.limits import Limits
from robot_stack.robots import Robot
from robot_stack.types import ArmState, Array

NOISE = 0.02
"""A measured joint may differ this much from one reading to the next beyond what its speed explains [rad]."""

PRESSED = 0.01
"""A wrench beyond its limit stops the arm after this long [s]. A peg that meets a rim gives single samples of 144 N,
and noise in a sensor gives such samples, too; at 0.25 m/s the arm goes on for 2.5 mm meanwhile."""

MORE = 1.1
"""A wrench that stopped the arm may grow by this factor before it is said again."""


class Watch:
    """Looks at each measurement of one arm."""

    def __init__(self, robot: Robot, limits: Limits) -> None:
        self._robot, self._limits = robot, limits
        n = len(robot.joints)
        self._fast = 1.5 * robot.velocity
        self._noise, self._astray = [NOISE] * n, [limits.tracking] * n
        self._sizes = (("q", n), ("dq", n), ("base_from_tcp", 7), ("wrench", 6))
        self.forget()

    def forget(self) -> None:
        """The next measurement is the first."""
        self._last: ArmState | None = None
        self._pressed: float | None = None  # since when the wrench is more than is bearable, in parts of its limit
        self._bearable = 1.0

    def check(self, now: float, state: ArmState, setpoint: Array | list[float]) -> str:
        """Why the arm must stop: limit, value and source; empty when all is well."""
        return (
            self._check_shape(state)
            or self._check_time(now, state)
            or self._check_place(state, setpoint)
            or self._check_wrench(state)
        )

    def _check_shape(self, state: ArmState) -> str:
        for name, size in self._sizes:
            value: Array = getattr(state, name)
            if value.shape != (size,):
                return f"arm: {name} has shape {value.shape}, expected ({size},)"
            if not isfinite(sum(value.tolist())):
                return f"arm: {name} is not finite: {value.round(3)}"
        return ""

    def _check_time(self, now: float, state: ArmState) -> str:
        age = now - state.time
        if not abs(age) <= self._limits.state_age:
            return f"arm: state is {age:.3f} s old, limit {self._limits.state_age:.3f} s"
        return ""

    def _check_place(self, state: ArmState, setpoint: Array | list[float]) -> str:
        last, self._last = self._last or state, state
        q, before = state.q.tolist(), last.q.tolist()
        if not _at_most(self._noise, map(sub, q, before)):
            beyond = np.abs(state.q - last.q) - self._fast * max(0.0, state.time - last.time)
            joint = int(beyond.argmax())
            if beyond[joint] > NOISE:
                return f"arm: {self._robot.joints[joint]} jumped from {before[joint]:.3f} to {q[joint]:.3f} rad"
        if not _at_most(self._astray, map(sub, q, setpoint)):
            joint = int(np.abs(state.q - setpoint).argmax())
            name, error, limit = self._robot.joints[joint], abs(q[joint] - setpoint[joint]), self._limits.tracking
            return f"arm: {name} is {error:.3f} rad from its setpoint, limit {limit:.3f} rad"
        return ""

    def _check_wrench(self, state: ArmState) -> str:
        """Said once, so that a reset is possible while the arm still presses; then only what is more, or again."""
        x, y, z, i, j, k = state.wrench.tolist()
        force, torque = hypot(x, y, z), hypot(i, j, k)
        load = max(force / self._limits.force, torque / self._limits.torque)
        self._bearable = max(1.0, min(self._bearable, MORE * load))
        if load <= self._bearable:
            self._pressed = None
        elif self._pressed is None:
            self._pressed = state.time
        if self._pressed is None or state.time - self._pressed < PRESSED:
            return ""
        self._bearable = MORE * load
        if force > self._limits.force:
            return f"arm: the tool is pressed with {force:.0f} N, limit {self._limits.force:.0f} N"
        return f"arm: the tool is turned with {torque:.1f} Nm, limit {self._limits.torque:.1f} Nm"


def _at_most(limits: list[float], values: Iterable[float]) -> bool:
    """Whether no value is larger than its limit, whatever its sign; what is no number is."""
    return all(map(le, map(abs, values), limits))
