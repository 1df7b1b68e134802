"""Push the T onto its mark, as in Florence et al. (Implicit Behavioral Cloning, 2021), in three dimensions."""

from typing import TYPE_CHECKING

import numpy as np

from robot_stack.sim.tasks import heading, standing, wrapped
from robot_stack.types import Array

if TYPE_CHECKING:
    import mujoco

THICK = 0.035
"""Width of both strokes of the T, and its height [m]. The bar is 4 x 1, the stem 1 x 3, as in the paper's block."""
BAR = (2 * THICK, THICK / 2)
STEM = (THICK / 2, 1.5 * THICK)
"""Half sizes of the strokes in the block's x and y [m]."""
BAR_Y, STEM_Y = 6 / 7 * THICK, -8 / 7 * THICK
"""Where their centres lie on the block's y axis, whose origin is the centre of mass [m]."""
MARK = standing(0.45, 0.0, 0.0, -np.pi / 4)
"""Where the T must come to lie."""
REACHED = (0.015, np.deg2rad(8.0))
"""Largest error that counts as on the mark [m, rad]."""


class PushT:
    """A T-shaped block on the table and its painted outline; success is the block on the outline."""

    name = "push_t"
    objects = ("block",)
    limit = 60.0

    def furnish(self, spec: "mujoco.MjSpec") -> None:
        block = spec.worldbody.add_body(name="block", pos=[0.45, 0.1, THICK / 2])
        block.add_freejoint()
        _strokes(block, THICK / 2, "blue", solid=True)
        mark = spec.worldbody.add_body(name="mark", pos=[*MARK[:2], 0.0003], quat=MARK[[6, 3, 4, 5]])
        _strokes(mark, 0.0003, "mark", solid=False)

    def start(self, random: np.random.Generator) -> dict[str, Array]:
        while True:
            x, y, yaw = random.uniform(0.36, 0.56), random.uniform(-0.15, 0.15), random.uniform(-np.pi, np.pi)
            block = standing(x, y, THICK / 2, yaw)
            if np.hypot(*error(block)[:2]) > 0.06 or abs(error(block)[2]) > 0.5:
                return {"block": block}

    def solved(self, objects: dict[str, Array]) -> bool:
        x, y, yaw = error(objects["block"])
        return bool(np.hypot(x, y) < REACHED[0] and abs(yaw) < REACHED[1])


def error(block: Array) -> tuple[float, float, float]:
    """How far the block (7,) is from the mark: x, y [m] in the base frame, and yaw [rad]."""
    x, y = block[:2] - MARK[:2]
    return float(x), float(y), wrapped(heading(block) - heading(MARK))


def _strokes(body: "mujoco.MjsBody", height: float, material: str, solid: bool) -> None:
    import mujoco

    for (x, y), centre in ((BAR, BAR_Y), (STEM, STEM_Y)):
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[x, y, height],
            pos=[0, centre, 0],
            density=250 if solid else 0,
            friction=[0.4, 0.01, 0.001],
            material=material,
            contype=int(solid),
            conaffinity=int(solid),
        )


TASK = PushT()
