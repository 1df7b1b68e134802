"""Scripted people who can do the tasks: they plan in hand movements, are not precise, hesitate, and try again.

An expert is a script: a generator that says where the hand should go next and finds, each time it continues, the
world as it is by then. So it corrects itself, and it can begin in the middle of what somebody else started.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib import import_module

import numpy as np

from robot_stack.pose import distance, interpolate
from robot_stack.robots import robot as find_robot
from robot_stack.sim.tasks import heading, task, wrapped
from robot_stack.types import Array

Script = Iterator[None]
TREMOR = 0.0025
"""Standard deviation of the hand's wandering while it moves [m]; a tenth of that at rest."""
TREMOR_TIME = 0.35
"""Time constant of the wandering [s]."""
MISS = 0.05
"""A quick reach lands off its goal by about this share of its length, and is corrected (Meyer et al. 1988)."""


class Expert(ABC):
    """One person, for one attempt at a task.

    widest: how far the fingers open [m]. seed: who it is and how this attempt goes: pace, habits, slips.
    """

    def __init__(self, widest: float, seed: int) -> None:
        self.random = np.random.default_rng([seed, 0x0E])
        self.widest = widest
        self.pace = float(self.random.uniform(0.85, 1.25))
        self._script: Script | None = None
        self._tremor = np.zeros((2, 3))
        self._motion = 0.0

    def begin(self, now: float, target: Array, grip: float) -> None:
        """Take over at `now` [s] where the tool is sent (7,) and the fingers are asked to be [m]: nothing jumps."""
        self.now, self.target, self.grip = now, target.copy(), grip
        self._script = self.script()

    def act(self, now: float, pose: Array, opening: float, objects: dict[str, Array]) -> tuple[Array, float]:
        """Where the tool should be now: base_from_tcp (7,) and opening [m], given what a person sees."""
        if self._script is None:
            raise RuntimeError("an expert acts after `begin`")
        elapsed = now - self.now
        self.now, self.pose, self.opening, self.objects = now, pose, opening, objects
        next(self._script)
        return self._trembling(elapsed), self.grip

    @abstractmethod
    def script(self) -> Script:
        """The attempt, from whatever state the world is in."""

    @abstractmethod
    def remaining(self, pose: Array, opening: float, objects: dict[str, Array]) -> float:
        """How much of the task is still to do: falls towards zero along a good attempt, in metres of hand movement."""

    # --- what scripts are made of ---

    def pause(self, shortest: float, longest: float) -> Script:
        """Think for a random time [s]."""
        until = self.now + self.random.uniform(shortest, longest)
        while self.now < until:
            self._motion *= 0.9
            yield

    def reach(self, goal: Callable[[], Array], speed: float = 0.17, quickest: float = 0.35) -> Script:
        """Minimum-jerk movement (Flash and Hogan 1985) to a goal (7,) that may move meanwhile.

        speed: mean over the movement [m/s] of an average person. quickest: no movement takes less [s].
        """
        start, began = self.target, self.now
        metres, radians = distance(start, goal())
        duration = max(quickest, metres / speed, radians / 1.4) / self.pace
        while (s := (self.now - began) / duration) < 1.0:
            self.target = interpolate(start, goal(), s * s * s * (10 + s * (6 * s - 15)))
            self._motion = float(30 * s * s * (1 - s) ** 2 / 1.875)  # share of the peak speed
            yield
        self.target = goal()

    def aim(self, goal: Callable[[], Array], speed: float = 0.18) -> Script:
        """Reach quickly, miss a little, look, and correct."""
        length = distance(self.target, goal())[0]
        miss = np.concatenate([self.random.normal(0.0, MISS * length, 3), np.zeros(4)])
        miss[2] = abs(miss[2])
        yield from self.reach(lambda: goal() + miss, speed)
        if self.random.random() < 0.3:
            yield from self.pause(0.05, 0.25)
        yield from self.reach(goal, 0.07, 0.3)

    def squeeze(self, opening: float, patience: float = 0.9) -> Script:
        """Set the fingers to an opening [m] and wait until they stand still."""
        self.grip = opening
        began, before, still = self.now, self.opening, 0
        while self.now < began + patience and still < 8:
            self._motion *= 0.9
            yield
            still = still + 1 if self.now > began + 0.15 and abs(self.opening - before) < 2e-4 else 0
            before = self.opening

    def _trembling(self, elapsed: float) -> Array:
        """The target with smooth, low-frequency noise that grows with the speed of the hand."""
        self._wander(min(elapsed, 0.1))
        target = self.target.copy()
        target[:3] += self._tremor[1] * (0.1 + 0.9 * self._motion)
        return target

    def _wander(self, elapsed: float) -> None:
        """A random walk that is drawn home, smoothed once more; starts at rest at zero."""
        rate = elapsed / TREMOR_TIME
        self._tremor[0] += -rate * self._tremor[0] + 2 * TREMOR * np.sqrt(rate) * self.random.standard_normal(3)
        self._tremor[1] += rate * (self._tremor[0] - self._tremor[1])


def expert(robot: str, name: str, seed: int) -> Expert:
    """The expert for the task of that name on that robot."""
    found: type[Expert] = import_module(f"robot_stack.sim.experts.{task(name).name}").EXPERT
    return found(find_robot(robot).opening, seed)


def above(place: Array, height: float, yaw: float) -> Array:
    """The tool over x, y (2,) at a height [m], pointing straight down, fingers closing along y turned by yaw [rad]."""
    return np.array([place[0], place[1], height, np.cos(yaw / 2), np.sin(yaw / 2), 0.0, 0.0])


def tool_yaw(pose: Array) -> float:
    """The `yaw` of a tool that points down."""
    return float(2 * np.arctan2(pose[4], pose[3]))


def grasp_yaw(pose: Array, thing: Array) -> float:
    """The yaw that squares the fingers with a square thing with the least turning from `pose` [rad]."""
    now = tool_yaw(pose)
    return now + wrapped(heading(thing) - now, np.pi / 2)
