"""Rigid motions as seven numbers: x y z [m], qx qy qz qw.

Composition reads left to right, as frames do: `base_from_tcp = compose(base_from_table, table_from_tcp)`. Written in
plain floats: at this size they are several times faster than numpy, and the control loop calls them every tick.
"""

from math import acos, atan2, cos, sin, sqrt, tan

import numpy as np

from robot_stack.types import Array

Vector = tuple[float, float, float]

IDENTITY: Array = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
IDENTITY.flags.writeable = False

SMALL = 1e-4
"""Below this angle [rad] series of two terms are exact to machine precision, where closed forms divide by zero."""


def compose(a: Array, b: Array) -> Array:
    """a_from_c out of a_from_b (7,) and b_from_c (7,)."""
    ax, ay, az, ai, aj, ak, aw = a.tolist()
    bx, by, bz, bi, bj, bk, bw = b.tolist()
    x, y, z = _rotate((ai, aj, ak), aw, (bx, by, bz))
    return np.array(
        [
            ax + x,
            ay + y,
            az + z,
            aw * bi + ai * bw + aj * bk - ak * bj,
            aw * bj - ai * bk + aj * bw + ak * bi,
            aw * bk + ai * bj - aj * bi + ak * bw,
            aw * bw - ai * bi - aj * bj - ak * bk,
        ]
    )


def inverse(a: Array) -> Array:
    """b_from_a out of a_from_b (7,)."""
    x, y, z, i, j, k, w = a.tolist()
    back = _rotate((-i, -j, -k), w, (x, y, z))
    return np.array([-back[0], -back[1], -back[2], -i, -j, -k, w])


def normalize(a: Array) -> Array:
    """The same pose with a quaternion of length 1; a quaternion of length 0 becomes the identity."""
    x, y, z, i, j, k, w = a.tolist()
    length = sqrt(i * i + j * j + k * k + w * w)
    if length == 0.0:
        return np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])
    return np.array([x, y, z, i / length, j / length, k / length, w / length])


def exp(twist: Array) -> Array:
    """The pose reached in one second with a constant twist (6,): v [m/s], w [rad/s], both in the moving frame."""
    v, w = _split(twist)
    angle = sqrt(_dot(w, w))
    if angle < SMALL:
        first, second, half = 0.5 - angle**2 / 24, 1 / 6 - angle**2 / 120, 0.5 - angle**2 / 48
    else:
        first, second, half = (1 - cos(angle)) / angle**2, (angle - sin(angle)) / angle**3, sin(angle / 2) / angle
    once = _cross(w, v)
    twice = _cross(w, once)
    position = [v[i] + first * once[i] + second * twice[i] for i in range(3)]
    return np.array([*position, half * w[0], half * w[1], half * w[2], cos(angle / 2)])


def log(a: Array) -> Array:
    """The twist (6,) whose `exp` is this pose; the angle is at most pi."""
    w = rotation_vector(a[3:])
    p: Vector = (float(a[0]), float(a[1]), float(a[2]))
    angle = sqrt(_dot(w, w))
    second = 1 / 12 + angle**2 / 720 if angle < SMALL else (1 - angle / 2 / tan(angle / 2)) / angle**2
    once = _cross(w, p)
    twice = _cross(w, once)
    return np.array([*(p[i] - 0.5 * once[i] + second * twice[i] for i in range(3)), *w])


def rotation_vector(quaternion: Array) -> Vector:
    """Axis times angle [rad], the angle at most pi, of a unit quaternion (4,)."""
    x, y, z, w = quaternion.tolist()
    scale = _turn(x, y, z, w)
    return scale * x, scale * y, scale * z


def interpolate(a: Array, b: Array, s: float) -> Array:
    """Straight line and shortest rotation at constant speed from `a` (s = 0) to `b` (s = 1)."""
    ax, ay, az, ai, aj, ak, aw = a.tolist()
    bx, by, bz, bi, bj, bk, bw = b.tolist()
    cosine = ai * bi + aj * bj + ak * bk + aw * bw
    angle = acos(min(1.0, abs(cosine)))
    if angle < SMALL:
        m, n = 1.0 - s, s
    else:
        m, n = sin((1.0 - s) * angle) / sin(angle), sin(s * angle) / sin(angle)
    n = n if cosine >= 0.0 else -n
    i, j, k, w = m * ai + n * bi, m * aj + n * bj, m * ak + n * bk, m * aw + n * bw
    length = sqrt(i * i + j * j + k * k + w * w) or 1.0
    x, y, z = ax + s * (bx - ax), ay + s * (by - ay), az + s * (bz - az)
    return np.array([x, y, z, i / length, j / length, k / length, w / length])


def distance(a: Array, b: Array) -> tuple[float, float]:
    """How far apart: metres between the origins, radians of the rotation between the axes."""
    ax, ay, az, ai, aj, ak, aw = a.tolist()
    bx, by, bz, bi, bj, bk, bw = b.tolist()
    i = aw * bi - ai * bw - aj * bk + ak * bj
    j = aw * bj + ai * bk - aj * bw - ak * bi
    k = aw * bk - ai * bj + aj * bi - ak * bw
    w = aw * bw + ai * bi + aj * bj + ak * bk
    x, y, z = bx - ax, by - ay, bz - az
    metres = sqrt(x * x + y * y + z * z)
    return metres, 2.0 * atan2(sqrt(i * i + j * j + k * k), abs(w))


def offset(a: list[float], b: list[float]) -> list[float]:
    """From `a` to `b`, in the frame that both are in: metres over a rotation vector of at most pi (6,)."""
    ax, ay, az, ai, aj, ak, aw = a
    bx, by, bz, bi, bj, bk, bw = b
    i = aw * bi - ai * bw + aj * bk - ak * bj
    j = aw * bj - aj * bw + ak * bi - ai * bk
    k = aw * bk - ak * bw + ai * bj - aj * bi
    scale = _turn(i, j, k, aw * bw + ai * bi + aj * bj + ak * bk)
    return [bx - ax, by - ay, bz - az, scale * i, scale * j, scale * k]


def to_matrix(a: Array) -> Array:
    """Homogeneous matrices (..., 4, 4) of poses (..., 7)."""
    x, y, z, w = np.moveaxis(a[..., 3:], -1, 0)
    matrix = np.zeros((*a.shape[:-1], 4, 4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[..., :3, :3] = np.moveaxis(np.array(rows), (0, 1), (-2, -1))
    matrix[..., :3, 3] = a[..., :3]
    matrix[..., 3, 3] = 1.0
    return matrix


def from_matrix(matrix: Array) -> Array:
    """Poses (..., 7) of homogeneous matrices (..., 4, 4); the quaternion's largest component is positive.

    Bar-Itzhack 2000: the quaternion is the largest eigenvector of a symmetric matrix, without cases or divisions.
    """
    m = np.moveaxis(matrix[..., :3, :3], (-2, -1), (0, 1))
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    xw, yw, zw = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    rows = [
        [m[0, 0] - m[1, 1] - m[2, 2], xy, xz, xw],
        [xy, m[1, 1] - m[0, 0] - m[2, 2], yz, yw],
        [xz, yz, m[2, 2] - m[0, 0] - m[1, 1], zw],
        [xw, yw, zw, m[0, 0] + m[1, 1] + m[2, 2]],
    ]
    symmetric = np.moveaxis(np.array(rows), (0, 1), (-2, -1))
    quaternion = np.linalg.eigh(symmetric)[1][..., -1]
    largest = np.take_along_axis(quaternion, np.abs(quaternion).argmax(-1, keepdims=True), -1)
    return np.concatenate([matrix[..., :3, 3], quaternion * np.sign(largest)], -1)


def rotation6d(a: Array) -> Array:
    """First two columns of the rotation matrix (..., 6) of poses (..., 7): continuous (Zhou et al. 2019)."""
    matrix = to_matrix(a)
    return np.concatenate([matrix[..., :3, 0], matrix[..., :3, 1]], -1)


def from_rotation6d(position: Array, columns: Array) -> Array:
    """Poses (..., 7) of positions (..., 3) and two columns (..., 6), made orthonormal by Gram-Schmidt."""
    x = columns[..., :3] / np.linalg.norm(columns[..., :3], axis=-1, keepdims=True)
    y = columns[..., 3:] - (x * columns[..., 3:]).sum(-1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    matrix = np.zeros((*position.shape[:-1], 4, 4))
    matrix[..., :3, 0], matrix[..., :3, 1], matrix[..., :3, 2] = x, y, np.cross(x, y)
    matrix[..., :3, 3], matrix[..., 3, 3] = position, 1.0
    return from_matrix(matrix)


def _turn(x: float, y: float, z: float, w: float) -> float:
    """How many times longer than (x, y, z) the rotation vector of this unit quaternion is."""
    sine = sqrt(x * x + y * y + z * z)
    if sine < SMALL:
        return 2.0 if w >= 0.0 else -2.0
    return 2.0 * (atan2(sine, w) if w >= 0.0 else -atan2(sine, -w)) / sine


def _split(twist: Array) -> tuple[Vector, Vector]:
    a, b, c, d, e, f = twist.tolist()
    return (a, b, c), (d, e, f)


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _rotate(axis: Vector, w: float, v: Vector) -> Vector:
    """Vector `v` turned by the unit quaternion (axis, w)."""
    once = _cross(axis, v)
    twice = _cross(axis, once)
    return v[0] + 2 * (w * once[0] + twice[0]), v[1] + 2 * (w * once[1] + twice[1]), v[2] + 2 * (w * once[2] + twice[2])
