"""The frames that a client may set, and where they are: flange F, hand NE, end effector EE, stiffness K, base O."""

import mujoco
import numpy as np

from robot_stack.types import Array

FLANGE = 0.107
"""From joint 7's frame to the flange, along its z [m]."""
LAST_LINK = "fr3_link7"


def _hand() -> Array:
    """On the flange: turned by -45 deg about z, the fingertips 103.4 mm away."""
    half = np.sqrt(0.5)
    return np.array([[half, half, 0, 0], [-half, half, 0, 0], [0, 0, 1, 0.1034], [0, 0, 0, 1]])


class Frames:
    """Homogeneous matrices (4, 4). Read the last two, set the first three by `set`."""

    def __init__(self) -> None:
        self.F_T_NE, self.NE_T_EE, self.EE_T_K = _hand(), np.eye(4), np.eye(4)
        self._chain()

    def set_ee(self, NE_T_EE: Array) -> None:
        """Where the end effector is on the hand."""
        self.NE_T_EE = NE_T_EE
        self._chain()

    def set_k(self, EE_T_K: Array) -> None:
        """Where forces are measured at the end effector."""
        self.EE_T_K = EE_T_K
        self._chain()

    def _chain(self) -> None:
        self.F_T_EE: Array = self.F_T_NE @ self.NE_T_EE
        self.F_T_K: Array = self.F_T_EE @ self.EE_T_K


class Skeleton:
    """Where the flange of an arm is, and how its points move: a posture of the model that need not be the real one."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData | None = None) -> None:
        self._model = model
        self._data = mujoco.MjData(model) if data is None else data
        self._link = model.body(LAST_LINK).id
        self._position, self._rotation = self._data.xpos[self._link], self._data.xmat[self._link].reshape(3, 3)
        self._pose = np.eye(4)
        self._linear, self._angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        self._qpos = self._data.qpos[:7]

    def place(self, q: Array) -> None:
        """Take the posture q (7,) [rad]."""
        self._qpos[:] = q
        mujoco.mj_kinematics(self._model, self._data)

    def flange(self) -> Array:
        """O_T_F (4, 4) of the posture."""
        matrix = self._pose.copy()
        matrix[:3, :3] = self._rotation
        matrix[:3, 3] = self._position + FLANGE * self._rotation[:, 2]
        return matrix

    def jacobian(self, point: Array) -> Array:
        """(6, 7): linear over angular velocity of the flange's point (3,) [m] in the base, for each joint."""
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jac(self._model, self._data, self._linear, self._angular, point, self._link)
        return np.vstack([self._linear[:, :7], self._angular[:, :7]])


def columns(matrix: Array) -> Array:
    """A matrix as it is sent (16,): column by column."""
    return matrix.T.ravel()


def matrix_of(numbers: Array | tuple[float, ...]) -> Array:
    """The matrix (4, 4) that was sent as 16 numbers."""
    return np.array(numbers, dtype=float).reshape(4, 4).T.copy()


def is_rigid(matrix: Array) -> bool:
    """Whether it is a rotation and a translation, to the precision of a client that computes in single."""
    rotation = matrix[:3, :3]
    orthonormal = np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-5 and np.linalg.det(rotation) > 0.0
    return bool(orthonormal and np.abs(matrix[3] - (0.0, 0.0, 0.0, 1.0)).max() < 1e-6)
