"""Where the tool is, how it moves, and which joints bring it somewhere: on a model without meshes, in microseconds."""

from typing import Any

import mujoco
import numpy as np

from robot_stack.robots import TCP, arm_spec, robot
from robot_stack.types import Array

DAMPING = 1e-4
"""Of the least squares, beside the squared error itself (Sugihara 2011): bounds joint steps near singularities."""

CONVERGED = 1e-5
"""Iterations end at this error [m, rad]: a third of the repeatability of these arms (UR5e 30 um, FR3 100 um)."""

POSTURE = 1e-3
"""An arm with more than six joints drifts towards its home posture by at most this much a call [rad]."""


class Kinematics:
    """Forward, Jacobian and inverse kinematics of the TCP. Quaternions are of the hemisphere of the home pose."""

    def __init__(self, name: str) -> None:
        self.robot = robot(name)
        self.joints = len(self.robot.joints)
        self._model = _bare_arm(name, self.robot.joints).compile()
        self._data = mujoco.MjData(self._model)
        self._site = self._model.site(TCP).id
        self._position = self._data.site_xpos[self._site]  # views of MuJoCo's own memory
        self._matrix = self._data.site_xmat[self._site]
        self._qpos = self._data.qpos
        self._jacobian = np.zeros((6, self.joints))
        self._transposed = self._jacobian.T
        self._normal = np.zeros((6, 6))
        self._diagonal = self._normal.ravel()[::7]
        self._linear, self._angular = self._jacobian[:3], self._jacobian[3:]
        self._quaternion = np.zeros(4)  # MuJoCo order: w x y z
        self._goal = np.zeros(4)
        self._turn = np.zeros(4)
        self._error = np.zeros(6)
        self._step = np.zeros(6)
        self._hemisphere = np.zeros(4)
        self._hemisphere[:] = self._wxyz(self.robot.home)

    def forward(self, q: Array) -> Array:
        """base_from_tcp (7,) at joints (n,) [rad]."""
        w, x, y, z = self._wxyz(q).tolist()
        a, b, c, d = self._hemisphere.tolist()
        sign = 1.0 if a * w + b * x + c * y + d * z >= 0.0 else -1.0
        px, py, pz = self._position.tolist()
        return np.array([px, py, pz, sign * x, sign * y, sign * z, sign * w])

    def position(self, q: Array) -> Array:
        """Where the TCP is in the base frame (3,) [m]: the cheap half of `forward`."""
        self._qpos[:] = q
        mujoco.mj_kinematics(self._model, self._data)
        position: Array = self._position.copy()
        return position

    def jacobian(self, q: Array) -> Array:
        """(6, n): linear [m/rad] over angular [rad/rad] velocity of the TCP, in the base frame, for each joint."""
        self._wxyz(q)
        return self._update_jacobian().copy()

    def inverse(self, pose: Array, near: Array, iterations: int = 4) -> Array:
        """Joints (n,) for `base_from_tcp` (7,): damped least squares from `near`, inside the joint limits.

        A far or unreachable pose is approached as well as a few iterations can; call again from the result.
        """
        q = near + self._drift(near) if self.joints > 6 else near.copy()
        self._goal[:] = pose[6], pose[3], pose[4], pose[5]
        for _ in range(iterations):
            error = self._pose_error(pose, q)
            squared = float(error.dot(error))
            if squared < CONVERGED**2:
                break
            q += self._least_squares(error, squared)
            np.minimum(q, self.robot.upper, out=q)
            np.maximum(q, self.robot.lower, out=q)
        return q

    def _wxyz(self, q: Array) -> Array:
        self._qpos[:] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mju_mat2Quat(self._quaternion, self._matrix)
        return self._quaternion

    def _update_jacobian(self) -> Array:
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._linear, self._angular, self._site)
        return self._jacobian

    def _pose_error(self, pose: Array, q: Array) -> Array:
        """From the pose at `q` to `pose`: metres over a rotation vector, in the base frame (6,)."""
        mujoco.mju_negQuat(self._turn, self._wxyz(q))
        mujoco.mju_mulQuat(self._turn, self._goal, self._turn)
        mujoco.mju_quat2Vel(self._error[3:], self._turn, 1.0)
        np.subtract(pose[:3], self._position, out=self._error[:3])
        return self._error

    def _least_squares(self, error: Array, squared: float) -> Array:
        """The joint step (n,) that removes the error: J^T (J J^T + damping)^-1 error."""
        jacobian = self._update_jacobian()
        np.dot(jacobian, self._transposed, out=self._normal)
        self._diagonal += DAMPING + squared
        mujoco.mju_cholFactor(self._normal, 0.0)
        mujoco.mju_cholSolve(self._step, self._normal, error)
        step: Array = self._transposed.dot(self._step)
        return step

    def _drift(self, q: Array) -> Array:
        """A small step towards home; what it moves at the TCP the least squares undo, so only null space remains."""
        drift = self.robot.home - q
        return drift * min(1.0, POSTURE / max(float(np.abs(drift).max()), POSTURE))


def _bare_arm(name: str, joints: tuple[str, ...]) -> Any:
    """The model of the arm alone: no shapes, no fingers, no actuators. Compiles in milliseconds."""
    spec = arm_spec(name)
    for part in [*spec.actuators, *spec.tendons, *spec.equalities, *spec.excludes, *spec.geoms, *spec.meshes]:
        spec.delete(part)
    for finger in [joint.parent.name for joint in spec.joints if joint.name not in joints]:
        if spec.body(finger) is not None:  # not gone already with the finger before it
            spec.delete(spec.body(finger))
    return spec
