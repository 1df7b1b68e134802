"""From a client's commands to the joints that the arm should follow, with the checks that end a motion in a reflex.

What the checks mean is in the Franka documentation: a "velocity discontinuity" is too much acceleration, an
"acceleration discontinuity" too much jerk. How far the first command may be from where the arm is held, none says.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from robot_stack import pose as se3
from robot_stack.emulators.franka.derivatives import Signal
from robot_stack.emulators.franka.frames import Frames, Skeleton, is_rigid, matrix_of
from robot_stack.emulators.franka.limits import JOINT_TOLERANCE, Limits
from robot_stack.emulators.franka.plant import STEP
from robot_stack.spec import Record
from robot_stack.types import Array

START = 5e-3
"""A motion must begin this close to where the arm is held [rad, m]."""
DAMPING = 1e-6
"""Of the inverse kinematics [m^2]."""


class MotionGenerator(Protocol):
    """A motion in progress. joints: where the arm should be, and how fast."""

    joints: Signal

    def take(self, command: Record) -> list[str]:
        """Follow the next command; the errors that it raises."""
        ...

    def coast(self) -> list[str]:
        """Go on without a command, because it was lost."""
        ...


class JointGenerator:
    """Joints or their velocities, as commanded."""

    def __init__(self, q: Array, limits: Limits, strict: bool, velocities: bool) -> None:
        self.joints = Signal(q)
        self._limits, self._strict, self._velocities = limits, strict, velocities
        self._begun = False

    def take(self, command: Record) -> list[str]:
        if self._velocities:
            self.joints.take_rate(np.array(command["dq_c"]))
            return list(self._errors())
        q = np.array(command["q_c"])
        if not self._begun and np.abs(q - self.joints.value).max() > START:
            return ["joint_position_motion_generator_start_pose_invalid"]
        self._begun = True
        self.joints.take_value(q)
        return list(self._errors())

    def coast(self) -> list[str]:
        self.joints.coast()
        return list(_position_errors(self.joints, self._limits, "joint_motion_generator"))

    def _errors(self) -> Iterator[str]:
        share, slack, jerk_slack = JOINT_TOLERANCE
        limits, joints = self._limits, self.joints
        yield from _position_errors(joints, limits, "joint_motion_generator")
        if self._strict and (np.abs(joints.change) > (1 + share) * limits.acceleration + slack).any():
            yield "joint_motion_generator_velocity_discontinuity"
        if self._strict and (np.abs(joints.jerk) > (1 + share) * limits.jerk + jerk_slack).any():
            yield "joint_motion_generator_acceleration_discontinuity"


class CartesianGenerator:
    """Poses of the end effector or its velocities, as commanded, turned into joints by damped least squares.

    pose: O_T_EE_c (4, 4). twist: signal of the pose's velocity (6,). elbow: signal of joint 3 (1,) [rad].
    """

    def __init__(
        self, q: Array, limits: Limits, strict: bool, velocities: bool, skeleton: Skeleton, frames: Frames
    ) -> None:
        self.joints = Signal(q)
        self._limits, self._strict, self._velocities = limits, strict, velocities
        self._skeleton, self._F_T_EE = skeleton, frames.F_T_EE
        skeleton.place(q)
        self.pose: Array = skeleton.flange() @ self._F_T_EE
        self.twist, self.elbow = Signal(np.zeros(6)), Signal(q[2:3].copy())
        self._begun = False

    def take(self, command: Record) -> list[str]:
        pose = self._moved(np.array(command["O_dP_EE_c"])) if self._velocities else matrix_of(command["O_T_EE_c"])
        if not is_rigid(pose):
            return ["cartesian_position_motion_generator_invalid_frame"]
        if not self._begun and np.abs(pose - self.pose).max() > START:
            return ["cartesian_position_motion_generator_start_pose_invalid"]
        self._begun = True
        elbow = command["elbow_c"] if command["valid_elbow"] else None
        if elbow is not None and np.sign(elbow[1]) != np.sign(self.joints.value[3]):
            return ["cartesian_motion_generator_elbow_sign_inconsistent"]
        self._follow(pose, None if elbow is None else float(elbow[0]))
        return list(self._errors())

    def coast(self) -> list[str]:
        twist = self.twist.rate
        self._follow(self._moved(twist + STEP * self.twist.change), None)
        return list(_position_errors(self.joints, self._limits, "cartesian_motion_generator_joint"))

    def _moved(self, twist: Array) -> Array:
        """The pose after a step at this velocity: linear and angular in the base (6,)."""
        step = se3.to_matrix(se3.exp(np.concatenate([np.zeros(3), STEP * twist[3:]])))
        pose = self.pose.copy()
        pose[:3, :3] = step[:3, :3] @ self.pose[:3, :3]
        pose[:3, 3] += STEP * twist[:3]
        return pose

    def _follow(self, pose: Array, elbow: float | None) -> None:
        self.twist.take_value(self.twist.value + _way(self.pose, pose))
        self.pose = pose
        if elbow is not None:
            self.elbow.take_value(np.array([elbow]))
        self.joints.take_value(self._inverse(pose, elbow))

    def _inverse(self, pose: Array, elbow: float | None) -> Array:
        q = self.joints.value
        self._skeleton.place(q)
        here = self._skeleton.flange() @ self._F_T_EE
        jacobian, way = self._skeleton.jacobian(here[:3, 3]), _way(here, pose)
        if elbow is not None:
            jacobian, way = np.vstack([jacobian, np.eye(7)[2]]), np.append(way, elbow - q[2])
        normal = jacobian @ jacobian.T
        normal.ravel()[:: len(normal) + 1] += DAMPING
        solution: Array = q + jacobian.T @ np.linalg.solve(normal, way)
        return solution

    def _errors(self) -> Iterator[str]:
        limits = self._limits
        speeds = [_norms(signal) for signal in (self.twist.rate, self.twist.change, self.twist.jerk)]
        most = list(zip(limits.translation, limits.rotation, strict=True))
        if _exceed(speeds[0], most[0], 0.0):
            yield "cartesian_motion_generator_velocity_limits_violation"
        _, slack, jerk_slack = JOINT_TOLERANCE
        if self._strict and _exceed(speeds[1], most[1], slack):
            yield "cartesian_motion_generator_velocity_discontinuity"
        if self._strict and _exceed(speeds[2], most[2], jerk_slack):
            yield "cartesian_motion_generator_acceleration_discontinuity"
        yield from _position_errors(self.joints, limits, "cartesian_motion_generator_joint")


def _position_errors(joints: Signal, limits: Limits, prefix: str) -> Iterator[str]:
    if limits.outside(joints.value):
        yield f"{prefix}_position_limits_violation"
    if limits.too_fast(joints.value, joints.rate):
        yield f"{prefix}_velocity_limits_violation"


def _way(a: Array, b: Array) -> Array:
    """From one pose to another (4, 4), both near: translation and rotation vector in the base (6,)."""
    turn = b[:3, :3] @ a[:3, :3].T
    axis = 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    return np.concatenate([b[:3, 3] - a[:3, 3], axis])


def _norms(twist: Array) -> tuple[float, float]:
    return float(np.linalg.norm(twist[:3])), float(np.linalg.norm(twist[3:]))


def _exceed(values: tuple[float, float], most: tuple[float, float], slack: float) -> bool:
    share, _, _ = JOINT_TOLERANCE
    return any(value > (1 + share) * limit + slack for value, limit in zip(values, most, strict=True))
