"""What this arm may do, whoever asks. Limits change a request as little as they must; a broken input stops the arm.

Three fences, one behind the other. `clamp` and `advance` shape what is asked: into the box, the tilt and the joint
limits, off the table, and towards it no faster than allowed. `limit` looks at the motion that would follow: it lets a
step pass only if braking right after it still ends inside every limit, and brakes otherwise, so that the limits hold
whatever is asked. `check` trusts neither the arm nor the rest of this file: it names what is wrong, and the arm stops.

Each test is made in plain floats first, which is what nearly every tick pays for; arrays only find the words.
"""

from math import cos, hypot, isfinite, pi, sin, sumprod
from operator import le, mul, sub, truediv

import numpy as np

from robot_stack import pose as se3
from robot_stack.collision import Surroundings
from robot_stack.kinematics import Kinematics, lean
from robot_stack.limits import AXES, Limits
from robot_stack.shapes import SHAPES
from robot_stack.trajectory import Follower, Target
from robot_stack.types import ArmState, Array, TargetKind
from robot_stack.watch import Watch

__all__ = ["Limits", "Safety"]

JOINT_MARGIN = 0.01
"""Requests end this far inside the joint limits [rad]."""

TILT_MARGIN = 0.02
"""Requests end this far inside the tilt [rad]."""

TABLE_MARGIN = 0.002
"""Requests end with the fingers this far above where the table's limit is [m]."""

PACE, BARRIER = 0.9, 0.95
"""Of the TCP limits: what the reference moves at, and where braking begins. The rest is for joints that catch up."""

ON_TIME = 0.05
"""A reference that is less than this behind what was asked is not called limited [s]."""

INSTANTS = (0.15, 0.4, 1.0)
"""Where the way to rest is looked at, in parts of its time: while acceleration fades, under way, at rest."""

UNIT = 0.1
"""A quaternion whose length differs from 1 by more is no rotation."""

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
        self._pose_box: Span = self._pose_low.tolist(), self._pose_high.tolist()
        self._stop_box: Span = self._stop_low.tolist(), self._stop_high.tolist()
        self._q_box: Span = self._q_low.tolist(), self._q_high.tolist()
        self._q_span: Span = self.robot.lower.tolist(), self.robot.upper.tolist()
        self._fastest: list[float] = self.velocity.tolist()
        self._reach: list[float] = kinematics.reach.tolist()
        self._fingers = SHAPES[self.robot.name].box
        self._floor = limits.table + limits.clearance + TABLE_MARGIN
        self._surroundings = Surroundings(self.robot.name, limits)
        self._watch = Watch(self.robot, limits)

    def follower(self) -> Follower:
        """A follower within the joint limits."""
        acceleration = self.limits.joint_acceleration * self.robot.acceleration
        return Follower(self.velocity, acceleration, self.limits.joint_jerk * self.robot.jerk, self.period)

    def forget(self) -> None:
        """The next measurement is the first."""
        self._watch.forget()

    def see_neighbour(self, name: str, q: Array, age: float) -> None:
        """Where a neighbour that moves was `age` seconds ago, or better where it comes to rest: its joints (n,) [rad].

        To be said every tick. While it is older than a state may be, nothing moves.
        """
        self._surroundings.see_neighbour(name, q, age)

    # --- what is asked ------------------------------------------------------------------------------------------------

    def refuse(self, target: Target, by_hand: bool = False) -> str:
        """Why this is no target at all, empty when it is one. by_hand: it may be that a person leads the arm."""
        if by_hand and target.kind == TargetKind.GUIDE:  # whose pose and joints are not looked at
            return "" if isfinite(target.grip) else f"a target that is not finite: grip {target.grip:.3f}"
        if target.kind not in (TargetKind.POSE, TargetKind.JOINTS):
            return (
                f"a target of kind {target.kind}, expected {TargetKind.POSE:d} (pose) or {TargetKind.JOINTS:d} (joints)"
            )
        value, shape = (target.pose, (7,)) if target.kind == TargetKind.POSE else (target.q, self.velocity.shape)
        if value.shape != shape:
            return f"a target of shape {value.shape}, expected {shape}"
        asked = value.tolist()
        if not isfinite(sumprod(asked, asked) + target.grip):
            return f"a target that is not finite: {np.round(asked, 3)}, grip {target.grip:.3f}"
        if target.kind == TargetKind.POSE and abs(hypot(*asked[3:]) - 1.0) > UNIT:
            return f"a quaternion of length {hypot(*asked[3:]):.3f}, expected 1"
        return ""

    def clamp_pose(self, pose: Array) -> tuple[Array, str]:
        """The nearest pose (7,) in the box, tilted no more than it may be, fingers off the table. And what changed."""
        result = se3.normalize(pose)
        boxed, moved = self._into_box(result), self._into_cell(result)
        return result, boxed or moved

    def _into_box(self, pose: Array) -> str:
        asked = pose[:3].copy()
        if _between(self._pose_box, asked.tolist()):
            return ""
        pose[:3] = np.minimum(np.maximum(asked, self._pose_low), self._pose_high)
        axis = int(np.abs(pose[:3] - asked).argmax())
        return f"box: {AXES[axis]} {asked[axis]:.3f} m asked, limit {pose[axis]:.3f} m"

    def _into_cell(self, pose: Array) -> str:
        leant = self._upright(pose) if self.limits.tilt < pi else ""
        return self._lift(pose) or leant

    def _upright(self, pose: Array) -> str:
        """Turn the tool about a horizontal axis, the shortest way, until it leans no more than it may."""
        i, j, k, w = pose[3:].tolist()
        leans, most = lean([i, j]), self.limits.tilt - TILT_MARGIN
        if leans <= most:
            return ""
        x, y = i * k + j * w, j * k - i * w  # half of the tool's z axis, over the ground
        length = hypot(x, y)
        x, y = (-y / length, x / length) if length > 0.0 else (1.0, 0.0)
        half = 0.5 * (leans - most)
        turn = np.array([0.0, 0.0, 0.0, sin(half) * x, sin(half) * y, 0.0, cos(half)])
        pose[3:] = se3.compose(turn, pose)[3:]
        return f"tilt: {leans:.3f} rad asked, limit {self.limits.tilt:.3f} rad"

    def _lift(self, pose: Array) -> str:
        """Raise the tool until the fingers, however far they are open, are off the table."""
        _, _, z, i, j, k, w = pose.tolist()
        x, y, start, end = self._fingers
        down = 2.0 * (i * i + j * j) - 1.0
        short = self._floor - z + max(start * down, end * down)
        if short + x + y <= 0.0:
            return ""
        short += 2.0 * (x * abs(i * k - j * w) + y * abs(j * k + i * w))
        if short <= 0.0:
            return ""
        pose[2] += short
        return f"table: z {z:.3f} m asked, limit {z + short:.3f} m"

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
        reference = se3.interpolate(reference, pose, self.period / seconds)
        return reference, self._into_cell(reference) or self._late(seconds)

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
            or self._leans(now, (late.q, rest.q))
            or self._surroundings.near(now, (late.q, rest.q))
        )

    def _too_fast(self, velocities: list[list[float]], jacobian: list[list[float]], speed: float) -> str:
        lines, turns, joints = zip(*[self._speeds(row, jacobian) for row in velocities], strict=True)
        if max(joints) > speed:
            return self._name_fastest(velocities, speed)
        if max(lines) > BARRIER * speed * self.limits.tcp_speed:
            return f"TCP speed: {max(lines):.3f} m/s ahead, limit {speed * self.limits.tcp_speed:.3f} m/s"
        if max(turns) > BARRIER * speed * self.limits.tcp_rotation:
            return f"TCP rotation: {max(turns):.3f} rad/s ahead, limit {speed * self.limits.tcp_rotation:.3f} rad/s"
        return ""

    def _name_fastest(self, velocities: list[list[float]], speed: float) -> str:
        fastest, limits = np.abs(velocities).max(axis=0), speed * self.velocity
        joint = int((fastest / limits).argmax())
        return f"{self.robot.joints[joint]}: {fastest[joint]:.3f} rad/s ahead, limit {limits[joint]:.3f} rad/s"

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

    def _leans(self, now: list[float], ahead: tuple[list[float], ...]) -> str:
        """A tool that would lean too far with any of the joints `ahead`, and further than it does `now`."""
        if self.limits.tilt >= pi:
            return ""
        most = self.limits.tilt - 0.5 * TILT_MARGIN
        leans = self._kinematics.lean(now)
        for q in ahead:
            if not leans + sum(map(abs, map(sub, q, now))) < most:  # a radian of a joint tilts by no more
                tilt = self._kinematics.lean(q)
                if tilt > max(most, leans):
                    return f"tilt: {tilt:.3f} rad ahead, limit {self.limits.tilt:.3f} rad"
        return ""

    # --- what is measured ---------------------------------------------------------------------------------------------

    def check(self, now: float, state: ArmState, setpoint: Array | list[float]) -> str:
        """Why the arm must stop: limit, value and source; empty when all is well."""
        return self._watch.check(now, state, setpoint)


def _between(span: Span, values: list[float]) -> bool:
    low, high = span
    return all(map(le, low, values)) and all(map(le, values, high))


def _outside(low: Array, values: Array | list[float], high: Array) -> Array:
    """How far each value is out of its span; negative inside."""
    outside: Array = np.maximum(low - values, values - high)
    return outside
