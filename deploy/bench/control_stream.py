"""What is asked of both loops that are compared: a tool that reaches here and there as a hand does, at 10 Hz."""

from dataclasses import dataclass

import numpy as np

from robot_stack import pose as se3
from robot_stack.spec import Record
from robot_stack.station import Station
from robot_stack.types import Array, Source, TargetKind

SPACING = 0.1
"""Between waypoints [s]."""
STEPS = 16
"""Waypoints of a chunk."""
EXECUTED = 8
"""So many waypoints pass before the next chunk replaces what is left of the one before."""

SPAN = np.array([0.12, 0.16, 0.08])
"""Reaches end this far from home at most (3,) [m]."""
TURN = 0.12
"""And turned about the vertical by this at most [rad]."""
SPEED, ROTATION = 0.2, 0.12
"""Fastest instant of a reach [m/s], [rad/s]: under what either loop allows."""
SHORTEST, PAUSE = 0.5, 0.3
"""A reach takes at least [s]; the hand rests at its end for at most [s]."""
PEAK = 1.875
"""Of a minimum-jerk reach: its fastest speed over its mean."""


@dataclass(frozen=True)
class Stream:
    """Poses (m, 7) every `SPACING` from time 0 on; they begin and end at rest."""

    poses: Array

    @property
    def seconds(self) -> float:
        """How long it takes [s]."""
        return (len(self.poses) - 1) * SPACING

    def positions(self, times: Array) -> Array:
        """Where the tool is asked to be (n, 3) [m] at times (n,) [s]: straight from waypoint to waypoint."""
        knots = SPACING * np.arange(len(self.poses))
        return np.stack([np.interp(times, knots, self.poses[:, axis]) for axis in range(3)], axis=1)

    def chunk(self, station: Station, first: int, begins: float, now: float) -> Record:
        """The waypoints from `first` on; begins: time of waypoint 0 [s]."""
        poses = self.poses[first : first + STEPS]
        record = station.chunk.spec.record(
            time=now, observed=now, pictured=now, source=Source.POLICY, kind=TargetKind.POSE, count=len(poses)
        )
        record["times"][: len(poses)] = begins + SPACING * (first + np.arange(len(poses)))
        record["pose"][: len(poses)] = poses
        record["pose"][len(poses) :] = poses[-1]
        record["grip"][:] = 0.04
        return record


def reaches(home: Array, seconds: float, seed: int) -> Stream:
    """Reaches from home (7,) to places around it for so long [s], with rests and sudden changes of direction."""
    generator = np.random.default_rng(seed)
    here, parts, total = home, [home[None]], 0.0
    while total < seconds:
        there = _place(home, generator)
        metres, radians = se3.distance(here, there)
        duration = max(SHORTEST, PEAK * metres / SPEED, PEAK * radians / ROTATION)
        steps = int(np.ceil(duration / SPACING))
        parts.append(np.stack([se3.interpolate(here, there, _minimum_jerk(k / steps)) for k in range(1, steps + 1)]))
        rest = int(generator.uniform(0.0, PAUSE) / SPACING)
        parts.append(np.repeat(there[None], rest, axis=0))
        here, total = there, total + (steps + rest) * SPACING
    return Stream(np.concatenate(parts))


def _place(home: Array, generator: np.random.Generator) -> Array:
    pose = se3.compose(home, se3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, generator.uniform(-TURN, TURN)])))
    pose[:3] = home[:3] + generator.uniform(-SPAN, SPAN)
    return pose


def _minimum_jerk(s: float) -> float:
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)
