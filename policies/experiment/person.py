"""A person, made of a scripted expert and what is wrong with people: they shake, lean, lag, and go the wrong way."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from robot_stack.types import Array

ASTRAY = 20
"""Steps at the start of an attempt for which whoever has the wrong idea goes to the wrong side."""


@dataclass(frozen=True)
class Flaws:
    """What makes a person of an expert; all zero is the expert.

    noise: standard deviation of what is added to each number of an action, anew each step [1]. bias: of what is added
    throughout an attempt [1]. delay: how late it does what the expert would do [steps]. wrong: share of the attempts in
    which it first goes to the other side [1].
    """

    noise: float = 0.0
    bias: float = 0.0
    delay: int = 0
    wrong: float = 0.0


class Person:
    """Does what an expert would do, as well as it can. seed: of the attempt, and so of all that goes wrong in it."""

    def __init__(self, flaws: Flaws, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._noise = flaws.noise
        self._bias = flaws.bias * self._random.standard_normal(3)
        self._astray = ASTRAY * int(self._random.random() < flaws.wrong)
        self._late: deque[Array] = deque(maxlen=flaws.delay + 1)

    def take_over(self) -> None:
        """It begins to fly: nothing of what it did before is still on the way."""
        self._late.clear()

    def __call__(self, wanted: Array) -> Array:
        """What it does (4,) in the step in which the expert would do `wanted` (4,): x, y, z and fingers, -1..1."""
        self._late.append(wanted)
        done = self._late[0].copy()
        if self._astray > 0:
            self._astray -= 1
            done[1] = -done[1]
        done[:3] += self._bias + self._noise * self._random.standard_normal(3)
        return np.clip(done, -1.0, 1.0)
