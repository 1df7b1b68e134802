"""How punctual a stream of servo commands is, as the controller that receives it sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.bench.figure import Figure
from deploy.bench.stalls import Stalls
from robot_stack.types import Array

PERIODS = 2.0
"""A deadline is missed when a command comes later than so many periods after the one before."""


@dataclass(frozen=True)
class Misses:
    """Gaps between two commands that were too long [s]: those that the machine made, standing still, and all others."""

    machine: tuple[float, ...]
    ours: tuple[float, ...]


def misses(times: Array, period: float, stalls: Stalls) -> Misses:
    """Which gaps of the arrivals (n,) [s] are too long, and whose they are.

    A gap is the machine's when it would not have been too long had the machine not stood still in it.
    """
    limit = PERIODS * period
    machine, ours = list[float](), list[float]()
    for begin, end in late(times, limit):
        stood = standstill(begin, end, stalls)
        (machine if end - begin - stood <= limit else ours).append(end - begin)
    return Misses(tuple(machine), tuple(ours))


def late(times: Array, limit: float) -> list[tuple[float, float]]:
    """The pairs of successive times (n,) that are further apart than the limit [s]."""
    return [(float(times[i]), float(times[i + 1])) for i in np.flatnonzero(np.diff(times) > limit)]


def standstill(begin: float, end: float, stalls: Stalls) -> float:
    """How long the core that stood still longest did so between two times [s]."""
    overlap = np.clip(np.minimum(stalls[:, 2], end) - np.maximum(stalls[:, 1], begin), 0.0, None)
    return max((float(overlap[stalls[:, 0] == core].sum()) for core in np.unique(stalls[:, 0])), default=0.0)


def jitter(times: Array, period: float) -> NDArray[np.float64]:
    """How far each period of the arrivals (n,) is from what it should be (n - 1,) [s]."""
    return np.abs(np.diff(times) - period)


def spread(what: str, samples: Array | Sequence[float], unit: str) -> Figure:
    """Median, 99 %, 99.9 % and maximum of samples [s]."""
    p50, p99, p999 = np.percentile(samples, [50, 99, 99.9])
    return Figure(what, {"p50": p50, "p99": p99, "p99.9": p999, "max": float(np.max(samples))}, unit)


def at_least(what: str, ratio: float, aim: float) -> Figure:
    """A ratio, and whether it is as high as it should be."""
    return Figure(what, {"": ratio}, "x", f">= {aim:g} x", ratio >= aim)


def missed(what: str, found: Misses) -> list[Figure]:
    """The figures of missed deadlines: none may be ours."""
    longest = {"longest": max(found.ours, default=0.0)}, {"longest": max(found.machine, default=0.0)}
    return [
        Figure(f"{what}: deadlines missed by us", {"": float(len(found.ours))}, "", "0", not found.ours),
        Figure(f"{what}: of these", longest[0], "ms"),
        Figure(f"{what}: deadlines missed while the machine stood still", {"": float(len(found.machine))}, ""),
        Figure(f"{what}: of those", longest[1], "ms"),
    ]
