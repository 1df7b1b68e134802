"""What an emulated UR controller received and did for a while: when its arm came to rest, and what it did till then."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_stack.kinematics import Kinematics
from robot_stack.robots import Robot
from robot_stack.safety import Limits
from robot_stack.types import Array

CYCLE = 0.002
"""Of the controller, and of our commands [s]."""
AT_REST = 0.02
"""Slower than this in every joint is rest [rad/s] …"""
HELD = 0.05
"""… when it lasts this long [s]: an arm that turns round is slow for an instant too."""
PUNCTUAL = 0.02
"""No cycle of the emulated controller may end later than this [s], or what its arm does is not judged."""
BROKEN = 0.05
"""Commands that are further apart do not belong to one motion [s]."""
EVERY = 4
"""Of so many cycles the speed of the tool is looked at in one."""


@dataclass(frozen=True)
class Trace:
    """times: of commands (n,) [s]; asked: their joints (n, k) [rad]. cycles: of the controller, see `emulators.ur`."""

    times: Array
    asked: Array
    cycles: NDArray[np.void]

    @classmethod
    def of(cls, commands: NDArray[np.void], cycles: NDArray[np.void]) -> "Trace":
        """From the journal; the arm is servoed by joints."""
        return cls(commands["time"], commands["values"], cycles)

    def rest(self, since: float) -> float:
        """When the arm came to rest, first after `since` [s]; infinite if it did not."""
        return resting(self.cycles["time"], self.cycles["dq"], since)

    def commanded_rest(self, since: float) -> float:
        """The same of the motion that we commanded: where commands end, it does."""
        times, dq = self._commanded()
        ended = times[-1:] + np.array([CYCLE, 1.0])
        return resting(np.append(times, ended), np.vstack([dq, np.zeros((2, dq.shape[1]))]), since)

    def speed(self, begin: float, end: float) -> Array:
        """The fastest that each joint was commanded to move between two times (k,) [rad/s]."""
        times, dq = self._commanded()
        chosen = (times >= begin) & (times <= end)
        fastest: Array = np.abs(dq[chosen]).max(axis=0) if chosen.any() else np.zeros(dq.shape[1])
        return fastest

    def until(self, end: float) -> "Trace":
        """Its part before a time [s]."""
        return Trace(self.times[self.times < end], self.asked[self.times < end], self.cycles[self.cycles["time"] < end])

    @property
    def is_fair(self) -> bool:
        """Whether the emulated controller kept its cycles. One that was held up itself finds commands that have gone
        on without it, and hurries after them: a robot's controller never does."""
        return _most(self.cycles["time"] - self.cycles["due"]) < PUNCTUAL

    def excess(self, robot: Robot, limits: Limits) -> dict[str, float]:
        """The most of each limit, by name: 1 is the limit. Of what was commanded, and of the arm if that `is_fair`."""
        kinematics = Kinematics(robot.name)
        velocity = limits.joint_velocity * robot.velocity
        acceleration = limits.joint_acceleration * robot.acceleration
        dq, ddq = self._derivatives()
        done = self.cycles[::EVERY]
        tool = [np.linalg.norm((kinematics.jacobian(q) @ v)[:3]) for q, v in zip(done["q"], done["dq"], strict=True)]
        middle, half = (robot.lower + robot.upper) / 2, (robot.upper - robot.lower) / 2
        commanded = {"velocity commanded": _most(dq / velocity), "acceleration commanded": _most(ddq / acceleration)}
        if not self.is_fair:
            return commanded
        return commanded | {
            "velocity": _most(self.cycles["dq"] / velocity),
            "position": _most((self.cycles["q"] - middle) / half),
            "tool speed": _most(np.array(tool) / limits.tcp_speed),
        }

    def controllers_acceleration(self) -> float:
        """The most that the controller itself asked of a joint [rad/s^2]: its servo trails us, its own stops brake."""
        return _most(np.diff(self.cycles["commanded"], 2, axis=0) / CYCLE**2)

    def _commanded(self) -> tuple[Array, Array]:
        steps, joined = np.diff(self.asked, axis=0) / CYCLE, np.diff(self.times) < BROKEN
        return self.times[1:][joined], steps[joined]

    def _derivatives(self) -> tuple[Array, Array]:
        """Of commands that follow one another: each is one step of the follower, however late it came."""
        joined = np.diff(self.times) < BROKEN
        dq = np.diff(self.asked, axis=0) / CYCLE
        ddq = np.diff(dq, axis=0) / CYCLE
        return dq[joined], ddq[joined[1:] & joined[:-1]]


def resting(times: Array, dq: Array, since: float) -> float:
    """The first of the times (m,) from `since` on from which each joint of dq (m, k) is slow for long enough [s]."""
    later = np.searchsorted(times, since)
    times, slow = times[later:], np.abs(dq[later:]).max(axis=1, initial=0.0) < AT_REST
    moving = np.flatnonzero(~slow)
    begins = np.concatenate([[0], moving + 1])  # after each that moves, and at the start
    ends = np.concatenate([moving, [len(times)]])
    for begin, end in zip(begins, ends, strict=True):
        if end > begin and (times[end - 1] - times[begin] >= HELD):
            return float(times[begin])
    return np.inf


def _most(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max(initial=0.0))
