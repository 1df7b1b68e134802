"""How smooth a motion is, how far it trails what was asked, and whether it stayed within its limits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robot_stack.types import Array

FARTHEST = 0.6
"""The lag is looked for up to here [s]."""


def held(times: Array, values: Array, grid: Array) -> Array:
    """The newest of values (n, k) that came at rising times (n,), at the times of the grid (m,) -> (m, k)."""
    newest = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, None)
    result: Array = values[newest]
    return result


def rms_jerk(q: Array, period: float) -> float:
    """Root mean square of the third derivative of a path (m, n) sampled every `period` [s], over all joints."""
    return float(np.sqrt(np.mean(np.square(np.diff(q, 3, axis=0) / period**3))))


def lag(times: Array, actual: Array, asked: Callable[[Array], Array], step: float = 0.001) -> tuple[float, float]:
    """By how long the actual path (m, k) at `times` (m,) trails what was asked, and how far it is from it then (RMS).

    asked: gives the path that was asked for at any times (m,) -> (m, k). The lag is the delay that fits best [s].
    """
    delays = np.arange(0.0, FARTHEST, step)
    errors = [float(np.sqrt(np.mean(np.sum(np.square(actual - asked(times - delay)), axis=1)))) for delay in delays]
    best = int(np.argmin(errors))
    return float(delays[best]), errors[best]


@dataclass(frozen=True)
class Ramp:
    """What a joint may do on its way to rest. acceleration [rad/s^2], jerk [rad/s^3]: of each joint (n,)."""

    acceleration: Array
    jerk: Array

    def seconds(self, dq: Array) -> float:
        """The shortest way to rest from these speeds (n,) [rad/s], from no acceleration, the slowest joint's [s]."""
        speed = np.abs(dq)
        short = 2.0 * np.sqrt(speed / self.jerk)  # the acceleration limit is not reached
        long = speed / self.acceleration + self.acceleration / self.jerk
        return float(np.where(speed < self.acceleration**2 / self.jerk, short, long).max())


def last_moving(times: Array, dq: Array, speed: float) -> float:
    """The last of the times (m,) [s] at which a joint of dq (m, n) was not slower than `speed`; -inf if none."""
    moving = np.flatnonzero(np.abs(dq).max(axis=1) >= speed)
    return float(times[moving[-1]]) if len(moving) else -np.inf
