"""How the modelled grippers open and close: between the fingers' distance in metres and the model's own numbers."""

from math import dist
from typing import Protocol

import mujoco
import numpy as np

from robot_stack.types import Array


class ModelledGripper(Protocol):
    """One kind of gripper in the scene."""

    actuator: str
    base: str

    def tune(self, spec: mujoco.MjSpec) -> None:
        """Make the grip as firm as the real one's."""
        ...

    def control(self, opening: float) -> float:
        """What to send to the actuator for a distance between the fingers [m]."""
        ...

    def opening(self, model: mujoco.MjModel, data: mujoco.MjData) -> float:
        """The distance between the fingers now [m]."""
        ...


class Robotiq2F85:
    """A four-bar linkage: the distance is measured between the pads, the command is looked up."""

    actuator = "gripper_fingers_actuator"
    base = "gripper_base_mount"
    pads = ("gripper_left_pad1", "gripper_right_pad1")
    thickness = 0.008
    commands: Array = np.array([255.0, 200.0, 150.0, 100.0, 50.0, 0.0])
    openings: Array = np.array([0.0004, 0.0177, 0.0360, 0.0536, 0.0701, 0.0851])
    """Measured at rest in the model, nothing between the pads."""

    def tune(self, spec: mujoco.MjSpec) -> None:
        for geom in spec.geoms:
            if geom.name.endswith(("_pad1", "_pad2")):
                geom.friction, geom.condim = [1.0, 0.01, 0.001], 4

    def control(self, opening: float) -> float:
        return float(np.interp(opening, self.openings, self.commands))

    def opening(self, model: mujoco.MjModel, data: mujoco.MjData) -> float:
        left, right = (data.geom(pad).xpos for pad in self.pads)
        return max(0.0, dist(left, right) - self.thickness)


class FrankaHand:
    """Two sliding fingers, each 0 to 40 mm from the middle."""

    actuator = "hand"
    base = "hand"
    fingers = ("finger_joint1", "finger_joint2")
    stroke = 0.08
    stiffness, force = 2000.0, 40.0
    """Of the two fingers together [N/m, N]; the hand grips with up to 70 N."""

    def tune(self, spec: mujoco.MjSpec) -> None:
        actuator = spec.actuator(self.actuator)
        actuator.gainprm[0] = self.stiffness * 0.04 / 255
        actuator.biasprm[1], actuator.biasprm[2] = -self.stiffness, -100.0
        actuator.forcerange = [-self.force, self.force]
        for side in ("left_finger", "right_finger"):
            for geom in spec.body(side).geoms:
                if int(geom.type) == int(mujoco.mjtGeom.mjGEOM_BOX):
                    geom.friction, geom.condim, geom.priority = [1.0, 0.01, 0.001], 4, 1

    def control(self, opening: float) -> float:
        return 255.0 * float(np.clip(opening / self.stroke, 0.0, 1.0))

    def opening(self, model: mujoco.MjModel, data: mujoco.MjData) -> float:
        return max(0.0, float(sum(data.joint(finger).qpos[0] for finger in self.fingers)))


GRIPPERS: dict[str, ModelledGripper] = {"ur5e": Robotiq2F85(), "fr3": FrankaHand(), "panda": FrankaHand()}
