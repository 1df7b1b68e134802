"""How people push the T onto its mark."""

import numpy as np

from robot_stack.sim.experts import Expert, Script, above
from robot_stack.sim.experts.pushing import TOOL, Push, cost, plan
from robot_stack.sim.tasks import heading
from robot_stack.sim.tasks.push_t import MARK, THICK
from robot_stack.types import Array

LOW, HIGH = 0.026, THICK + 0.045
"""Height of the tool while it pushes and while it travels over the block [m]."""
REACHABLE = np.array([0.24, -0.36]), np.array([0.72, 0.36])
"""Least and largest x, y of the tool [m]."""
GAP, OVERSHOOT = 0.015, 0.02
"""A push begins this far from the block, and may go on this much longer than planned [m]."""
YAW = 0.0
"""The fingers need not turn to push [rad]."""
MARKED = np.array([*MARK[:2], heading(MARK)])


class PushExpert(Expert):
    """Pushes with closed fingers, looks where the block went, chooses the next push."""

    def script(self) -> Script:
        self.grip = 0.0
        yield from self._rise()
        while True:
            push = plan(self._block(), MARKED, REACHABLE)
            if push is None:
                yield from self.pause(0.1, 0.3)
                continue
            if self.random.random() < 0.3:
                yield from self.pause(0.1, 0.5)
            yield from self._push(push)

    def remaining(self, pose: Array, opening: float, objects: dict[str, Array]) -> float:
        block = objects["block"]
        return float(cost(_flat(block) - MARKED)) + 0.05 * float(np.linalg.norm(block[:2] - pose[:2]))

    def _push(self, push: Push) -> Script:
        yield from self.reach(lambda: self._beside(push, GAP, HIGH), 0.18)
        yield from self.reach(lambda: self._beside(push, GAP, LOW), 0.12, 0.25)
        goal = self.target.copy()
        goal[:2] += push.direction * (push.length + GAP + OVERSHOOT)
        nearest = np.inf
        for _ in self.reach(lambda: goal, 0.07, 0.3):
            missing = float(cost(self._block() - push.end))
            if missing > nearest + 0.002:
                break  # it was there, or goes elsewhere
            nearest = min(nearest, missing)
            yield
        yield from self._retreat(push)

    def _retreat(self, push: Push) -> Script:
        back = self.target.copy()
        back[:2] -= 0.015 * push.direction
        yield from self.reach(lambda: back, 0.12, 0.15)
        yield from self._rise()

    def _rise(self) -> Script:
        if self.target[2] < HIGH - 0.005:
            here = self.target[:2]
            yield from self.reach(lambda: above(here, HIGH, YAW), 0.15, 0.2)

    def _beside(self, push: Push, gap: float, height: float) -> Array:
        x, y, yaw = self._block()
        rotation = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        contact = rotation @ (push.point + TOOL * push.normal)
        return above(np.array([x, y]) + contact - gap * push.direction, height, YAW)

    def _block(self) -> Array:
        return _flat(self.objects["block"])


def _flat(block: Array) -> Array:
    return np.array([block[0], block[1], heading(block)])


EXPERT = PushExpert
