"""How people put a peg into a hole: above it, down until it touches, and if it is stuck, feel around."""

from collections.abc import Callable

import numpy as np

from robot_stack.pose import distance
from robot_stack.sim.experts import Expert, Script, above, grasp_yaw, tool_yaw
from robot_stack.sim.tasks import heading, wrapped
from robot_stack.sim.tasks.peg import DEPTH, LENGTH, WIDTH
from robot_stack.types import Array

GRIP = 0.030
"""The peg is held this far above its middle [m]."""
CARRY = DEPTH + 0.03
"""The peg's underside travels at this height [m]."""
SQUEEZE = 0.015
"""The fingers are asked to close this much further than the peg is wide [m]."""


class PegExpert(Expert):
    """Picks the peg up near its top, carries it over, aligns it by eye, and lowers it with care."""

    def script(self) -> Script:
        while True:
            if not self._holds():
                yield from self._pick()
            if self._holds():
                yield from self._insert()

    def remaining(self, pose: Array, opening: float, objects: dict[str, Array]) -> float:
        peg, hole = objects["peg"], objects["hole"]
        across = float(np.linalg.norm(peg[:2] - hole[:2]))
        reach = float(np.linalg.norm(peg[:3] + [0, 0, GRIP] - pose[:3]))
        down = max(0.0, float(peg[2]) - LENGTH / 2) if across < 0.01 else CARRY
        return reach + across + down

    # --- the peg into the hand ---

    def _pick(self) -> Script:
        yield from self.pause(0.0, 0.4)
        self.grip = min(self.widest, WIDTH + self.random.uniform(0.03, 0.05))
        high = LENGTH + 0.06
        if self.pose[2] < high - 0.01:
            here, yaw = self.target[:2], tool_yaw(self.target)
            yield from self.reach(lambda: above(here, high, yaw), 0.15)
        if self.random.random() < 0.4:
            side = np.array([*self.random.normal(0.0, 0.04, 2), 0.02, 0, 0, 0, 0])
            yield from self.reach(lambda: self._over_peg(high) + side, 0.2)
        yield from self.aim(lambda: self._over_peg(high))
        depth = self.random.uniform(-0.003, 0.006)
        yield from self.reach(lambda: self._over_peg(self._peg()[2] + GRIP + depth), 0.08)
        yield from self.squeeze(WIDTH - SQUEEZE)

    def _over_peg(self, height: float) -> Array:
        return above(self._peg()[:2], height, grasp_yaw(self.target, self._peg()))

    # --- the peg into the hole ---

    def _insert(self) -> Script:
        yield from self._carry(lambda: self._held_at(self._peg()[:2], CARRY, turn=False), 0.12)
        miss = self._miss(0.006)
        yield from self._carry(lambda: self._held_at(self._hole()[:2] + miss, CARRY), 0.16)
        yield from self._carry(lambda: self._held_at(self._hole()[:2], CARRY), 0.05)
        while self._holds() and self._bottom() > 0.004:
            yield from self._lower()

    def _lower(self) -> Script:
        """Down, until it goes no further; then a little up, and a little elsewhere."""
        offset = self._miss(0.0006)
        yield from self._carry(lambda: self._held_at(self._hole()[:2] + offset, DEPTH + 0.012), 0.04)
        lowest, since = self._bottom(), self.now
        for _ in self._carry(lambda: self._held_at(self._hole()[:2] + offset, 0.0), 0.045):
            if self._bottom() < lowest - 0.002:
                lowest, since = self._bottom(), self.now
            if self.now - since > 0.6:
                return
            yield
        yield from self.pause(0.3, 0.4)

    def _carry(self, goal: Callable[[], Array], speed: float) -> Script:
        """Reach while holding the peg; stop as soon as it is lost."""
        for _ in self.reach(goal, speed):
            if not self._holds():
                return
            yield

    def _held_at(self, place: Array, bottom: float, turn: bool = True) -> Array:
        """The tool, such that the peg as it is held now stands there with its underside at a height [m]."""
        yaw = tool_yaw(self.pose)
        if turn:
            yaw += wrapped(heading(self._hole()) - heading(self._peg()), np.pi / 2)
        shift = _turned(self.pose[:2] - self._peg()[:2], yaw - tool_yaw(self.pose))
        return above(place + shift, bottom + float(self.pose[2] - self._peg()[2]) + LENGTH / 2, yaw)

    def _miss(self, size: float) -> Array:
        return self.random.normal(0.0, size, 2)

    def _bottom(self) -> float:
        return float(self._peg()[2]) - LENGTH / 2

    def _holds(self) -> bool:
        """The peg is between the fingers, and they are as far apart as it is wide."""
        apart = distance(self.pose, self._peg())[0]
        return apart < LENGTH / 2 and self.opening < WIDTH + 0.008 and self.grip < WIDTH

    def _peg(self) -> Array:
        return self.objects["peg"]

    def _hole(self) -> Array:
        return self.objects["hole"]


def _turned(vector: Array, angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1]])


EXPERT = PegExpert
