"""What the controller sees of the arm that must end a motion: touch, joints where they may not be, joints too fast."""

import numpy as np

from robot_stack.emulators.franka.limits import Limits
from robot_stack.emulators.franka.plant import Plant
from robot_stack.emulators.franka.settings import Settings
from robot_stack.types import Array


class Watch:
    """As in the state, 1 where a threshold is exceeded: joint_contact and joint_collision (7,), the others (6,)."""

    def __init__(self, plant: Plant, limits: Limits) -> None:
        self._plant, self._limits = plant, limits
        self.joint_contact: Array = np.zeros(7)
        self.cartesian_contact: Array = np.zeros(6)
        self.joint_collision: Array = np.zeros(7)
        self.cartesian_collision: Array = np.zeros(6)

    def look(self, settings: Settings, accelerating: bool) -> None:
        """Compare what was felt in this step with the thresholds of this phase of a motion."""
        phase = 0 if accelerating else 1
        torque, force = np.abs(self._plant.external), np.abs(self._plant.force)
        self.joint_contact = 1.0 * (torque > settings.contact_tau[phase])
        self.joint_collision = 1.0 * (torque > settings.collision_tau[phase])
        self.cartesian_contact = 1.0 * (force > settings.contact_force[phase])
        self.cartesian_collision = 1.0 * (force > settings.collision_force[phase])

    def errors(self) -> list[str]:
        """The errors that a moving arm stops for."""
        found = {
            "joint_reflex": self.joint_collision.any(),
            "cartesian_reflex": self.cartesian_collision.any(),
            "joint_position_limits_violation": self.outside(),
            "joint_velocity_violation": self._limits.too_fast(self._plant.q, self._plant.dq),
        }
        return [name for name, true in found.items() if true]

    def outside(self) -> bool:
        """Whether a joint is beyond its limits: from there no recovery by itself."""
        return self._limits.outside(self._plant.q)
