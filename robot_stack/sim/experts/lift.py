"""How people pick up a cube."""

import numpy as np

from robot_stack.sim.experts import Expert, Script, above, grasp_yaw, tool_yaw
from robot_stack.sim.tasks.lift import EDGE, HEIGHT
from robot_stack.types import Array

CLEAR = 0.05
"""Height of the fingertips' centre above the cube's at which sideways movement touches nothing [m]."""
SQUEEZE = 0.02
"""The fingers are asked to close this much further than the cube is wide [m]."""


class LiftExpert(Expert):
    """Comes from above, or in an arc from the side; tries again when the cube slips."""

    def script(self) -> Script:
        while True:
            if not self._holds():
                yield from self._approach()
                yield from self._grasp()
            yield from self._raise()

    def remaining(self, pose: Array, opening: float, objects: dict[str, Array]) -> float:
        cube = objects["cube"]
        return float(np.linalg.norm(cube[:3] - pose[:3])) + max(0.0, HEIGHT + EDGE - float(cube[2]))

    def _approach(self) -> Script:
        yield from self.pause(0.0, 0.4)
        self.grip = min(self.widest, EDGE + self.random.uniform(0.025, 0.04))
        height = self._cube()[2] + CLEAR + self.random.uniform(0.0, 0.02)
        if self.pose[2] < height and np.hypot(*(self.pose[:2] - self._cube()[:2])) < 2 * EDGE:
            here = self.target[:2]
            yield from self.reach(lambda: above(here, height + 0.02, self._yaw()), 0.15)
        if self.random.random() < 0.4:
            yield from self._arc(height)
        yield from self.aim(lambda: self._over(height))

    def _arc(self, height: float) -> Script:
        """A way round, from one side and a little high."""
        side, out = self.random.choice([-1.0, 1.0]), self.random.uniform(0.05, 0.09)
        offset = np.array([-0.5 * out, side * out, 0.05, 0, 0, 0, 0])
        yield from self.reach(lambda: self._over(height) + offset, 0.19)

    def _grasp(self) -> Script:
        depth, slip = self.random.uniform(0.003, 0.010), self.random.normal(0.0, 0.002, 2)
        offset = np.array([*slip, depth, 0, 0, 0, 0])
        yield from self.reach(lambda: self._over(0.0) + np.array([0, 0, self._cube()[2], 0, 0, 0, 0]) + offset, 0.08)
        yield from self.squeeze(EDGE - SQUEEZE)

    def _raise(self) -> Script:
        place = self.target[:2] + self.random.normal(0.0, 0.015, 2)
        height, yaw = self.random.uniform(0.16, 0.20), tool_yaw(self.target)
        for _ in self.reach(lambda: above(place, height, yaw), 0.12):
            if self.pose[2] > 0.05 and not self._holds():
                return
            yield
        while self._holds():
            self._motion *= 0.9
            yield

    def _over(self, height: float) -> Array:
        return above(self._cube()[:2], height, self._yaw())

    def _yaw(self) -> float:
        return grasp_yaw(self.target, self._cube())

    def _cube(self) -> Array:
        return self.objects["cube"]

    def _holds(self) -> bool:
        """The cube is between the fingers, and they are as far apart as it is wide."""
        apart = float(np.linalg.norm(self._cube()[:3] - self.pose[:3]))
        return apart < 0.5 * EDGE and self.opening < EDGE + 0.008 and self.grip < EDGE


EXPERT = LiftExpert
