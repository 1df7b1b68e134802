"""What one installation allows; the robot's own limits are in `robots`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, pi

from robot_stack.robots import robot
from robot_stack.types import ConfigError

AXES = "xyz"

Box = tuple[Sequence[float], Sequence[float]]
"""Lowest and highest corner, x y z each, in the base frame [m]."""


@dataclass(frozen=True)
class Neighbour:
    """Another arm within reach. robot: its name in `robots`. base: base_from_neighbour (7,). q: the joints (n,) [rad]
    that it always stands at; None if it moves: then `Safety.see_neighbour` says where, and nothing moves before."""

    robot: str
    base: Sequence[float]
    q: Sequence[float] | None = None

    def __post_init__(self) -> None:
        n = len(robot(self.robot).joints)
        if len(self.base) != 7 or not abs(sum(x * x for x in self.base[3:]) - 1.0) < 0.01:
            raise ConfigError(f"a neighbour's base is {self.base}, expected x y z [m] and a unit quaternion x y z w")
        if self.q is not None and len(self.q) != n:
            raise ConfigError(f"a neighbour stands at {len(self.q)} joints, expected the {n} of a {self.robot}")


@dataclass(frozen=True)
class Limits:
    """What one installation allows.

    box_min, box_max: where the TCP may be, in the base frame [m]. margin: how far inside the box requests end [m].
    table: height of the table, a plane of any size [m]. keep_out: boxes by name that the arm stays out of.
    clearance: least distance to both, of the arm from its upper arm on and of the gripper however far open [m].
    self_distance: least distance between parts of the arm that are not joined [m].
    neighbours: other arms by name. neighbour_distance: least distance to where they are [m]. Two arms may be braking
    towards each other: it should be more than both ways to rest, up to 2 cm each at 0.25 m/s, 4 cm at 0.5 m/s.
    tilt: most that the tool's z axis may lean away from straight down [rad]; pi: as it likes.
    tcp_speed [m/s] and tcp_rotation [rad/s]: of the TCP (ISO 10218-1 calls 0.25 m/s reduced speed).
    joint_velocity, joint_acceleration, joint_jerk: parts of the robot's own limits, 0..1.
    tracking: most a joint may be away from its setpoint [rad].
    force [N], torque [Nm]: at the TCP; more, for longer than `watch.PRESSED`, stops the arm. The scripted people press
    with up to 122 N and 3.1 Nm for so long, when a peg meets the rim of its hole. Lower is kinder: ISO/TS 15066 has
    140 N for a hand that is squeezed.
    state_age, request_age, operator_age, chunk_age, frame_age: oldest arm state (a neighbour's, too), request of the
    parent process, operator input, observation of a chunk, and picture in that observation to act on [s].
    engage: most a leader arm may be away from the arm when its operator begins to fly [rad].
    """

    box_min: Sequence[float] = (0.15, -0.5, 0.005)
    box_max: Sequence[float] = (0.85, 0.5, 0.7)
    margin: float = 0.005
    table: float = 0.0
    keep_out: dict[str, Box] = field(default_factory=dict)
    clearance: float = 0.001
    self_distance: float = 0.01
    neighbours: dict[str, Neighbour] = field(default_factory=dict)
    neighbour_distance: float = 0.1
    tilt: float = pi
    tcp_speed: float = 0.5
    tcp_rotation: float = 2.0
    joint_velocity: float = 0.5
    joint_acceleration: float = 1.0
    joint_jerk: float = 1.0
    tracking: float = 0.4
    force: float = 150.0
    torque: float = 10.0
    state_age: float = 0.2
    request_age: float = 0.5
    operator_age: float = 0.2
    chunk_age: float = 1.5
    frame_age: float = 0.5
    engage: float = 0.3

    def __post_init__(self) -> None:
        if not self.margin >= 0.0:
            raise ConfigError(f"margin is {self.margin}, expected 0 or more: it lies inside the box")
        if len(self.box_min) != 3 or len(self.box_max) != 3:
            raise ConfigError(f"the box is {self.box_min} to {self.box_max} m, expected two corners: [x, y, z]")
        for axis, low, high in zip(AXES, self.box_min, self.box_max, strict=True):
            if not low + 2 * self.margin < high:
                raise ConfigError(
                    f"the box has no room along {axis}: {low} to {high} m, less {self.margin} m each side"
                )
        for name, (lowest, highest) in self.keep_out.items():
            corners = list(zip(lowest, highest, strict=False))
            if len(lowest) != 3 or len(highest) != 3 or not all(low < high for low, high in corners):
                raise ConfigError(
                    f"keep-out {name} is {lowest} to {highest} m, expected two corners: [x, y, z], lowest first"
                )
        for name in ("joint_velocity", "joint_acceleration", "joint_jerk"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a part of the robot's own limit, 0..1")
        ages = ("state_age", "request_age", "operator_age", "chunk_age", "frame_age")
        distances = ("clearance", "self_distance", "neighbour_distance")
        for name in ("tcp_speed", "tcp_rotation", "tracking", "engage", "tilt", "force", "torque", *ages, *distances):
            if not 0.0 < getattr(self, name) < inf:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0, and a limit")
        if not isfinite(self.table):
            raise ConfigError(f"table is {self.table}, expected its height in the base frame [m]")
