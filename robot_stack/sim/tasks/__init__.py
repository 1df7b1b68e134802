"""Tasks on the table: what lies there, how it starts, when it is done. One file per task."""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np

from robot_stack.types import Array, ConfigError

if TYPE_CHECKING:
    import mujoco

NAMES = ("lift", "push_t", "peg")


class Task(Protocol):
    """objects: bodies whose pose is published. limit: an attempt that takes longer has failed [s]."""

    name: str
    objects: tuple[str, ...]
    limit: float

    def furnish(self, spec: "mujoco.MjSpec") -> None:
        """Add the objects to the scene; a body that can be moved has a free joint, a fixture is a mocap body."""
        ...

    def start(self, random: np.random.Generator) -> dict[str, Array]:
        """Where each object stands at the start: base_from_object (7,)."""
        ...

    def solved(self, objects: dict[str, Array]) -> bool:
        """Whether the objects are where they should be; success is to hold that for `world.DWELL`."""
        ...


def task(name: str) -> Task:
    """The task of that name, or a ConfigError that lists the names there are."""
    if name not in NAMES:
        raise ConfigError(f"no task {name!r}; there are: {', '.join(NAMES)}")
    found: Task = import_module(f"robot_stack.sim.tasks.{name}").TASK
    return found


def standing(x: float, y: float, z: float, yaw: float) -> Array:
    """The pose (7,) of something upright at x, y, z [m], turned by yaw [rad] about the vertical."""
    return np.array([x, y, z, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])


def heading(pose: Array) -> float:
    """The angle of the x axis of a pose (7,) in the table plane [rad]."""
    x, y, z, w = pose[3:]
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def wrapped(angle: float, period: float = 2 * np.pi) -> float:
    """The angle [rad] shifted by whole periods to within half a period of zero."""
    return float((angle + period / 2) % period - period / 2)
