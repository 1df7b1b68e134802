"""Pick up the square peg and put it into the hole: contact-rich."""

from typing import TYPE_CHECKING

import numpy as np

from robot_stack.sim.tasks import heading, standing, wrapped
from robot_stack.types import Array

if TYPE_CHECKING:
    import mujoco

WIDTH, LENGTH = 0.030, 0.12
"""Of the peg [m]."""
CLEARANCE = 0.002
"""The hole is this much wider than the peg, 1 mm on each side [m]."""
BLOCK, DEPTH = 0.11, 0.05
"""Outer edge and height of the block with the hole [m]."""
INSERTED = 0.03
"""How deep the peg's underside must be in the hole [m]."""


class Peg:
    """A square peg standing on the table, and a block with a square hole, both placed and turned at random."""

    name = "peg"
    objects = ("peg", "hole")
    limit = 30.0

    def furnish(self, spec: "mujoco.MjSpec") -> None:
        import mujoco

        peg = spec.worldbody.add_body(name="peg", pos=[0.45, 0.1, LENGTH / 2])
        peg.add_freejoint()
        half = [WIDTH / 2, WIDTH / 2, LENGTH / 2]
        box = mujoco.mjtGeom.mjGEOM_BOX
        peg.add_geom(type=box, size=half, mass=0.08, friction=[0.5, 0.01, 0.001], material="signal")
        hole = spec.worldbody.add_body(name="hole", pos=[0.45, -0.1, 0.0], mocap=True)
        inner = (WIDTH + CLEARANCE) / 2
        wall = (BLOCK / 2 - inner) / 2
        for x, y, along in ((1, 0, BLOCK / 2), (-1, 0, BLOCK / 2), (0, 1, inner), (0, -1, inner)):
            hole.add_geom(
                type=box,
                size=[wall, along, DEPTH / 2] if x else [along, wall, DEPTH / 2],
                pos=[x * (inner + wall), y * (inner + wall), DEPTH / 2],
                friction=[0.3, 0.01, 0.001],
                material="blue",
            )

    def start(self, random: np.random.Generator) -> dict[str, Array]:
        side = random.choice([-1.0, 1.0])
        peg = random.uniform(0.36, 0.54), side * random.uniform(0.08, 0.18), random.uniform(-np.pi / 4, np.pi / 4)
        hole = random.uniform(0.40, 0.52), -side * random.uniform(0.06, 0.16), random.uniform(-0.5, 0.5)
        return {"peg": standing(*peg[:2], LENGTH / 2, peg[2]), "hole": standing(*hole[:2], 0.0, hole[2])}

    def solved(self, objects: dict[str, Array]) -> bool:
        peg, hole = objects["peg"], objects["hole"]
        inside = np.hypot(*(peg[:2] - hole[:2])) < 0.005 and peg[2] - LENGTH / 2 < DEPTH - INSERTED
        return bool(inside and abs(wrapped(heading(peg) - heading(hole), np.pi / 2)) < 0.15)


TASK = Peg()
