"""The arm led by forces: freedrive, teach mode, force mode.

Modelled as an admittance: the tool moves in the free directions as fast as a force is strong, like a body in honey.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from robot_stack import pose as se3
from robot_stack.emulators.ur import kinematics
from robot_stack.emulators.ur.arm import PERIOD, CommandedArm
from robot_stack.emulators.ur.sensing import Sensing
from robot_stack.types import Array

LINEAR, ANGULAR = 400.0, 20.0
"""How much force and torque a speed takes [N s/m, Nm s/rad]: so much that pressing on something hard is stable."""
SPEEDS: Array = np.array([0.5, 0.5, 0.5, 1.0, 1.0, 1.0])
"""Most that a force makes of the tool's speed [m/s, rad/s]."""
_YIELD: Array = 1.0 / np.array([LINEAR] * 3 + [ANGULAR] * 3)


class Compliance:
    """Which directions are free, and what pushes there beside the world. kind: freedrive, teach, force or ''."""

    def __init__(self, sense: Sensing) -> None:
        self.kind = ""
        self._sense = sense
        self._free: Array = np.zeros(6)
        self._frame: Array = se3.IDENTITY
        self._wrench: Array = np.zeros(6)
        self._limits: Array = SPEEDS

    def lead(self, kind: str, axes: Sequence[int], frame: Sequence[float]) -> None:
        """A person leads the arm along the free axes (6 of 0 and 1) of a frame (UR pose, in the base)."""
        self._free, self._frame = np.array(axes, float), kinematics.pose_of(tuple(frame))
        self.kind = kind
        self._wrench, self._limits = np.zeros(6), SPEEDS

    def force(
        self, frame: Sequence[float], axes: Sequence[int], wrench: Sequence[float], limits: Sequence[float]
    ) -> None:
        """The arm itself pushes with a wrench (6,) [N, Nm] along the compliant axes, no faster than their limits."""
        if not all(map(isfinite, [*wrench, *limits])):
            raise ValueError(f"force_mode with a wrench of {list(wrench)} and limits of {list(limits)}")
        self.lead("force", axes, frame)
        self._wrench, self._limits = np.array(wrench), np.abs(np.array(limits))

    def end(self) -> None:
        """Hold the arm again."""
        self.kind = ""

    def move(self, arm: CommandedArm) -> None:
        """One cycle: displace the commanded joints by what the forces ask for."""
        if not self.kind:
            return
        rotation = se3.to_matrix(self._frame)[:3, :3]
        turn = np.kron(np.eye(2), rotation)  # frame to base, for forces and torques alike
        wrench = turn.T @ np.array(self._sense.wrench) + self._wrench
        speed = np.clip(self._free * _YIELD * wrench, -self._limits, self._limits)
        arm.displace([PERIOD * qd for qd in self._sense.joint_speeds((turn @ speed).tolist())])
