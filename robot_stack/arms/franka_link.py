"""What a Franka arm's driver needs of a client library: one connection, and one motion at a time on it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_stack.arms.franka_faults import Mode
from robot_stack.types import Array, ConfigError

JOINTS = 7


@dataclass(frozen=True)
class Reading:
    """One state of the robot.

    stamp: of its own clock [s]. q, dq: (7,) [rad, rad/s]. base_from_ee: (4, 4). force: of the environment on the robot,
    at the end effector in the base frame (6,) [N, Nm]. errors: those it has now, by name.
    """

    stamp: float
    q: Array
    dq: Array
    base_from_ee: Array
    force: Array
    mode: Mode
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Setup:
    """What is set on the controller before each motion, and the gains that hold the joints.

    stiffness [Nm/rad], damping [Nm s/rad]: (7,). collision_torque (7,) [Nm], collision_force (6,) [N, Nm]: more is a
    reflex. load_mass [kg], load_center (3,) from the flange [m], load_inertia (9,) about that centre [kg m^2]: what the
    hand carries. hand_from_tcp: (4, 4). lower, upper: joints (7,) [rad] that it is softly held off. realtime: whether
    to insist on a real-time kernel.
    """

    host: str
    stiffness: Array
    damping: Array
    collision_torque: Array
    collision_force: Array
    load_mass: float
    load_center: Array
    load_inertia: Array
    hand_from_tcp: Array
    lower: Array
    upper: Array
    realtime: bool


class Link(Protocol):
    """The library behind a few calls. Whatever fails is a DeviceError that says what to do.

    All are called from one thread, but `read`, `follow` and `hold` in a motion, which the control loop calls.
    """

    def __init__(self, setup: Setup) -> None: ...

    def connect(self) -> None:
        """Reach the robot, or say why not."""
        ...

    def limits(self) -> tuple[Array, Array] | None:
        """Least and greatest joints (7,) [rad] that the robot itself says it has; None where it does not."""
        ...

    def configure(self) -> None:
        """Set thresholds, load and end effector; only an idle robot lets itself be set."""
        ...

    def take(self) -> None:
        """Begin a motion: the arm is held where it is."""
        ...

    def moves(self) -> bool:
        """Whether that motion still goes on."""
        ...

    def why(self) -> str:
        """Why it does not, in the library's words; empty when it ended as asked."""
        ...

    def read(self) -> Reading:
        """The newest state: at once in a motion, else the next one."""
        ...

    def follow(self, q: Array, dq: Array) -> None:
        """Hold the joints at q (7,) [rad], moving at dq (7,) [rad/s]; until the next call."""
        ...

    def hold(self, stiffness: Array, damping: Array) -> None:
        """Change the gains (7,) [Nm/rad, Nm s/rad] of the motion."""
        ...

    def release(self) -> None:
        """Bring the arm to rest and end the motion, within a few seconds."""
        ...

    def recover(self) -> str:
        """Ask the robot to clear its errors, and wait for its answer: why it refuses, empty when it does not.

        Whether it did is to be read, and may take a while longer.
        """
        ...

    def close(self) -> None:
        """Disconnect, also in a motion, and also from a robot that is not there any more: it stops by itself then."""
        ...


def vector(name: str, values: object, size: int, unit: str) -> Array:
    """A setting as an array (size,), or a ConfigError."""
    array = np.asarray(values, dtype=float)
    if array.shape != (size,) or not np.isfinite(array).all():
        raise ConfigError(f"{name} is {values}, expected {size} numbers [{unit}]")
    return array
