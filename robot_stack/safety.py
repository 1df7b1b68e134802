"""What this arm may do, whoever asks. Limits change a request as little as they must; a broken input stops the arm.

Three fences, one behind the other. `clamp` and `advance` shape what is asked: into the box and the joint limits, and
towards it no faster than allowed. `limit` looks at the motion that would follow: it lets a step pass only if braking
right after it still ends inside every limit, and brakes otherwise, so that the limits hold whatever is asked. `check`
trusts neither the arm nor the rest of this file: it names what is wrong, and the arm stops.
"""

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from robot_stack import pose as se3
from robot_stack.kinematics import Kinematics
from robot_stack.trajectory import Follower, Target
from robot_stack.types import ArmState, Array, ConfigError, TargetKind

JOINT_MARGIN = 0.01
"""Requests end this far inside the joint limits [rad]."""

PACE, BARRIER = 0.9, 0.95
"""Of the TCP limits: what the reference moves at, and where braking begins. The rest is for joints that catch up."""

ON_TIME = 0.05
"""A reference that is less than this behind what was asked is not called limited [s]."""

INSTANTS = (0.15, 0.4, 1.0)
"""Where the way to rest is looked at, in parts of its time: while acceleration fades, under way, at rest."""

UNIT = 0.1
"""A quaternion whose length differs from 1 by more is no rotation."""

NOISE = 0.02
"""A measured joint may differ this much from one reading to the next beyond what its speed explains [rad]."""

AXES = "xyz"


@dataclass(frozen=True)
class Limits:
    """What one installation allows; the robot's own limits are in `robots`.

    box_min, box_max: where the TCP may be, in the base frame [m]. margin: how far inside the box requests end [m].
    tcp_speed [m/s] and tcp_rotation [rad/s]: of the TCP (ISO 10218-1 calls 0.25 m/s reduced speed).
    joint_velocity, joint_acceleration, joint_jerk: parts of the robot's own limits, 0..1.
    tracking: most a joint may be away from its setpoint [rad].
    state_age, request_age, operator_age, chunk_age: oldest arm state, request of the parent process, operator input and
    observation of a chunk to act on [s].
    """

    box_min: tuple[float, float, float] = (0.15, -0.5, 0.005)
    box_max: tuple[float, float, float] = (0.85, 0.5, 0.7)
    margin: float = 0.005
    tcp_speed: float = 0.5
    tcp_rotation: float = 2.0
    joint_velocity: float = 0.5
    joint_acceleration: float = 1.0
    joint_jerk: float = 1.0
    tracking: float = 0.4
    state_age: float = 0.2
    request_age: float = 0.5
    operator_age: float = 0.2
    chunk_age: float = 1.5

    def __post_init__(self) -> None:
        for axis, low, high in zip(AXES, self.box_min, self.box_max, strict=True):
            if not low + 2 * self.margin < high:
                raise ConfigError(
                    f"the box has no room along {axis}: {low} to {high} m, less {self.margin} m each side"
                )
        for name in ("joint_velocity", "joint_acceleration", "joint_jerk"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a part of the robot's own limit, 0..1")
        for name in ("tcp_speed", "tcp_rotation", "tracking", "state_age", "request_age", "operator_age", "chunk_age"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0")


class Safety:
    """The limits of one arm, applied every `period` [s]. `speed` in its methods is the override, 0..1 of the limits."""

    def __init__(self, kinematics: Kinematics, limits: Limits, period: float) -> None:
        self.limits = limits
        self.robot = kinematics.robot
        self.period = period
        self.velocity = limits.joint_velocity * self.robot.velocity
        self._kinematics = kinematics
        self._low, self._high = np.array(limits.box_min), np.array(limits.box_max)
        self._pose_low, self._pose_high = self._low + limits.margin, self._high - limits.margin
        self._stop_low, self._stop_high = self._low + 0.5 * limits.margin, self._high - 0.5 * limits.margin
        self._q_low, self._q_high = self.robot.lower + JOINT_MARGIN, self.robot.upper - JOINT_MARGIN
        self._reach = self.robot.velocity * 1.5
        n = len(self.robot.joints)
        self._sizes = (("q", n), ("dq", n), ("base_from_tcp", 7), ("wrench", 6))
        self._last: ArmState | None = None

    def follower(self) -> Follower:
        """A follower within the joint limits."""
        acceleration = self.limits.joint_acceleration * self.robot.acceleration
        return Follower(self.velocity, acceleration, self.limits.joint_jerk * self.robot.jerk, self.period)

    def forget(self) -> None:
        """The next measurement is the first."""
        self._last = None

    # --- what is asked ------------------------------------------------------------------------------------------------

    def refuse(self, target: Target) -> str:
        """Why this is no target at all, empty when it is one."""
        if target.kind not in (TargetKind.POSE, TargetKind.JOINTS):
            return (
                f"a target of kind {target.kind}, expected {TargetKind.POSE:d} (pose) or {TargetKind.JOINTS:d} (joints)"
            )
        asked = target.pose if target.kind == TargetKind.POSE else target.q
        if not (isfinite(asked.dot(asked)) and isfinite(target.grip)):
            return f"a target that is not finite: {asked.round(3)}, grip {target.grip:.3f}"
        if target.kind == TargetKind.POSE:
            length = sqrt(asked[3:].dot(asked[3:]))
            if abs(length - 1.0) > UNIT:
                return f"a quaternion of length {length:.3f}, expected 1"
        return ""

    def clamp_pose(self, pose: Array) -> tuple[Array, str]:
        """The nearest pose (7,) inside the box, and what was changed."""
        result = se3.normalize(pose)
        result[:3] = np.minimum(np.maximum(pose[:3], self._pose_low), self._pose_high)
        excess = np.abs(result[:3] - pose[:3])
        axis = int(excess.argmax())
        if excess[axis] == 0.0:
            return result, ""
        return result, f"box: {AXES[axis]} {pose[axis]:.3f} m asked, limit {result[axis]:.3f} m"

    def clamp_joints(self, q: Array) -> tuple[Array, str]:
        """The nearest joints (n,) inside the joint limits, and what was changed."""
        result = np.minimum(np.maximum(q, self._q_low), self._q_high)
        excess = np.abs(result - q)
        joint = int(excess.argmax())
        if excess[joint] == 0.0:
            return result, ""
        return result, f"{self.robot.joints[joint]} {q[joint]:.3f} rad asked, limit {result[joint]:.3f} rad"

    def advance_pose(self, reference: Array, pose: Array, speed: float) -> tuple[Array, str]:
        """One period's way from the reference (7,) towards a pose, straight and no faster than the TCP may."""
        metres, radians = se3.distance(reference, pose)
        pace = PACE * speed
        seconds = max(metres / (pace * self.limits.tcp_speed), radians / (pace * self.limits.tcp_rotation))
        if seconds <= self.period:
            return pose, ""
        return se3.interpolate(reference, pose, self.period / seconds), self._late(seconds)

    def advance_joints(self, reference: Array, q: Array, speed: float) -> tuple[Array, str]:
        """One period's way from reference joints (n,) towards others, no faster than TCP and joints may."""
        way = q - reference
        seconds = self._seconds(way, self._kinematics.jacobian(reference)) / (PACE * speed)
        if seconds <= self.period:
            return q, ""
        return reference + way * (self.period / seconds), self._late(seconds)

    def _seconds(self, way: Array, jacobian: Array) -> float:
        """How long this way of the joints (n,) [rad] takes at full speed of the TCP or of the slowest joint [s]."""
        twist = jacobian.dot(way)
        line, turn = twist[:3], twist[3:]
        return max(
            sqrt(line.dot(line)) / self.limits.tcp_speed,
            sqrt(turn.dot(turn)) / self.limits.tcp_rotation,
            float((np.abs(way) / self.velocity).max()),
        )

    def _late(self, seconds: float) -> str:
        return f"speed: asked for is {seconds:.2f} s away" if seconds > ON_TIME else ""

    # --- what would follow --------------------------------------------------------------------------------------------

    def limit(self, follower: Follower, goal: Array, speed: float) -> str:
        """Move the follower one period towards `goal` (n,), or let it brake and say why."""
        jacobian = self._kinematics.jacobian(follower.motion.q)
        wish = follower.wish(goal)
        follower.propose(wish * (speed / max(speed, self._seconds(wish, jacobian) / PACE)))
        reason = self._danger(follower, jacobian, speed)
        if reason:
            follower.brake()
        else:
            follower.go()
        return reason

    def _danger(self, follower: Follower, jacobian: Array, speed: float) -> str:
        """What would be exceeded if the arm made the proposed step and then braked as fast as it can."""
        early, late, rest = follower.stopping(INSTANTS)
        velocities = np.array([follower.candidate.dq, follower.peak(), early[1], late[1]])
        return (
            self._joints_too_fast(velocities)
            or self._tcp_too_fast(velocities.dot(jacobian.T), speed)
            or self._beyond_joints(follower.motion.q, rest[0])
            or self._out_of_box(follower.motion.q, late[0])
            or self._out_of_box(follower.motion.q, rest[0])
        )

    def _joints_too_fast(self, velocities: Array) -> str:
        excess = np.abs(velocities) - self.velocity
        if excess.max() <= 0.0:
            return ""
        joint = int(excess.max(axis=0).argmax())
        fastest = float(np.abs(velocities[:, joint]).max())
        return f"{self.robot.joints[joint]}: {fastest:.3f} rad/s ahead, limit {self.velocity[joint]:.3f} rad/s"

    def _tcp_too_fast(self, twists: Array, speed: float) -> str:
        rows = twists.tolist()
        fastest = sqrt(max(x * x + y * y + z * z for x, y, z, _, _, _ in rows))
        turning = sqrt(max(x * x + y * y + z * z for _, _, _, x, y, z in rows))
        if fastest > BARRIER * speed * self.limits.tcp_speed:
            return f"TCP speed: {fastest:.3f} m/s ahead, limit {speed * self.limits.tcp_speed:.3f} m/s"
        if turning > BARRIER * speed * self.limits.tcp_rotation:
            return f"TCP rotation: {turning:.3f} rad/s ahead, limit {speed * self.limits.tcp_rotation:.3f} rad/s"
        return ""

    def _beyond_joints(self, now: Array, q: Array) -> str:
        """Joints that would come to rest beyond a limit, and further out than they are."""
        beyond = np.maximum(self.robot.lower - q, q - self.robot.upper)
        if beyond.max() <= 0.0:
            return ""
        further = beyond - np.maximum(self.robot.lower - now, now - self.robot.upper).clip(0.0)
        joint = int(further.argmax())
        if further[joint] <= 0.0:
            return ""
        limit = self.robot.lower[joint] if q[joint] < self.robot.lower[joint] else self.robot.upper[joint]
        return f"{self.robot.joints[joint]}: {q[joint]:.3f} rad ahead, limit {limit:.3f} rad"

    def _out_of_box(self, now: Array, q: Array) -> str:
        """A TCP that would leave the box, less half the margin for the curve on the way, further than it is out."""
        point = self._kinematics.position(q)
        outside = self._outside(point)
        if outside.max() <= 0.0:
            return ""
        further = outside - self._outside(self._kinematics.position(now)).clip(0.0)
        axis = int(further.argmax())
        if further[axis] <= 0.0:
            return ""
        limit = self._low[axis] if point[axis] < self._stop_low[axis] else self._high[axis]
        return f"box: {AXES[axis]} {point[axis]:.3f} m ahead, limit {limit:.3f} m"

    def _outside(self, point: Array) -> Array:
        outside: Array = np.maximum(self._stop_low - point, point - self._stop_high)
        return outside

    # --- what is measured ---------------------------------------------------------------------------------------------

    def check(self, now: float, state: ArmState, setpoint: Array) -> str:
        """Why the arm must stop: limit, value and source; empty when all is well."""
        return self._check_shape(state) or self._check_time(now, state) or self._check_place(state, setpoint)

    def _check_shape(self, state: ArmState) -> str:
        for name, size in self._sizes:
            value: Array = getattr(state, name)
            if value.shape != (size,):
                return f"arm: {name} has shape {value.shape}, expected ({size},)"
            if not isfinite(value.dot(value)):
                return f"arm: {name} is not finite: {value.round(3)}"
        return ""

    def _check_time(self, now: float, state: ArmState) -> str:
        age = now - state.time
        if not abs(age) <= self.limits.state_age:
            return f"arm: state is {age:.3f} s old, limit {self.limits.state_age:.3f} s"
        return ""

    def _check_place(self, state: ArmState, setpoint: Array) -> str:
        last, self._last = self._last or state, state
        jump = np.abs(state.q - last.q) - self._reach * max(0.0, state.time - last.time)
        joint = int(jump.argmax())
        if jump[joint] > NOISE:
            return f"arm: {self.robot.joints[joint]} jumped from {last.q[joint]:.3f} to {state.q[joint]:.3f} rad"
        error = np.abs(state.q - setpoint)
        joint = int(error.argmax())
        if not error[joint] <= self.limits.tracking:
            name, limit = self.robot.joints[joint], self.limits.tracking
            return f"arm: {name} is {error[joint]:.3f} rad from its setpoint, limit {limit:.3f} rad"
        return ""
