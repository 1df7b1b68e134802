"""Timed targets, and the jerk-limited motion that follows them."""

from typing import Any, NamedTuple

import numpy as np
from ruckig import ControlInterface, InputParameter, Ruckig, RuckigError, Synchronization, Trajectory

from robot_stack import pose as se3
from robot_stack.spec import Record
from robot_stack.types import Array


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

    Each joint takes its own fastest way to rest at the goal (ruckig, Berscheid and Kroeger 2021). `motion` is where it
    is now; `approach` and `brake` say where it could be one period later, and assigning that to `motion` goes there.
    """

    def __init__(self, velocity: Array, acceleration: Array, jerk: Array, period: float) -> None:
        n = len(velocity)
        self.period = period
        self.velocity = velocity
        self.motion = Motion(np.zeros(n), np.zeros(n), np.zeros(n))
        self._ruckig = Ruckig(n, period)
        self._trajectory = Trajectory(n)
        self._approach = _input(n, ControlInterface.Position, acceleration, jerk)
        self._brake = _input(n, ControlInterface.Velocity, acceleration, jerk)

    def seed(self, q: Array) -> None:
        """Be at rest at `q` (n,)."""
        self.motion = Motion(q.copy(), np.zeros_like(q), np.zeros_like(q))

    @property
    def at_rest(self) -> bool:
        """Neither moving nor about to."""
        return not (self.motion.dq.any() or self.motion.ddq.any())

    def approach(self, goal: Array, speed: float) -> Motion:
        """The motion one period later on the way to `goal` (n,), at most at `speed` (0..1] of the velocity limits.

        Braking, where ruckig finds no way (its errors are rare, and numerical).
        """
        self._approach.target_position = goal.tolist()
        self._approach.max_velocity = (self.velocity * speed).tolist()
        try:
            self._plan(self._approach, self.motion)
        except RuckigError:
            return self.brake()
        return self._at(self.period)

    def brake(self) -> Motion:
        """The motion one period later, if every joint comes to rest as fast as its limits allow."""
        self._plan(self._brake, self.motion)
        return self._at(self.period)

    def stopping(self, motion: Motion, fractions: tuple[float, ...]) -> list[Motion]:
        """Instants of braking from `motion`, at these fractions of the time that it takes; the last is at rest at 1."""
        self._plan(self._brake, motion)
        duration = float(self._trajectory.duration)
        return [self._at(fraction * duration) for fraction in fractions]

    def _plan(self, problem: Any, motion: Motion) -> None:
        problem.current_position = motion.q.tolist()  # ruckig takes lists several times faster than arrays
        problem.current_velocity = motion.dq.tolist()
        problem.current_acceleration = motion.ddq.tolist()
        self._ruckig.calculate(problem, self._trajectory)

    def _at(self, t: float) -> Motion:
        return Motion(*np.array(self._trajectory.at_time(t)))


def _input(n: int, interface: Any, acceleration: Array, jerk: Array) -> Any:
    problem = InputParameter(n)
    problem.control_interface = interface
    problem.synchronization = Synchronization.No  # the others fail in rare cases, and gain nothing here
    problem.max_acceleration, problem.max_jerk = acceleration, jerk
    return problem
