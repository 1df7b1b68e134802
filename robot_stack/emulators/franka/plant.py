"""The arm itself: joints that turn as torques make them, in the MuJoCo scene, a millisecond a step.

The scene's own dynamics are the plant: at 19 us a step they are cheaper than a second arm in numpy that would have to
be kept in step, and what touches the arm there acts on it without a model of contact of its own. Joint friction, rotor
inertia and masses are those of the scene's FR3, also where a Panda is emulated: the two arms have the same geometry,
and the scene has no other.
"""

import mujoco
import numpy as np

from robot_stack.emulators.body import Body
from robot_stack.emulators.franka.frames import Frames, Skeleton, columns
from robot_stack.emulators.franka.limits import Limits
from robot_stack.types import Array

STEP = 0.001
"""Of the controller and of the physics [s]."""
STOP = 0.08
"""How far beyond the limits of the controller the joints still turn before they meet their mechanical stops [rad]."""
FILTER = 0.2
"""Share of the newest value in the estimate of external torques: a low pass of 4 ms: no single impact counts."""
UP = np.array([0.0, 0.0, 9.81])
"""What carries a kilogram [N]."""
NOTHING = np.zeros(7)
NOTHING.flags.writeable = False


class Plant:
    """Torques in, motion out. Gravity of the arm and hand is compensated, that of a load once it has been declared.

    q, dq (7,) [rad, rad/s]; tau: applied in the last step, without gravity (7,) [Nm]; gravity: what carries the arm.
    external: torques at the joints that something outside exerts on the arm, estimated (7,) [Nm]; force: the same as
    force and torque on the frame K, in the base (6,) [N, Nm]. twist: what something besides the scene exerts (7,) [Nm].
    """

    def __init__(self, body: Body, limits: Limits) -> None:
        self.body, self.frames = body, Frames()
        self.model, self._data = body.world.model, body.world.data
        self.model.jnt_range[:7, 0], self.model.jnt_range[:7, 1] = limits.lower - STOP, limits.upper + STOP
        self._hand = self.model.body("hand").id
        self._skeleton = Skeleton(self.model, self._data)
        self._diagonal = self.model.M_rowadr[:7] + self.model.M_rownnz[:7] - 1  # rows end at the diagonal
        self._velocities = np.zeros(self.model.nv)
        self._product = np.zeros(self.model.nv)
        self._load = 0.0
        self._load_com: Array = np.zeros(3)
        self.twist: Array = np.zeros(7)
        self.tau: Array = np.zeros(7)
        self.external: Array = np.zeros(7)
        self.force: Array = np.zeros(6)
        self._measure()

    def step(self, tau: Array) -> None:
        """One millisecond under torques (7,) [Nm]."""
        self.tau = tau
        carried = self._weight()
        self.body.drive(tau + self.twist + carried)
        self.body.step()
        self._measure()
        seen = self._outside() + self.twist - carried  # a declared load is expected
        self.external = self.external + FILTER * (seen - self.external)
        self.force = self._as_force(self.external)

    def declare_load(self, mass: float, center: Array) -> None:
        """What the hand carries: [kg], and its centre in the flange's frame (3,) [m]."""
        self._load, self._load_com = mass, center

    def place(self, q: Array) -> None:
        """Be at rest at q (7,) [rad], without a way there."""
        self.twist = self.external = NOTHING
        self.force = np.zeros(6)
        self._data.qpos[:7], self._data.qvel[:7] = q, 0.0
        mujoco.mj_forward(self.model, self._data)
        self._measure()

    def inertia(self) -> Array:
        """Of each joint, all others held (7,) [kg m^2]."""
        inertia: Array = self._data.M[self._diagonal]
        return inertia

    def feed_forward(self, acceleration: Array) -> Array:
        """Torques (7,) that accelerate the joints like this (7,) [rad/s^2], with those of Coriolis."""
        if acceleration.any() or self._velocities.any():
            self._velocities[:7] = acceleration
            mujoco.mj_mulM(self.model, self._data, self._product, self._velocities)
        bias: Array = self._product[:7] + self._data.qfrc_bias[:7] - self._data.qfrc_gravcomp[:7]
        return bias

    def pose(self) -> Array:
        """O_T_EE (16,) as it is sent."""
        return columns(self._flange @ self.frames.F_T_EE)

    def force_in_k(self) -> Array:
        """`force` in the axes of the frame K (6,)."""
        rotation = (self._flange @ self.frames.F_T_K)[:3, :3]
        return np.concatenate([self.force[:3] @ rotation, self.force[3:] @ rotation])

    def _measure(self) -> None:
        self.q: Array = self._data.qpos[:7].copy()
        self.dq: Array = self._data.qvel[:7].copy()
        self.gravity: Array = self._data.qfrc_gravcomp[:7].copy()
        self._flange = self._skeleton.flange()

    def _outside(self) -> Array:
        """Torques at the joints (7,) of all in the scene that touches the arm, and of a person who pushes it."""
        data = self._data
        outside: Array = NOTHING
        first = data.ne + data.nf + data.nl
        if first < data.nefc:
            outside = data.efc_force[first:] @ data.efc_J.reshape(-1, self.model.nv)[first:, :7]
        pushed = data.xfrc_applied[self._hand]
        if pushed.any():
            outside = outside + pushed @ self._skeleton.jacobian(data.xipos[self._hand])
        return outside

    def _weight(self) -> Array:
        """Torques (7,) that carry the declared load."""
        if not self._load:
            return NOTHING
        point = self._flange[:3, :3] @ self._load_com + self._flange[:3, 3]
        weight: Array = self._load * UP @ self._skeleton.jacobian(point)[:3]
        return weight

    def _as_force(self, torques: Array) -> Array:
        """The force and torque on K (6,) that explain these joint torques best; damped, for singular postures."""
        if not np.abs(torques).max() > 1e-3:
            return np.zeros(6)
        jacobian = self._skeleton.jacobian((self._flange @ self.frames.F_T_K)[:3, 3])
        normal = jacobian @ jacobian.T
        normal.ravel()[::7] += 1e-4
        return np.asarray(np.linalg.solve(normal, jacobian @ torques), dtype=float)
