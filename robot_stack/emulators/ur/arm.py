"""Where the controller wants the joints to be: servoj, speedj, moves and stops, each a step of one cycle.

How UR's controller interpolates is not published; modelled: servoj as a critically damped filter that trails its goal
by the lookahead time at gain 300 (measured on robots: about 34 ms at lookahead 0.03 and gain 1200), speeds and
accelerations bounded.
"""

from collections.abc import Callable
from math import pi, sqrt

from robot_stack.emulators.ur.faults import RuntimeFault

PERIOD = 0.002
"""Of the controller's cycle [s]."""
VELOCITY = pi
"""Most that any joint may do [rad/s] (UR5e technical specification)."""
ACCELERATION = 40.0
"""Most that servoj and speedj make of a joint [rad/s^2]: the most that ur_rtde accepts."""
BRAKE = 20.0
"""Deceleration of a motion that nobody continues [rad/s^2]: modelled."""
STEP = 0.1
"""Farthest that two goals of servoj may be apart [rad]: modelled."""
LIMIT = 2 * pi
"""Of every joint [rad]."""


class CommandedArm:
    """The commanded joints. q [rad], qd [rad/s], qdd [rad/s^2]: six each.

    scale: how fast time passes for a motion, 0 to 1; between them the slider and a stop set it. alarm: called with the
    reason for a protective stop when a motion asks for what cannot be; the arm then brakes.
    """

    def __init__(self, q: list[float], alarm: Callable[[str], None]) -> None:
        self._alarm = alarm
        self.q, self.qd, self.qdd = list(q), [0.0] * 6, [0.0] * 6
        self.scale = 1.0
        self._path_velocity = [0.0] * 6  # what qd is at full scale
        self._goal = list(q)
        self._mover: object = None
        self._before = self.qd

    def begin(self) -> None:
        """A cycle begins: nobody moves the arm yet."""
        self._mover, self._before = None, self.qd

    def finish(self) -> None:
        """The cycle ends: an arm that nobody moved brakes."""
        if self._mover is None:
            self._brake(BRAKE)
        self.qdd = [(now - then) / PERIOD for now, then in zip(self.qd, self._before, strict=True)]

    def claim(self, mover: object) -> None:
        """Move the arm in this cycle; only one may."""
        if self._mover is not None and self._mover is not mover:
            raise RuntimeFault("another thread is already controlling the robot")
        self._mover = mover

    def reseed(self, q: list[float]) -> None:
        """Stand still at q: brakes were closed, or a person led the arm there."""
        self.q, self.qd, self._path_velocity, self._goal = list(q), [0.0] * 6, [0.0] * 6, list(q)

    def servo(self, goal: list[float], lookahead: float, gain: float) -> None:
        """One cycle of servoj towards `goal`."""
        if self._refuses_goal(goal):
            return
        w = 2.0 / lookahead * sqrt(gain / 300.0)
        dt = PERIOD * self.scale
        for i in range(6):
            v = self._path_velocity[i]
            wanted = w * w * (goal[i] - self.q[i]) - 2.0 * w * v
            v = _clip(v + dt * _clip(wanted, ACCELERATION), VELOCITY)
            self.q[i] += dt * v
            self._path_velocity[i] = v
        self._goal = list(goal)
        self.qd = [self.scale * v for v in self._path_velocity]

    def speed(self, goal: list[float], acceleration: float) -> None:
        """One cycle of speedj: all joints reach their speed at the same time."""
        if not all(abs(v) <= VELOCITY for v in goal):
            self._refuse(f"speed {goal} rad/s is beyond {VELOCITY:.2f}")
            return
        dt = PERIOD * self.scale
        farthest = max(abs(a - b) for a, b in zip(goal, self._path_velocity, strict=True))
        share = min(1.0, min(acceleration, ACCELERATION) * dt / farthest) if farthest > 0.0 else 1.0
        v = [b + share * (a - b) for a, b in zip(goal, self._path_velocity, strict=True)]
        q = [q + dt * one for q, one in zip(self.q, v, strict=True)]
        if not self._refuses(q):
            self._path_velocity, self.qd, self.q, self._goal = v, [self.scale * one for one in v], q, list(q)

    def place(self, q: list[float]) -> None:
        """One cycle of a move that has worked out where the joints are next."""
        if self._refuses(q):
            return
        self.qd = [(b - a) / PERIOD for a, b in zip(self.q, q, strict=True)]
        self._path_velocity = [v / self.scale for v in self.qd] if self.scale > 0.0 else [0.0] * 6
        self.q, self._goal = list(q), list(q)

    def displace(self, dq: list[float]) -> None:
        """Move the joints by dq in this cycle, beside whatever else moves them."""
        q = [a + b for a, b in zip(self.q, dq, strict=True)]
        if self._refuses(q):
            return
        self.q = q
        if self._mover is None:
            self._mover, self._path_velocity, self._goal = self, [0.0] * 6, list(self.q)
            self.qd = [step / PERIOD for step in dq]

    def brake(self, mover: object, deceleration: float) -> bool:
        """One cycle of stopj; whether the arm has come to rest."""
        self.claim(mover)
        self._brake(deceleration)
        return not any(self.qd)

    @property
    def fastest(self) -> float:
        """Speed of the fastest joint [rad/s]."""
        return max(map(abs, self.qd))

    def _brake(self, deceleration: float) -> None:
        share = max(0.0, 1.0 - deceleration * PERIOD / self.fastest) if self.fastest > 0.0 else 0.0
        self.qd = [share * v for v in self.qd]
        self.q = [q + PERIOD * v for q, v in zip(self.q, self.qd, strict=True)]
        self._path_velocity, self._goal = list(self.qd), list(self.q)

    def _refuses_goal(self, goal: list[float]) -> bool:
        if self._refuses(goal):
            return True
        far = max(abs(a - b) for a, b in zip(goal, self._goal, strict=True))
        if far > STEP:
            self._refuse(f"servoj: goals {far:.3f} rad apart, at most {STEP} rad")
        return far > STEP

    def _refuses(self, q: list[float]) -> bool:
        within = all(abs(angle) <= LIMIT for angle in q)  # false for NaN too
        if not within:
            self._refuse(f"joints {[round(angle, 4) for angle in q]} rad are beyond +-2 pi")
        return not within

    def _refuse(self, reason: str) -> None:
        self._alarm(reason)
        self._brake(BRAKE)


def ramp(distance: float, velocity: float, acceleration: float) -> tuple[float, Callable[[float], float]]:
    """A trapezoid of speed: its duration [s], and how far it has come at a time [s]."""
    rise = min(velocity / acceleration, sqrt(distance / acceleration))
    peak = rise * acceleration
    cruise = distance / peak - rise if peak > 0.0 else 0.0
    duration = 2 * rise + cruise

    def at(time: float) -> float:
        if time >= duration:
            return distance
        if time < rise:
            return acceleration * time * time / 2
        if time < rise + cruise:
            return peak * (time - rise / 2)
        return distance - acceleration * (duration - time) ** 2 / 2

    return duration, at


def _clip(value: float, limit: float) -> float:
    return limit if value > limit else -limit if value < -limit else value
