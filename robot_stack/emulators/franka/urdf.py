"""The robot's description in URDF, as its controller hands it out: geometry as published, masses as in the scene."""

from itertools import count
from math import pi
from typing import NamedTuple

import mujoco
import numpy as np

from robot_stack.emulators.franka.limits import Limits
from robot_stack.emulators.franka.masses import Link, links
from robot_stack.types import Array


class Joint(NamedTuple):
    """One row of the Denavit-Hartenberg table, as Craig has it: before the turn about z. Lengths [m], angle [rad]."""

    a: float
    d: float
    alpha: float


CHAIN = (
    Joint(0.0, 0.333, 0.0),
    Joint(0.0, 0.0, -pi / 2),
    Joint(0.0, 0.316, pi / 2),
    Joint(0.0825, 0.0, pi / 2),
    Joint(-0.0825, 0.384, -pi / 2),
    Joint(0.0, 0.0, pi / 2),
    Joint(0.088, 0.0, pi / 2),
)
"""Franka control interface documentation, "Denavit-Hartenberg parameters"; the same for both arms."""


NO_END = 1e6
"""Deceleration [rad/s^2] with which a limit of velocity does not fall towards the ends."""


def urdf(model: mujoco.MjModel, limits: Limits) -> str:
    """What libfranka needs: seven joints with limits, among them those near the ends, and the flange as `link8`.

    A client of version 0.21 looks for a link of exactly that name, and reads wild memory when there is none.
    """
    lines = ['<?xml version="1.0"?>', '<robot name="fr3">', '<link name="link0"/>']
    for number, joint, link in zip(count(1), CHAIN, links(model), strict=False):
        lines += [_link(number, link), _joint(number, joint, limits)]
    lines += [
        '<link name="link8"/>',
        '<joint name="joint8" type="fixed"><parent link="link7"/><child link="link8"/>',
        '<origin xyz="0 0 0.107" rpy="0 0 0"/></joint>',
        "</robot>",
    ]
    return "\n".join(lines)


def _link(number: int, link: Link) -> str:
    moments = link.inertia[np.triu_indices(3)]
    names = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    inertia = " ".join(f'{name}="{value:.9g}"' for name, value in zip(names, moments, strict=True))
    return (
        f'<link name="link{number}"><inertial><origin xyz="{_numbers(link.center)}" rpy="0 0 0"/>'
        f'<mass value="{link.mass:.9g}"/><inertia {inertia}/></inertial></link>'
    )


def _joint(number: int, joint: Joint, limits: Limits) -> str:
    """Craig's transform: along and about x first, then along z, which the joint turns about."""
    i = number - 1
    offset = 0.0 if limits.offset is None else limits.offset[i]
    deceleration = NO_END if limits.deceleration is None else limits.deceleration[i]
    origin = np.array([joint.a, -np.sin(joint.alpha) * joint.d, np.cos(joint.alpha) * joint.d])
    return (
        f'<joint name="joint{number}" type="revolute"><parent link="link{i}"/><child link="link{number}"/>'
        f'<origin xyz="{_numbers(origin)}" rpy="{joint.alpha:.17g} 0 0"/><axis xyz="0 0 1"/>'
        f'<limit lower="{limits.lower[i]}" upper="{limits.upper[i]}" velocity="{limits.velocity[i]}" '
        f'effort="{limits.torque[i]}"/>'
        f'<position_based_velocity_limits velocity_offset="{offset}" deceleration_limit="{deceleration}"/></joint>'
    )


def _numbers(vector: Array) -> str:
    return " ".join(f"{value:.17g}" for value in vector)
