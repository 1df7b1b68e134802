"""What a client can set on the controller, with the values that it boots with, and what is refused as invalid."""

import numpy as np

from robot_stack.emulators.franka.frames import is_rigid, matrix_of
from robot_stack.emulators.franka.plant import Plant
from robot_stack.emulators.franka.protocol import Command, Request
from robot_stack.types import Array

STIFFNESS = (3000.0, 3000.0, 3000.0, 2500.0, 2500.0, 2000.0, 2000.0)
"""Of the internal joint impedance controller at first [Nm/rad]."""
STIFFEST = 14250.0
"""Most that may be set [Nm/rad]."""
TORQUE, FORCE = (20.0, 20.0, 18.0, 18.0, 16.0, 14.0, 12.0), (20.0, 20.0, 20.0, 25.0, 25.0, 25.0)
"""Thresholds of contact and collision at first [Nm], [N, Nm]."""


class Settings:
    """Read the attributes; `apply` is the only way to change them.

    stiffness (7,) [Nm/rad]. contact_tau, collision_tau (2, 7) [Nm], contact_force, collision_force (2, 6) [N, Nm]:
    thresholds, first row while accelerating. load: mass [kg], centre (3,), inertia (9,).
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.stiffness: Array = np.array(STIFFNESS)
        self.contact_tau = self.collision_tau = np.tile(TORQUE, (2, 1))
        self.contact_force = self.collision_force = np.tile(FORCE, (2, 1))
        self.load: tuple[float, Array, Array] = (0.0, np.zeros(3), np.zeros(9))
        plant.declare_load(0.0, np.zeros(3))
        plant.frames.set_ee(np.eye(4))
        plant.frames.set_k(np.eye(4))

    def apply(self, request: Request) -> bool:
        """Do what a request sets; False if its argument is invalid."""
        numbers = np.array(request.payload, dtype=float)
        if not np.isfinite(numbers).all():
            return False
        match request.command:
            case Command.SET_COLLISION_BEHAVIOR:
                return self._set_thresholds(numbers)
            case Command.SET_JOINT_IMPEDANCE:
                return self._set_stiffness(numbers)
            case Command.SET_NE_TO_EE | Command.SET_EE_TO_K:
                return self._set_frame(request)
            case Command.SET_LOAD:
                return self._set_load(numbers)
            case _:  # Cartesian stiffness, guiding directions, filters: accepted, without effect on this plant
                return True

    def _set_thresholds(self, numbers: Array) -> bool:
        if (numbers <= 0.0).any():
            return False
        taus, forces = numbers[:28].reshape(4, 7), numbers[28:].reshape(4, 6)  # each: lower, upper, accelerating first
        self.contact_tau, self.collision_tau = taus[[0, 2]], taus[[1, 3]]
        self.contact_force, self.collision_force = forces[[0, 2]], forces[[1, 3]]
        return True

    def _set_stiffness(self, numbers: Array) -> bool:
        valid = bool((numbers >= 0.0).all() and (numbers <= STIFFEST).all())
        if valid:
            self.stiffness = numbers
        return valid

    def _set_frame(self, request: Request) -> bool:
        frame = matrix_of(request.payload)
        if not is_rigid(frame):
            return False
        if request.command is Command.SET_EE_TO_K:
            self._plant.frames.set_k(frame)
        else:
            self._plant.frames.set_ee(frame)
        return True

    def _set_load(self, numbers: Array) -> bool:
        mass, center, inertia = float(numbers[0]), numbers[1:4], numbers[4:]
        if mass < 0.0 or (np.linalg.eigvalsh(inertia.reshape(3, 3)) < -1e-9).any():
            return False
        self.load = (mass, center, inertia)
        self._plant.declare_load(mass, center)
        return True
