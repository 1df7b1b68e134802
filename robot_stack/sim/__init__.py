"""The simulated station: a robot on a table with two cameras, and the tasks that it can be asked to do."""

from robot_stack.robots import robot as find_robot
from robot_stack.sim.tasks import task as find_task
from robot_stack.station import Station
from robot_stack.types import ConfigError

CAMERAS = ("front", "wrist")
"""The cameras of the scene."""


def station(robot: str, task: str, cameras: dict[str, tuple[int, int]] | None = None, rate: float = 10.0) -> Station:
    """The station that a simulated robot at a task makes. cameras: name -> (height, width); none: no pictures."""
    for name in cameras or {}:
        if name not in CAMERAS:
            raise ConfigError(f"no camera {name!r} in the simulated scene; there are: {', '.join(CAMERAS)}")
    return Station(
        name=f"sim-{find_robot(robot).name}-{find_task(task).name}",
        joints=len(find_robot(robot).joints),
        cameras=dict(cameras or {}),
        rate=rate,
        objects=find_task(task).objects,
    )
