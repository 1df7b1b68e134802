"""Timed targets, and the jerk-limited motion that follows them."""

from typing import NamedTuple

import numpy as np
from ruckig import ControlInterface, InputParameter, Ruckig, RuckigError, Synchronization, Trajectory

from robot_stack import pose as se3
from robot_stack.spec import Record
from robot_stack.types import Array

STIFFNESS, DAMPING = 20.0, 80.0
"""Gains of the follower's position and velocity loops [1/s]: critically damped, and 50 ms behind a steady goal."""

BRAKING = 0.7
"""Part of the acceleration limit that the follower plans to arrive with; the rest is for the jerk limit."""

AT_REST = 1e-3
"""Slower than this is at rest [rad/s]."""


class Target(NamedTuple):
    """What someone asks for: of `pose` (7,) and `q` (n,) the one that `kind` names counts. grip: opening [m]."""

    kind: int  # types.TargetKind, as it came over the bus
    pose: Array
    q: Array
    grip: float


class Motion(NamedTuple):
    """One instant of a joint motion: position (n,) [rad], velocity [rad/s], acceleration [rad/s^2]."""

    q: Array
    dq: Array
    ddq: Array


def sample(chunk: Record, t: float) -> Target | None:
    """The chunk's target at time `t` [s]: between waypoints straight and slerped, before the first one the first.

    None before the observation that it came from, and once it has run out: one spacing after its last waypoint.
    """
    count = int(chunk["count"])
    times = chunk["times"][:count]
    if count == 0 or not chunk["observed"] <= t <= times[-1] + _last_spacing(chunk, times):
        return None
    after = int(times.searchsorted(t))
    before = max(after - 1, 0)
    after = min(after, count - 1)
    span = float(times[after] - times[before])
    s = (t - float(times[before])) / span if span > 0.0 else 0.0
    pose, q, grip = chunk["pose"], chunk["q"], chunk["grip"]
    return Target(
        int(chunk["kind"]),
        se3.interpolate(pose[before], pose[after], s),
        q[before] + s * (q[after] - q[before]),
        float(grip[before] + s * (grip[after] - grip[before])),
    )


def _last_spacing(chunk: Record, times: Array) -> float:
    return float(times[-1] - (times[-2] if len(times) > 1 else chunk["observed"]))


class Follower:
    """Moves the joints towards a goal that may change every tick, within velocity, acceleration and jerk.

    It always has a way to rest: every motion it takes comes with a plan to brake from there, and `brake` follows the
    plan. All joints brake for the same time, so that the tool stops on its path and not beside it; the plan is the
    fastest of that kind (ruckig; Berscheid and Kroeger 2021).

    Approaching is not time-optimal: a fastest way to rest at a goal that moves on swings between full acceleration and
    full braking from tick to tick. A cascade of position and velocity loops, clipped to the limits, follows smoothly.
    """

    def __init__(self, velocity: Array, acceleration: Array, jerk: Array, period: float) -> None:
        n = len(velocity)
        self.velocity, self.acceleration, self.jerk = velocity, acceleration, jerk
        self._period = period
        self._braking = BRAKING * acceleration
        self._linear = self._braking / STIFFNESS  # [rad/s] up to here speed is proportional to the distance
        self._change = jerk * period
        self._ruckig = Ruckig(n, period)
        self._rest = InputParameter(n)
        self._rest.control_interface = ControlInterface.Velocity
        self._rest.max_acceleration, self._rest.max_jerk = acceleration, jerk
        self._plan, self._candidate_plan = Trajectory(n), Trajectory(n)
        self.seed(np.zeros(n))

    def seed(self, q: Array) -> None:
        """Be at rest at `q` (n,)."""
        self.motion = self.candidate = Motion(q.copy(), np.zeros_like(q), np.zeros_like(q))
        self._elapsed = 0.0
        self._plan_rest(self.motion, self._plan)

    @property
    def at_rest(self) -> bool:
        """Neither moving nor about to."""
        return bool(np.abs(self.motion.dq).max() < AT_REST and np.abs(self.motion.ddq).max() < AT_REST * DAMPING)

    def wish(self, goal: Array) -> Array:
        """The velocity (n,) that leads to `goal` (n,) and can still be braked to rest there."""
        way = goal - self.motion.q
        distance = np.abs(way)
        near = STIFFNESS * distance
        far = np.sqrt(self._braking * np.maximum(2.0 * distance - self._linear / STIFFNESS, 0.0))
        wish: Array = np.copysign(np.where(near < self._linear, near, far), way)
        return wish

    def propose(self, velocity: Array) -> None:
        """Make the `candidate` for the next period, on the way to this velocity (n,)."""
        self.candidate = self._approach(velocity)
        self._plan_rest(self.candidate, self._candidate_plan)

    def peak(self) -> Array:
        """The velocity (n,) that the candidate still reaches if its acceleration fades as fast as jerk allows."""
        return _peak(self.candidate, self.jerk)

    def stopping(self, parts: tuple[float, ...]) -> Array:
        """Position, velocity, acceleration (k, 3, n) while braking from the candidate, at these parts of its time."""
        duration = float(self._candidate_plan.duration)
        return np.array([self._candidate_plan.at_time(part * duration) for part in parts])

    def go(self) -> None:
        """Take the candidate."""
        self.motion, self._elapsed = self.candidate, 0.0
        self._plan, self._candidate_plan = self._candidate_plan, self._plan

    def brake(self) -> None:
        """Follow the plan to rest for one period."""
        self._elapsed += self._period
        self.motion = Motion(*np.array(self._plan.at_time(self._elapsed)))

    def _approach(self, velocity: Array) -> Motion:
        dt, (q, dq, ddq) = self._period, self.motion
        push = DAMPING * (velocity - _peak(self.motion, self.jerk))
        push = np.minimum(np.maximum(push, -self.acceleration), self.acceleration)
        push = np.minimum(np.maximum(push, ddq - self._change), ddq + self._change)
        return Motion(q + dt * (dq + dt * (2.0 * ddq + push) / 6.0), dq + 0.5 * dt * (ddq + push), push)

    def _plan_rest(self, motion: Motion, plan: Trajectory) -> None:
        rest = self._rest
        rest.current_position = motion.q.tolist()  # ruckig takes lists several times faster than arrays
        rest.current_velocity, rest.current_acceleration = motion.dq.tolist(), motion.ddq.tolist()
        rest.synchronization = Synchronization.Time
        try:
            self._ruckig.calculate(rest, plan)
        except RuckigError:  # rare and numerical; joints that stop each for itself need no common time
            rest.synchronization = Synchronization.No
            self._ruckig.calculate(rest, plan)


def _peak(motion: Motion, jerk: Array) -> Array:
    result: Array = motion.dq + motion.ddq * np.abs(motion.ddq) / (2.0 * jerk)
    return result
