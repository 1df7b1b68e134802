"""Timed targets, and the jerk-limited motion that follows them.

Joint by joint in plain floats: after each sleep of the control loop the caches are cold, and every array operation
brings in code of its own, where a loop over the joints brings in one.
"""

from bisect import bisect_left
from math import copysign, sqrt
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

    q: list[float]
    dq: list[float]
    ddq: list[float]


def sample(chunk: Record, t: float) -> Target | None:
    """The chunk's target at time `t` [s]: between waypoints straight and slerped, before the first one the first.

    None before the observation that it came from, and once it has run out: one spacing after its last waypoint.
    """
    count = int(chunk["count"])
    times: list[float] = chunk["times"][:count].tolist()
    observed = float(chunk["observed"])
    if not times or not observed <= t <= times[-1] + (times[-1] - (times[-2] if count > 1 else observed)):
        return None
    after = bisect_left(times, t)
    before, after = max(after - 1, 0), min(after, count - 1)
    span = times[after] - times[before]
    s = (t - times[before]) / span if span > 0.0 else 0.0
    pose, q, grip = chunk["pose"], chunk["q"], chunk["grip"]
    return Target(
        int(chunk["kind"]),
        se3.interpolate(pose[before], pose[after], s),
        np.array([a + s * (b - a) for a, b in zip(q[before].tolist(), q[after].tolist(), strict=True)]),
        float(grip[before]) + s * float(grip[after] - grip[before]),
    )


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
        self._braking: list[float] = (BRAKING * acceleration).tolist()
        self._limits: list[tuple[float, float]] = list(zip(acceleration.tolist(), jerk.tolist(), strict=True))
        self._ruckig = Ruckig(n, period)
        self._rest = InputParameter(n)
        self._rest.control_interface = ControlInterface.Velocity
        self._rest.max_acceleration, self._rest.max_jerk = acceleration, jerk
        self._rest.synchronization = Synchronization.Time
        self._plan, self._candidate_plan = Trajectory(n), Trajectory(n)
        self.seed(np.zeros(n))

    def seed(self, q: Array) -> None:
        """Be at rest at `q` (n,)."""
        self.motion = self.candidate = Motion(q.tolist(), [0.0] * len(q), [0.0] * len(q))
        self._elapsed = 0.0
        self._plan_rest(self.motion, self._plan)

    @property
    def at_rest(self) -> bool:
        """Neither moving nor about to."""
        _, dq, ddq = self.motion
        return max(map(abs, dq)) < AT_REST and max(map(abs, ddq)) < AT_REST * DAMPING

    def wish(self, goal: Array) -> list[float]:
        """The velocity (n,) that leads to `goal` (n,) and can still be braked to rest there."""
        wish = []
        for aim, q, braking in zip(goal.tolist(), self.motion.q, self._braking, strict=True):
            distance = abs(aim - q)
            speed = STIFFNESS * distance  # near the goal; further out what `braking` can take away again
            if speed > braking / STIFFNESS:
                speed = sqrt(braking * (2.0 * distance - braking / STIFFNESS**2))
            wish.append(copysign(speed, aim - q))
        return wish

    def propose(self, velocity: list[float]) -> None:
        """Make the `candidate` for the next period, on the way to this velocity (n,)."""
        self.candidate = self._approach(velocity)
        self._plan_rest(self.candidate, self._candidate_plan)

    def peak(self) -> list[float]:
        """The velocity (n,) that the candidate still reaches if its acceleration fades as fast as jerk allows."""
        _, dq, ddq = self.candidate
        return [_peak(v, a, jerk) for v, a, (_, jerk) in zip(dq, ddq, self._limits, strict=True)]

    def stopping(self, parts: tuple[float, ...]) -> list[Motion]:
        """The motion while braking from the candidate, at these parts of its time."""
        duration = self._candidate_plan.duration
        return [Motion(*self._candidate_plan.at_time(part * duration)) for part in parts]

    def go(self) -> None:
        """Take the candidate."""
        self.motion, self._elapsed = self.candidate, 0.0
        self._plan, self._candidate_plan = self._candidate_plan, self._plan

    def brake(self) -> None:
        """Follow the plan to rest for one period."""
        self._elapsed += self._period
        self.motion = Motion(*self._plan.at_time(self._elapsed))

    def _approach(self, velocity: list[float]) -> Motion:
        dt = self._period
        positions, velocities, accelerations = [], [], []
        for wish, q, dq, ddq, (most, jerk) in zip(velocity, *self.motion, self._limits, strict=True):
            peak = dq + ddq * abs(ddq) / (2.0 * jerk)
            push = min(most, ddq + jerk * dt, max(-most, ddq - jerk * dt, DAMPING * (wish - peak)))
            positions.append(q + dt * (dq + dt * (2.0 * ddq + push) / 6.0))
            velocities.append(dq + 0.5 * dt * (ddq + push))
            accelerations.append(push)
        return Motion(positions, velocities, accelerations)

    def _plan_rest(self, motion: Motion, plan: Trajectory) -> None:
        rest = self._rest
        rest.current_position, rest.current_velocity, rest.current_acceleration = motion
        try:
            self._ruckig.calculate(rest, plan)
        except RuckigError:  # rare and numerical; joints that stop each for itself need no common time
            rest.synchronization = Synchronization.No
            self._ruckig.calculate(rest, plan)
            rest.synchronization = Synchronization.Time


def _peak(velocity: float, acceleration: float, jerk: float) -> float:
    return velocity + acceleration * abs(acceleration) / (2.0 * jerk)
