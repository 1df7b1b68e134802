"""Motions that the robot plans by itself: to rest, and to joints that a client names without commanding the way."""

import numpy as np
from ruckig import ControlInterface, InputParameter, OutputParameter, Result, Ruckig

from robot_stack.emulators.franka.derivatives import Signal
from robot_stack.emulators.franka.limits import Limits
from robot_stack.emulators.franka.plant import STEP
from robot_stack.types import Array


class Glide:
    """One motion at a time within acceleration and jerk limits. joints: where the arm should be, and how fast."""

    def __init__(self, q: Array, limits: Limits) -> None:
        self.joints = Signal(q)
        self._limits = limits
        self._ruckig, self._output = Ruckig(7, STEP), OutputParameter(7)
        self._input = InputParameter(7)
        self._input.max_acceleration, self._input.max_jerk = limits.acceleration, limits.jerk
        self._moving = False

    def rest(self, q: Array, dq: Array) -> None:
        """Brake, from joints that move like this (7,) [rad, rad/s]."""
        self.joints = Signal(q.copy())
        self.joints.rate = dq.copy()
        self._input.control_interface = ControlInterface.Velocity
        self._input.target_velocity, self._input.target_acceleration = np.zeros(7), np.zeros(7)
        self._begin(q, dq, np.zeros(7))

    def go(self, q: Array, velocity: Array) -> None:
        """Be at rest at q (7,) [rad] in the end, on the way no faster than velocity (7,) [rad/s]."""
        self._input.control_interface = ControlInterface.Position
        self._input.max_velocity = np.clip(velocity, 1e-3, self._limits.velocity)
        self._input.target_position = q
        self._input.target_velocity, self._input.target_acceleration = np.zeros(7), np.zeros(7)
        self._begin(self.joints.value, self.joints.rate, self.joints.change)

    def step(self) -> None:
        """Go on for a millisecond."""
        if not self._moving:
            return
        result = self._ruckig.update(self._input, self._output)
        self._moving = result == Result.Working
        if result >= Result.Working:
            self._output.pass_to_input(self._input)
            self.joints.value = np.array(self._output.new_position)
            self.joints.rate = np.array(self._output.new_velocity)
            self.joints.change = np.array(self._output.new_acceleration)
        if not self._moving:
            self.joints.rate, self.joints.change = np.zeros(7), np.zeros(7)

    def close(self) -> None:
        """Give ruckig back while Python still runs: at the very end it complains of a leak."""
        del self._ruckig, self._input, self._output

    def _begin(self, q: Array, dq: Array, ddq: Array) -> None:
        self._input.current_position, self._input.current_velocity, self._input.current_acceleration = q, dq, ddq
        self._moving = True
