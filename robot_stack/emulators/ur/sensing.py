"""What the controller measures: joints, tool, forces."""

import numpy as np

from robot_stack import pose as se3
from robot_stack.emulators.body import Body
from robot_stack.emulators.ur import kinematics
from robot_stack.emulators.ur.kinematics import Vector
from robot_stack.types import Array

NM_PER_AMPERE = 10.0
"""Of every joint: modelled."""

SILLY = 1e6
"""No tool moves so fast [m/s, rad/s]."""


class Sensing:
    """Measured values, as plain numbers in RTDE's units and frames.

    q [rad], qd [rad/s]: six each. flange, base_from_tcp: poses (7,) in the base frame.
    raw_wrench: at the tool, in the base frame [N, Nm]; wrench: the same since it was zeroed.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._bias = [0.0] * 6
        self._flange_from_tcp = se3.IDENTITY
        self.measure()

    def measure(self) -> None:
        """Take over what the body measured last."""
        state = self._body.arm
        self.q: list[float] = state.q.tolist()
        self.qd: list[float] = state.dq.tolist()
        self.raw_wrench: list[float] = state.wrench.tolist()
        self.wrench = [a - b for a, b in zip(self.raw_wrench, self._bias, strict=True)]
        self.flange = kinematics.forward(self.q)
        self.base_from_tcp = se3.compose(self.flange, self._flange_from_tcp)

    def place_tcp(self, flange_from_tcp: Array) -> None:
        """From now on the tool centre point is there on the flange (7,)."""
        self._flange_from_tcp = flange_from_tcp
        self.base_from_tcp = se3.compose(self.flange, flange_from_tcp)

    def zero(self) -> None:
        """From now on the wrench counts from what it is now."""
        self._bias = list(self.raw_wrench)

    def tcp_pose(self) -> list[float]:
        """The UR pose of the tool centre point, which the offset says where it is."""
        return kinematics.ur_pose(self.base_from_tcp)

    def flange_of(self, base_from_tcp: Array) -> Array:
        """base_from_flange (7,) that puts the tool centre point there."""
        return se3.compose(base_from_tcp, se3.inverse(self._flange_from_tcp))

    def commanded_tcp(self, q: list[float]) -> Array:
        """base_from_tcp (7,) at joints that are only commanded."""
        return se3.compose(kinematics.forward(q), self._flange_from_tcp)

    def tcp_jacobian(self) -> Array:
        """(6, 6) of the tool centre point at the measured joints, in the base frame."""
        return kinematics.jacobian(self.q, self.flange, self.base_from_tcp[:3].tolist())

    def joint_speeds(self, twist: list[float]) -> list[float]:
        """The joint speeds [rad/s] for a speed of the tool (6,), damped where the arm is singular.

        ValueError for one that no tool has.
        """
        if not all(abs(speed) < SILLY for speed in twist):
            raise ValueError(f"a tool speed of {twist}")
        jacobian = self.tcp_jacobian()
        damped = jacobian @ jacobian.T + 1e-6 * np.eye(6)
        speeds: list[float] = (jacobian.T @ np.linalg.solve(damped, np.array(twist))).tolist()
        return speeds

    def tcp_speed(self, qd: list[float]) -> list[float]:
        """Linear [m/s] and angular [rad/s] speed of the tool in the base frame, while the joints move with qd."""
        return kinematics.twist(self.q, self.flange, self.base_from_tcp[:3].tolist(), qd)

    def torques(self) -> list[float]:
        """What the drives give now, six [Nm]."""
        torques: list[float] = self._body.world.data.qfrc_actuator[: self._body.joints].tolist()
        return torques

    def currents(self) -> list[float]:
        """The same as motor currents, six [A]."""
        return [torque / NM_PER_AMPERE for torque in self.torques()]

    def elbow(self) -> Vector:
        """Where the elbow is [m]."""
        return kinematics.elbow(self.q)
