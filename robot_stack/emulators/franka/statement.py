"""The state message of a millisecond, filled from the controller and its arm."""

import struct
from typing import Any

import numpy as np

from robot_stack.emulators.franka.controller import Controller
from robot_stack.emulators.franka.frames import Skeleton, columns
from robot_stack.emulators.franka.generators import CartesianGenerator
from robot_stack.emulators.franka.masses import hand
from robot_stack.emulators.franka.messages import reals
from robot_stack.emulators.franka.protocol import Version
from robot_stack.types import Array

GRAVITY = (0.0, 0.0, -9.81)


class Statement:
    """One message (layout: `messages.state_layout`), filled anew each time; `settings` writes what seldom changes.

    The numbers are collected in double precision, each in a view of one array, and converted all at once. frozen: they
    stay as they are, while number, modes and errors go on.
    """

    def __init__(self, version: Version, controller: Controller) -> None:
        self._controller, self._plant = controller, controller.plant
        counts = [count for _, count in reals(version)]
        self._numbers = np.zeros(sum(counts))
        parts = np.split(self._numbers, np.cumsum(counts)[:-1])
        self._field = {name: part for (name, _), part in zip(reals(version), parts, strict=True)}
        self._real = version.real
        self._hand = hand(controller.plant.model)
        self._desired = Skeleton(controller.plant.model)
        self._last_torque: Array = np.zeros(7)
        self._last_desired: Array | None = None
        self.frozen = False
        self.settings()

    def settings(self) -> None:
        """Write what a client set."""
        frames, load = self._plant.frames, self._controller.settings.load
        for name in ("F_T_EE", "EE_T_K", "F_T_NE", "NE_T_EE"):
            self._write(name, columns(getattr(frames, name)))
        self._write("m_ee", self._hand.mass)
        self._write("F_x_Cee", self._hand.center)
        self._write("I_ee", self._hand.inertia.ravel())
        for name, value in zip(("m_load", "F_x_Cload", "I_load"), load, strict=True):
            self._write(name, value)
        self._write("O_ddP_O", GRAVITY)
        self._last_desired = None

    def fill(self, message: int) -> bytes:
        """The message of this number, as it is sent."""
        controller = self._controller
        if not self.frozen:
            self._measured()
            self._commanded()
            self._touched()
        return b"".join(
            [
                struct.pack("<Q", message),
                self._numbers.astype(self._real).tobytes(),
                bytes([controller.generator, controller.controller_mode]),
                controller.errors.tobytes(),
                controller.reflex_reason.tobytes(),
                bytes([controller.robot_mode]),
                struct.pack(self._real.replace("f4", "f").replace("f8", "d"), controller.success_rate),
            ]
        )

    def _write(self, name: str, value: Any) -> None:
        self._field[name][...] = value

    def _measured(self) -> None:
        plant = self._plant
        self._write("q", plant.q)
        self._write("dq", plant.dq)
        self._write("theta", plant.q)
        self._write("dtheta", plant.dq)
        self._write("O_T_EE", plant.pose())
        self._write("elbow", _elbow(plant.q))
        torque = plant.tau + plant.gravity
        self._write("tau_J", torque)
        self._write("dtau_J", (torque - self._last_torque) * 1000.0)
        self._last_torque = torque

    def _commanded(self) -> None:
        controller = self._controller
        q, dq, ddq = controller.joints
        self._write("q_d", q)
        self._write("dq_d", dq)
        self._write("ddq_d", ddq)
        self._write("tau_J_d", controller.torque)
        if isinstance(controller.motion, CartesianGenerator):
            self._commanded_pose(controller.motion)
        elif q is not self._last_desired:
            self._desired_pose(q)
        self._last_desired = q

    def _desired_pose(self, q: Array) -> None:
        """Of joints (7,) that are held, or commanded as such."""
        self._desired.place(q)
        self._write("elbow_d", _elbow(q))
        pose = columns(self._desired.flange() @ self._plant.frames.F_T_EE)
        self._write("O_T_EE_d", pose)
        self._write("O_T_EE_c", pose)
        self._write("elbow_c", _elbow(q))
        for name in ("O_dP_EE_d", "O_dP_EE_c", "O_ddP_EE_c", "delbow_c", "ddelbow_c"):
            self._write(name, 0.0)

    def _commanded_pose(self, motion: CartesianGenerator) -> None:
        pose = columns(motion.pose)
        self._write("elbow_d", _elbow(motion.joints.value))
        self._write("O_T_EE_d", pose)
        self._write("O_T_EE_c", pose)
        self._write("O_dP_EE_d", motion.twist.rate)
        self._write("O_dP_EE_c", motion.twist.rate)
        self._write("O_ddP_EE_c", motion.twist.change)
        sign = np.sign(motion.joints.value[3])
        self._write("elbow_c", (motion.elbow.value[0], sign))
        self._write("delbow_c", (motion.elbow.rate[0], 0.0))
        self._write("ddelbow_c", (motion.elbow.change[0], 0.0))

    def _touched(self) -> None:
        plant = self._plant
        names = ("joint_contact", "cartesian_contact", "joint_collision", "cartesian_collision")
        for name in names:
            self._write(name, getattr(self._controller.watch, name))
        # What the arm exerts on what touches it: on the real arm, pulling at the hand along z shows as a negative z.
        self._write("tau_ext_hat_filtered", -plant.external)
        self._write("O_F_ext_hat_K", -plant.force)
        self._write("K_F_ext_hat_K", -plant.force_in_k())


def _elbow(q: Array) -> tuple[float, float]:
    """The angle of joint 3 [rad] and the sign of joint 4."""
    return float(q[2]), 1.0 if q[3] >= 0.0 else -1.0
