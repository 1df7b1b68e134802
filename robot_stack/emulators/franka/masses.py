"""What the links of the scene's arm and its hand weigh: from what the robot says of it, a client computes dynamics."""

from typing import NamedTuple

import mujoco
import numpy as np

from robot_stack.emulators.franka.frames import Skeleton
from robot_stack.types import Array


class Link(NamedTuple):
    """Mass [kg], centre of mass (3,) [m], and inertia about it (3, 3) [kg m^2], in the frame of the link."""

    mass: float
    center: Array
    inertia: Array


def links(model: mujoco.MjModel) -> list[Link]:
    """The moving links, base first."""
    return [_link(model, model.body(f"fr3_link{number}").id) for number in range(1, 8)]


def hand(model: mujoco.MjModel) -> Link:
    """The hand with its fingers as they stand in the model, in the frame of the flange."""
    skeleton = Skeleton(model, data := mujoco.MjData(model))
    skeleton.place(np.zeros(7))
    flange_from_base = np.linalg.inv(skeleton.flange())
    parts = []
    for name in ("hand", "left_finger", "right_finger"):
        link, body = _link(model, model.body(name).id), data.body(name)
        turn = flange_from_base[:3, :3] @ body.xmat.reshape(3, 3)
        center = flange_from_base[:3, :3] @ body.xpos + flange_from_base[:3, 3] + turn @ link.center
        parts.append(Link(link.mass, center, turn @ link.inertia @ turn.T))
    mass = sum(part.mass for part in parts)
    center = np.sum([part.mass * part.center for part in parts], axis=0) / mass
    return Link(mass, center, np.sum([_about(center, part) for part in parts], axis=0))


def _link(model: mujoco.MjModel, body: int) -> Link:
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.body_iquat[body])
    axes = rotation.reshape(3, 3)
    inertia = axes @ np.diag(model.body_inertia[body]) @ axes.T
    return Link(float(model.body_mass[body]), model.body_ipos[body].copy(), inertia)


def _about(point: Array, link: Link) -> Array:
    """The inertia of a link about another point (3, 3): parallel axes."""
    arm = link.center - point
    moved: Array = link.inertia + link.mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    return moved
