"""What this arm may do, whoever asks. Limits change a request as little as they must; a broken input stops the arm.

Three fences, one behind the other. `clamp` and `advance` shape what is asked: into the box and the joint limits, and
towards it no faster than allowed. `limit` looks at the motion that would follow: it lets a step pass only if braking
right after it still ends inside every limit, and brakes otherwise, so that the limits hold whatever is asked. `check`
trusts neither the arm nor the rest of this file: it names what is wrong, and the arm stops.

Each test is made in plain floats first, which is what nearly every tick pays for; arrays only find the words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import hypot, inf, isfinite, sumprod
from operator import le, mul, sub, truediv

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
    state_age, request_age, operator_age, chunk_age, frame_age: oldest arm state, request of the parent process,
    operator input, observation of a chunk, and picture in that observation to act on [s].
    engage: most a leader arm may be away from the arm when its operator begins to fly [rad].
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
    frame_age: float = 0.5
    engage: float = 0.3

    def __post_init__(self) -> None:
        if not self.margin >= 0.0:
            raise ConfigError(f"margin is {self.margin}, expected 0 or more: it lies inside the box")
        for axis, low, high in zip(AXES, self.box_min, self.box_max, strict=True):
            if not low + 2 * self.margin < high:
                raise ConfigError(
                    f"the box has no room along {axis}: {low} to {high} m, less {self.margin} m each side"
                )
        for name in ("joint_velocity", "joint_acceleration", "joint_jerk"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a part of the robot's own limit, 0..1")
        ages = ("state_age", "request_age", "operator_age", "chunk_age", "frame_age")
        for name in ("tcp_speed", "tcp_rotation", "tracking", "engage", *ages):
            if not 0.0 < getattr(self, name) < inf:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0, and a limit")


Span = tuple[list[float], list[float]]
"""The lowest and the highest that something may be, component by component."""


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
        n = len(self.robot.joints)
        self._pose_box: Span = self._pose_low.tolist(), self._pose_high.tolist()
        self._stop_box: Span = self._stop_low.tolist(), self._stop_high.tolist()
        self._q_box: Span = self._q_low.tolist(), self._q_high.tolist()
        self._q_span: Span = self.robot.lower.tolist(), self.robot.upper.tolist()
        self._fastest: list[float] = self.velocity.tolist()
        self._reach: list[float] = kinematics.reach.tolist()
        self._fast = 1.5 * self.robot.velocity
        self._noise, self._astray = [NOISE] * n, [limits.tracking] * n
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

    def refuse(self, target: Target, by_hand: bool = False) -> str:
        """Why this is no target at all, empty when it is one. by_hand: it may be that a person leads the arm."""
        if by_hand and target.kind == TargetKind.GUIDE:  # whose pose and joints are not looked at
            return "" if isfinite(target.grip) else f"a target that is not finite: grip {target.grip:.3f}"
        if target.kind not in (TargetKind.POSE, TargetKind.JOINTS):
            return (
                f"a target of kind {target.kind}, expected {TargetKind.POSE:d} (pose) or {TargetKind.JOINTS:d} (joints)"
            )
        asked = (target.pose if target.kind == TargetKind.POSE else target.q).tolist()
        if not isfinite(sumprod(asked, asked) + target.grip):
            return f"a target that is not finite: {np.round(asked, 3)}, grip {target.grip:.3f}"
        if target.kind == TargetKind.POSE and abs(hypot(*asked[3:]) - 1.0) > UNIT:
            return f"a quaternion of length {hypot(*asked[3:]):.3f}, expected 1"
        return ""

    def clamp_pose(self, pose: Array) -> tuple[Array, str]:
        """The nearest pose (7,) inside the box, and what was changed."""
        result = se3.normalize(pose)
        if _between(self._pose_box, pose[:3].tolist()):
            return result, ""
        result[:3] = np.minimum(np.maximum(pose[:3], self._pose_low), self._pose_high)
        excess = np.abs(result[:3] - pose[:3])
        axis = int(excess.argmax())
        return result, f"box: {AXES[axis]} {pose[axis]:.3f} m asked, limit {result[axis]:.3f} m"

    def clamp_joints(self, q: Array) -> tuple[Array, str]:
        """The nearest joints (n,) inside the joint limits, and what was changed."""
        if _between(self._q_box, q.tolist()):
            return q, ""
        result = np.minimum(np.maximum(q, self._q_low), self._q_high)
        joint = int(np.abs(result - q).argmax())
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
        seconds = self._seconds(way.tolist(), self._kinematics.linearize(reference)[1]) / (PACE * speed)
        if seconds <= self.period:
            return q, ""
        return reference + way * (self.period / seconds), self._late(seconds)

    def _seconds(self, way: list[float], jacobian: list[list[float]]) -> float:
        """How long this way of the joints (n,) [rad] takes at full speed of the TCP or of the slowest joint [s]."""
        metres, radians, seconds = self._speeds(way, jacobian)
        return max(metres / self.limits.tcp_speed, radians / self.limits.tcp_rotation, seconds)

    def _speeds(self, velocity: list[float], jacobian: list[list[float]]) -> tuple[float, float, float]:
        """Of joint velocities (n,): of the TCP [m/s] and [rad/s], of the fastest joint in parts of its limit."""
        x, y, z, i, j, k = [sumprod(row, velocity) for row in jacobian]
        return hypot(x, y, z), hypot(i, j, k), max(map(truediv, map(abs, velocity), self._fastest))

    def _late(self, seconds: float) -> str:
        return f"speed: asked for is {seconds:.2f} s away" if seconds > ON_TIME else ""

    # --- what would follow --------------------------------------------------------------------------------------------

    def limit(self, follower: Follower, goal: Array, speed: float) -> str:
        """Move the follower one period towards `goal` (n,), or let it brake and say why."""
        here, jacobian = self._kinematics.linearize(follower.motion.q)
        wish = follower.wish(goal)
        part = speed / max(speed, self._seconds(wish, jacobian) / PACE)
        follower.propose([part * velocity for velocity in wish])
        reason = self._danger(follower, here, jacobian, speed)
        if reason:
            follower.brake()
        else:
            follower.go()
        return reason

    def _danger(self, follower: Follower, here: list[float], jacobian: list[list[float]], speed: float) -> str:
        """What would be exceeded if the arm, its TCP `here`, made the proposed step and then braked as it can."""
        now = follower.motion.q
        early, late, rest = follower.stopping(INSTANTS)
        velocities = [follower.candidate.dq, follower.peak(), early.dq, late.dq]
        return (
            self._too_fast(velocities, jacobian, speed)
            or self._beyond_joints(now, rest.q)
            or self._leaves_box(now, here, (late.q, rest.q))
        )

    def _too_fast(self, velocities: list[list[float]], jacobian: list[list[float]], speed: float) -> str:
        lines, turns, joints = zip(*[self._speeds(row, jacobian) for row in velocities], strict=True)
        if max(joints) > 1.0:
            return self._name_fastest(velocities)
        if max(lines) > BARRIER * speed * self.limits.tcp_speed:
            return f"TCP speed: {max(lines):.3f} m/s ahead, limit {speed * self.limits.tcp_speed:.3f} m/s"
        if max(turns) > BARRIER * speed * self.limits.tcp_rotation:
            return f"TCP rotation: {max(turns):.3f} rad/s ahead, limit {speed * self.limits.tcp_rotation:.3f} rad/s"
        return ""

    def _name_fastest(self, velocities: list[list[float]]) -> str:
        fastest = np.abs(velocities).max(axis=0)
        joint = int((fastest / self.velocity).argmax())
        return f"{self.robot.joints[joint]}: {fastest[joint]:.3f} rad/s ahead, limit {self.velocity[joint]:.3f} rad/s"

    def _beyond_joints(self, now: list[float], q: list[float]) -> str:
        """Joints that would come to rest beyond a limit, and further out than they are."""
        if _between(self._q_span, q):
            return ""
        further = _outside(self.robot.lower, q, self.robot.upper)
        further -= _outside(self.robot.lower, now, self.robot.upper).clip(0.0)
        joint = int(further.argmax())
        if further[joint] <= 0.0:
            return ""
        limit = self.robot.lower[joint] if q[joint] < self.robot.lower[joint] else self.robot.upper[joint]
        return f"{self.robot.joints[joint]}: {q[joint]:.3f} rad ahead, limit {limit:.3f} rad"

    def _leaves_box(self, now: list[float], here: list[float], ahead: tuple[list[float], ...]) -> str:
        """A TCP, at `here` with the joints `now`, that would leave the box with any of the joints `ahead`.

        A joint moves the TCP by at most its reach for each radian. Most of the time no wall is that near, and where
        exactly the TCP would be need not be known.
        """
        low, high = self._stop_box
        room = min(*map(sub, here, low), *map(sub, high, here))
        for q in ahead:
            if not sum(map(mul, self._reach, map(abs, map(sub, q, now)))) < room:
                reason = self._out_of_box(here, self._kinematics.position(q))
                if reason:
                    return reason
        return ""

    def _out_of_box(self, here: list[float], point: Array) -> str:
        """A point outside the box, less half the margin for the curve on the way, and further out than `here`."""
        outside = _outside(self._stop_low, point, self._stop_high)
        if outside.max() <= 0.0:
            return ""
        further = outside - _outside(self._stop_low, here, self._stop_high).clip(0.0)
        axis = int(further.argmax())
        if further[axis] <= 0.0:
            return ""
        limit = self._low[axis] if point[axis] < self._stop_low[axis] else self._high[axis]
        return f"box: {AXES[axis]} {point[axis]:.3f} m ahead, limit {limit:.3f} m"

    # --- what is measured ---------------------------------------------------------------------------------------------

    def check(self, now: float, state: ArmState, setpoint: Array | list[float]) -> str:
        """Why the arm must stop: limit, value and source; empty when all is well."""
        return self._check_shape(state) or self._check_time(now, state) or self._check_place(state, setpoint)

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
        if not abs(age) <= self.limits.state_age:
            return f"arm: state is {age:.3f} s old, limit {self.limits.state_age:.3f} s"
        return ""

    def _check_place(self, state: ArmState, setpoint: Array | list[float]) -> str:
        last, self._last = self._last or state, state
        q, before = state.q.tolist(), last.q.tolist()
        if not _at_most(self._noise, map(sub, q, before)):
            beyond = np.abs(state.q - last.q) - self._fast * max(0.0, state.time - last.time)
            joint = int(beyond.argmax())
            if beyond[joint] > NOISE:
                return f"arm: {self.robot.joints[joint]} jumped from {before[joint]:.3f} to {q[joint]:.3f} rad"
        if not _at_most(self._astray, map(sub, q, setpoint)):
            joint = int(np.abs(state.q - setpoint).argmax())
            name, error, limit = self.robot.joints[joint], abs(q[joint] - setpoint[joint]), self.limits.tracking
            return f"arm: {name} is {error:.3f} rad from its setpoint, limit {limit:.3f} rad"
        return ""


def _between(span: Span, values: list[float]) -> bool:
    low, high = span
    return all(map(le, low, values)) and all(map(le, values, high))


def _at_most(limits: list[float], values: Iterable[float]) -> bool:
    """Whether no value is larger than its limit, whatever its sign; what is no number is."""
    return all(map(le, map(abs, values), limits))


def _outside(low: Array, values: Array | list[float], high: Array) -> Array:
    """How far each value is out of its span; negative inside."""
    outside: Array = np.maximum(low - values, values - high)
    return outside
