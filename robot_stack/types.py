"""The few types that every room of the house shares.

All quantities are SI. Times are seconds of one monotonic clock (`robot_stack.clock.now`). A pose is seven numbers
`x y z [m], qx qy qz qw`; its name says the frames in composition order, as in `base_from_tcp`.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.uint8]


class Source(IntEnum):
    """Who commanded a step."""

    NOBODY = 0
    OPERATOR = 1
    POLICY = 2
    SCRIPT = 3  # a stored trajectory or the way home


class Mode(IntEnum):
    """What the control loop is asked to do."""

    STOP = 0  # latched: leaves only by an explicit reset to HOLD
    HOLD = 1
    RUN = 2  # the operator flies when engaged, else the policy, else nobody
    HOME = 3  # fly to the home joints, open the fingers, then HOLD


class TargetKind(IntEnum):
    """In which space a target was asked for."""

    NONE = 0
    POSE = 1
    JOINTS = 2
    GUIDE = 3  # none of the two: a person leads the arm by hand, and the target is wherever it is


@dataclass(frozen=True)
class ArmState:
    """One measurement of an arm.

    time: when it was measured [s]. q, dq: joint positions and velocities (n,) [rad, rad/s].
    base_from_tcp: (7,). wrench: force and torque at the TCP in the base frame (6,) [N, Nm].
    fault: why the arm's own controller does not follow, in its words, and what clears it; empty while it does.
    """

    time: float
    q: Array
    dq: Array
    base_from_tcp: Array
    wrench: Array
    fault: str = ""


@dataclass(frozen=True)
class GripperState:
    """One measurement of a gripper: when [s], and how far the fingers are apart [m]."""

    time: float
    opening: float


@dataclass(frozen=True)
class Frame:
    """One camera picture: measured capture time [s], running number, RGB image (height, width, 3)."""

    time: float
    sequence: int
    image: Image


class RobotStackError(Exception):
    """Base of every error of this project: says what was found, what was expected and what to do."""


class SpecError(RobotStackError):
    """Data that does not fit its schema."""


class DeviceError(RobotStackError):
    """A device that could not be reached, or that answered something impossible."""


class ConfigError(RobotStackError):
    """A configuration that names something that does not exist, or asks for what cannot be."""


class StoreError(RobotStackError):
    """A store that is missing, of another schema, damaged or in use."""


class CheckpointError(RobotStackError):
    """A checkpoint that is missing, damaged, or of another spec than the station that should fly it."""
