"""What the two arms may do before their controllers intervene.

Sources: Franka control interface documentation, "Robot and interface specifications" (FR3 and Panda); FR3's joint
positions and the fall of the velocity limits towards them: the robot description in libfranka's tests.
"""

from dataclasses import dataclass

import numpy as np

from robot_stack.types import Array

JOINT_TOLERANCE = (0.05, 0.2, 300.0)
"""What is let pass beyond the limits of acceleration and jerk: share, [rad/s^2], [rad/s^3]. A client that rebuilds its
command from the state's single-precision numbers is off by 1e-7 rad, three differences later 100 rad/s^3."""


@dataclass(frozen=True, eq=False)
class Limits:
    """Of one kind of arm; arrays are (7,).

    lower, upper [rad]; velocity [rad/s], which falls to zero at the position limits as offset [rad/s] and deceleration
    [rad/s^2] say (None: it does not); acceleration [rad/s^2]; jerk [rad/s^3]; torque [Nm]; torque_rate [Nm/s].
    translation: velocity [m/s], acceleration and jerk of the end effector; rotation: the same in radians.
    """

    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    jerk: Array
    torque: Array
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float]
    offset: Array | None = None
    deceleration: Array | None = None
    torque_rate: float = 1000.0

    def outside(self, q: Array) -> bool:
        """Whether one of these joints (7,) [rad] is beyond its limits."""
        return bool((q < self.lower).any() or (q > self.upper).any())

    def fastest(self, q: Array, dq: Array) -> Array:
        """How fast each joint (7,) [rad/s] may be at q (7,) [rad] in the direction of dq (7,)."""
        if self.offset is None or self.deceleration is None:
            return self.velocity
        room = np.where(dq > 0.0, self.upper - q, q - self.lower)
        braking = np.sqrt(2.0 * self.deceleration * np.maximum(room, 0.0)) - self.offset
        fastest: Array = np.minimum(np.maximum(braking, 0.0), self.velocity)
        return fastest

    def too_fast(self, q: Array, dq: Array) -> bool:
        """Whether one of the joints at q (7,) [rad] moves faster (7,) [rad/s] than it may, and some slack."""
        return bool((np.abs(dq) > self.fastest(q, dq) + JOINT_TOLERANCE[0] * self.velocity).any())


FR3 = Limits(
    lower=np.array([-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196]),
    upper=np.array([2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196]),
    velocity=np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
    acceleration=np.array([10.0] * 7),
    jerk=np.array([5000.0] * 7),
    torque=np.array([87.0] * 4 + [12.0] * 3),
    translation=(3.0, 9.0, 4500.0),
    rotation=(2.5, 17.0, 8500.0),
    offset=np.array([0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35]),
    deceleration=np.array([6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0]),
)

PANDA = Limits(
    lower=np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]),
    upper=np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]),
    velocity=np.array([2.175] * 4 + [2.61] * 3),
    acceleration=np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0]),
    jerk=np.array([7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0]),
    torque=np.array([87.0] * 4 + [12.0] * 3),
    translation=(2.0, 13.0, 6500.0),
    rotation=(2.5, 25.0, 12500.0),
)
