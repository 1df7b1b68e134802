"""Pick up the cube."""

from typing import TYPE_CHECKING

import numpy as np

from robot_stack.sim.tasks import standing
from robot_stack.types import Array

if TYPE_CHECKING:
    import mujoco

EDGE = 0.05
"""Edge of the cube [m]: an open gripper has 15 to 18 mm of play on each side when well aligned."""
HEIGHT = 0.10
"""The cube's underside must come this high above the table [m]."""
REGION = ((0.34, 0.59), (-0.20, 0.20))
"""Where the cube may stand: x and y [m]."""
YAW = np.pi / 4
"""How far the cube may be turned either way [rad]; the cube looks the same every quarter turn."""


class Lift:
    """A cube somewhere on the table, turned at random; success is to hold it well above the table."""

    name = "lift"
    objects = ("cube",)
    limit = 15.0

    def furnish(self, spec: "mujoco.MjSpec") -> None:
        import mujoco

        cube = spec.worldbody.add_body(name="cube", pos=[0.45, 0.0, EDGE / 2])
        cube.add_freejoint()
        cube.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, size=[EDGE / 2] * 3, mass=0.09, friction=[1, 0.01, 0.001], material="signal"
        )

    def start(self, random: np.random.Generator) -> dict[str, Array]:
        (x, y), yaw = (random.uniform(*side) for side in REGION), random.uniform(-YAW, YAW)
        return {"cube": standing(x, y, EDGE / 2, yaw)}

    def solved(self, objects: dict[str, Array]) -> bool:
        return bool(objects["cube"][2] - EDGE / 2 > HEIGHT)


TASK = Lift()
