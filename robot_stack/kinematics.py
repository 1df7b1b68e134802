"""Where the tool is, how it moves, and which joints bring it somewhere: on a model without meshes, in microseconds."""

from math import asin, hypot, pi, sumprod
from typing import Any

import mujoco
import numpy as np

from robot_stack import pose as se3
from robot_stack.robots import TCP, arm_spec, robot
from robot_stack.types import Array

DAMPING = 1e-4
"""Of the least squares, beside the squared error itself (Sugihara 2011): bounds joint steps near singularities."""

CONVERGED = 1e-5
"""Iterations end at this error [m, rad]: a third of the repeatability of these arms (UR5e 30 um, FR3 100 um)."""

POSTURE = 1e-3
"""An arm with more than six joints drifts towards its home posture by at most this much a call [rad]."""


class Kinematics:
    """Forward, Jacobian and inverse kinematics of the TCP. Quaternions are of the hemisphere of the home pose.

    joints: how many. reach: the farthest that the TCP can be from each joint's axis (n,) [m]; a radian of that joint
    moves the TCP by no more, wherever the others are.
    """

    def __init__(self, name: str) -> None:
        self.robot = robot(name)
        self.joints = len(self.robot.joints)
        self._model = bare_arm(name).compile()
        self._data = mujoco.MjData(self._model)
        self._tcp = self._model.body(TCP).id
        self._position = self._data.xpos[self._tcp]  # views of MuJoCo's own memory
        self._quaternion = self._data.xquat[self._tcp]  # MuJoCo order: w x y z
        self._qpos = self._data.qpos
        self._jacobian = np.zeros((6, self.joints))
        self._transposed = self._jacobian.T
        self._linear, self._angular = self._jacobian[:3], self._jacobian[3:]
        self._normal = np.zeros((6, 6))
        self._diagonal = self._normal.ravel()[::7]
        self._step = np.zeros(6)
        self._place(self.robot.home)
        self._hemisphere: list[float] = self._quaternion.tolist()
        self.reach = stretch(self._model, self._tcp)

    def forward(self, q: Array | list[float]) -> Array:
        """base_from_tcp (7,) at joints (n,) [rad]."""
        self._place(q)
        w, x, y, z = self._quaternion.tolist()
        a, b, c, d = self._hemisphere
        sign = 1.0 if a * w + b * x + c * y + d * z >= 0.0 else -1.0
        return np.array([*self._position.tolist(), sign * x, sign * y, sign * z, sign * w])

    def position(self, q: Array | list[float]) -> Array:
        """Where the TCP is in the base frame (3,) [m]: the cheap half of `forward`."""
        self._place(q)
        position: Array = self._position.copy()
        return position

    def lean(self, q: Array | list[float]) -> float:
        """How far the tool's z axis leans away from straight down [rad]."""
        self._place(q)
        return lean(self._quaternion[1:].tolist())

    def jacobian(self, q: Array | list[float]) -> Array:
        """(6, n): linear [m/rad] over angular [rad/rad] velocity of the TCP, in the base frame, for each joint."""
        self._place(q)
        return self._update_jacobian().copy()

    def linearize(self, q: Array | list[float]) -> tuple[list[float], list[list[float]]]:
        """What `position` and `jacobian` say, in plain floats: (3,) and (6, n)."""
        self._place(q)
        return self._position.tolist(), self._update_jacobian().tolist()

    def inverse(self, pose: Array, near: Array, iterations: int = 4) -> Array:
        """Joints (n,) for `base_from_tcp` (7,): damped least squares from `near`, inside the joint limits.

        A far or unreachable pose is approached as well as a few iterations can; call again from the result.
        """
        q = near + self._drift(near) if self.joints > 6 else near.copy()
        goal = pose.tolist()
        for _ in range(iterations):
            self._place(q)
            w, x, y, z = self._quaternion.tolist()
            error = se3.offset([*self._position.tolist(), x, y, z, w], goal)
            squared = sumprod(error, error)
            if squared < CONVERGED**2:
                break
            q += self._least_squares(np.array(error), squared)
            np.minimum(q, self.robot.upper, out=q)
            np.maximum(q, self.robot.lower, out=q)
        return q

    def _place(self, q: Array | list[float]) -> None:
        """Let `_position` and `_quaternion` be those at joints (n,) [rad]."""
        self._qpos[:] = q
        mujoco.mj_kinematics(self._model, self._data)

    def _update_jacobian(self) -> Array:
        """Of the joints last placed; overwritten by the next."""
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacBody(self._model, self._data, self._linear, self._angular, self._tcp)
        return self._jacobian

    def _least_squares(self, error: Array, squared: float) -> Array:
        """The joint step (n,) that removes the error (6,): J^T (J J^T + damping)^-1 error."""
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


def lean(quaternion: list[float]) -> float:
    """The angle between straight down and the z axis of a frame, of whose unit quaternion the first two components are
    x y: the tool's tilt [rad]."""
    x, y, *_ = quaternion
    return pi - 2.0 * asin(min(1.0, hypot(x, y)))


def bare_arm(name: str) -> Any:
    """The model of the arm alone: no shapes, no fingers, no actuators, the TCP a body. Compiles in milliseconds."""
    spec, joints = arm_spec(name), robot(name).joints
    tcp = spec.site(TCP)
    tcp.parent.add_body(name=TCP, pos=tcp.pos, quat=tcp.quat)  # MuJoCo keeps quaternions of bodies, not of sites
    for part in [*spec.actuators, *spec.tendons, *spec.equalities, *spec.excludes, *spec.geoms, *spec.meshes]:
        spec.delete(part)
    for finger in [joint.parent.name for joint in spec.joints if joint.name not in joints]:
        if spec.body(finger) is not None:  # not gone already with the finger before it
            spec.delete(spec.body(finger))
    return spec


def stretch(model: Any, body: int, beyond: float = 0.0) -> Array:
    """For all joints of the model (n,), the length of the stretched chain from the joint's anchor to a point `beyond`
    metres from the body's origin [m]; 0 for joints that do not move the body. A joint that turns by a radian moves the
    point by no more."""
    lengths, length = np.zeros(model.njnt), beyond
    while body != 0:
        for joint in np.flatnonzero(model.jnt_bodyid == body):
            lengths[joint] = length + np.linalg.norm(model.jnt_pos[joint])
        length += float(np.linalg.norm(model.body_pos[body]))
        body = int(model.body_parentid[body])
    return lengths
