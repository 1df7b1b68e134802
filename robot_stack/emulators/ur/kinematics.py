"""Forward and inverse kinematics of the UR5e from its Denavit-Hartenberg parameters, in closed form.

Poses here are UR's: x y z [m] and a rotation vector [rad]. Source of the parameters: "DH parameters for calculations of
kinematics and dynamics", universal-robots.com.
"""

from math import acos, asin, atan2, cos, hypot, isfinite, pi, sin, sqrt, sumprod

import numpy as np

from robot_stack import pose as se3
from robot_stack.types import Array

D1, A2, A3, D4, D5, D6 = 0.1625, -0.425, -0.3922, 0.1333, 0.0997, 0.0996
"""[m]"""
SINGULAR = 1e-6
"""Below this sine of the fifth joint the sixth is free."""

Vector = tuple[float, float, float]


def pose_of(vector: list[float] | tuple[float, ...]) -> Array:
    """base_from_x (7,) of a UR pose; ValueError unless it is finite."""
    x, y, z, rx, ry, rz = vector
    if not all(map(isfinite, vector)):
        raise ValueError(f"a pose of {list(vector)}")
    angle = sqrt(rx * rx + ry * ry + rz * rz)
    scale = 0.5 if angle < 1e-9 else sin(angle / 2) / angle
    return np.array([x, y, z, scale * rx, scale * ry, scale * rz, cos(angle / 2)])


def ur_pose(pose: Array) -> list[float]:
    """The UR pose of base_from_x (7,)."""
    return [*pose[:3].tolist(), *se3.rotation_vector(pose[3:])]


def composed(a: list[float], b: list[float]) -> list[float]:
    """UR's pose_trans: the pose `b`, given in the frame `a`, in that of `a`."""
    return ur_pose(se3.compose(pose_of(a), pose_of(b)))


def turned(frame: list[float], vector: list[float]) -> list[float]:
    """Two vectors (6,) given along the axes of a frame (UR pose in the base), along those of the base."""
    rotation = se3.to_matrix(pose_of(frame))[:3, :3].tolist()
    return [sumprod(row, part) for part in (vector[:3], vector[3:]) for row in rotation]


def forward(q: list[float]) -> Array:
    """base_from_flange (7,) at six joints [rad]."""
    q1, q2, q3, q4, q5, q6 = q
    c1, s1, c5, s5, c6, s6 = cos(q1), sin(q1), cos(q5), sin(q5), cos(q6), sin(q6)
    cw, sw = cos(q2 + q3 + q4), sin(q2 + q3 + q4)  # of the wrist, in the plane that the upper three joints span
    along, up = A2 * cos(q2) + A3 * cos(q2 + q3) + D5 * sw, D1 + A2 * sin(q2) + A3 * sin(q2 + q3) - D5 * cw
    zx, zy, zz = s5 * -cw * c1 + c5 * s1, s5 * -cw * s1 - c5 * c1, -s5 * sw  # the flange's axis
    x5 = (c5 * cw * c1 + s5 * s1, c5 * cw * s1 - s5 * c1, c5 * sw)
    z4 = (sw * c1, sw * s1, -cw)
    xx, xy, xz = (c6 * a - s6 * b for a, b in zip(x5, z4, strict=True))
    yx, yy, yz = (-s6 * a - c6 * b for a, b in zip(x5, z4, strict=True))
    position = (along * c1 + D4 * s1 + D6 * zx, along * s1 - D4 * c1 + D6 * zy, up + D6 * zz)
    return np.array([*position, *_quaternion(xx, yx, zx, xy, yy, zy, xz, yz, zz)])


def elbow(q: list[float]) -> Vector:
    """Where the elbow is, in the base frame [m]."""
    along = A2 * cos(q[1])
    return along * cos(q[0]), along * sin(q[0]), D1 + A2 * sin(q[1])


def inverse(base_from_flange: Array, near: list[float]) -> list[float] | None:
    """The joints [rad] for a flange pose (7,) that are nearest to `near`, or None where the arm cannot reach."""
    solutions = [[_nearest(a, b) for a, b in zip(q, near, strict=True)] for q in _solutions(base_from_flange, near)]
    return min(solutions, key=lambda q: sum((a - b) ** 2 for a, b in zip(q, near, strict=True)), default=None)


def twist(q: list[float], base_from_flange: Array, point: list[float], qd: list[float]) -> list[float]:
    """Velocity of a `point` of the flange while joints move with qd: linear [m/s], angular [rad/s], in the base."""
    vx = vy = vz = wx = wy = wz = 0.0
    for (ax, ay, az), (px, py, pz), speed in zip(
        _axes(q, base_from_flange), _pivots(q, base_from_flange), qd, strict=True
    ):
        x, y, z = point[0] - px, point[1] - py, point[2] - pz
        vx, vy, vz = vx + speed * (ay * z - az * y), vy + speed * (az * x - ax * z), vz + speed * (ax * y - ay * x)
        wx, wy, wz = wx + speed * ax, wy + speed * ay, wz + speed * az
    return [vx, vy, vz, wx, wy, wz]


def jacobian(q: list[float], base_from_flange: Array, point: list[float]) -> Array:
    """(6, 6): linear [m/rad] over angular [rad/rad] velocity of `point` on the flange, in the base frame."""
    units = ([float(i == j) for j in range(6)] for i in range(6))
    return np.array([twist(q, base_from_flange, point, unit) for unit in units]).T


def _axes(q: list[float], base_from_flange: Array) -> list[Vector]:
    """What each joint turns about."""
    c1, s1, wrist = cos(q[0]), sin(q[0]), q[1] + q[2] + q[3]
    lateral, sw = (s1, -c1, 0.0), sin(wrist)
    last = _columns(base_from_flange)[2]
    return [(0.0, 0.0, 1.0), lateral, lateral, lateral, (sw * c1, sw * s1, -cos(wrist)), last]


def _pivots(q: list[float], base_from_flange: Array) -> list[Vector]:
    """A point on the axis of each joint [m]."""
    c1, s1 = cos(q[0]), sin(q[0])
    elbow_along, elbow_up = A2 * cos(q[1]), D1 + A2 * sin(q[1])
    along, up = elbow_along + A3 * cos(q[1] + q[2]), elbow_up + A3 * sin(q[1] + q[2])
    x, y, z = base_from_flange[:3].tolist()
    return [
        (0.0, 0.0, D1),
        (0.0, 0.0, D1),
        (elbow_along * c1, elbow_along * s1, elbow_up),
        (along * c1, along * s1, up),
        (along * c1 + D4 * s1, along * s1 - D4 * c1, up),
        (x, y, z),
    ]


def _solutions(base_from_flange: Array, near: list[float]) -> list[list[float]]:
    x6, y6, z6, p6 = _columns(base_from_flange)
    p5 = tuple(p - D6 * z for p, z in zip(p6, z6, strict=True))
    radius = hypot(p5[0], p5[1])
    if radius < D4:
        return []
    heading, lean = atan2(p5[1], p5[0]), asin(D4 / radius)
    solutions = []
    for q1 in (heading + lean, heading + pi - lean):
        c1, s1 = cos(q1), sin(q1)
        c5 = z6[0] * s1 - z6[1] * c1
        for q5 in (acos(max(-1.0, min(1.0, c5))), -acos(max(-1.0, min(1.0, c5)))):
            s5 = sin(q5)
            along_x, along_y = x6[0] * s1 - x6[1] * c1, y6[0] * s1 - y6[1] * c1
            q6 = near[5] if abs(s5) < SINGULAR else atan2(-along_y / s5, along_x / s5)
            c6, s6 = cos(q6), sin(q6)
            z4 = tuple(-(s6 * a + c6 * b) for a, b in zip(x6, y6, strict=True))
            wrist = atan2(z4[0] * c1 + z4[1] * s1, -z4[2])
            p3 = (p5[0] - D5 * z4[0] - D4 * s1, p5[1] - D5 * z4[1] + D4 * c1, p5[2] - D5 * z4[2] - D1)
            solutions += [
                [q1, q2, q3, wrist - q2 - q3, q5, q6] for q2, q3 in _two_links(p3[0] * c1 + p3[1] * s1, p3[2])
            ]
    return solutions


def _columns(pose: Array) -> tuple[Vector, Vector, Vector, Vector]:
    """The three axes of a pose (7,), and its origin."""
    x, y, z, i, j, k, w = pose.tolist()
    return (
        (1 - 2 * (j * j + k * k), 2 * (i * j + k * w), 2 * (i * k - j * w)),
        (2 * (i * j - k * w), 1 - 2 * (i * i + k * k), 2 * (j * k + i * w)),
        (2 * (i * k + j * w), 2 * (j * k - i * w), 1 - 2 * (i * i + j * j)),
        (x, y, z),
    )


def _two_links(along: float, up: float) -> list[tuple[float, float]]:
    """Shoulder and elbow for a wrist in the arm's plane."""
    cosine = (along * along + up * up - A2 * A2 - A3 * A3) / (2 * A2 * A3)
    if abs(cosine) > 1.0 + 1e-12:
        return []
    bend = acos(max(-1.0, min(1.0, cosine)))
    return [(atan2(up, along) - atan2(A3 * sin(q3), A2 + A3 * cos(q3)), q3) for q3 in (bend, -bend)]


def _nearest(angle: float, near: float) -> float:
    """The same direction, within +-2 pi, closest to `near`."""
    angle += 2 * pi * round((near - angle) / (2 * pi))
    return angle - 2 * pi if angle > 2 * pi else angle + 2 * pi if angle < -2 * pi else angle


def _quaternion(
    xx: float, yx: float, zx: float, xy: float, yy: float, zy: float, xz: float, yz: float, zz: float
) -> tuple[float, float, float, float]:
    """x y z w of a rotation matrix, given row by row; divides by the largest component (Shepperd 1978)."""
    if xx + yy + zz > 0.0:
        s = 2 * sqrt(1.0 + xx + yy + zz)
        return (yz - zy) / s, (zx - xz) / s, (xy - yx) / s, s / 4
    if xx >= yy and xx >= zz:
        s = 2 * sqrt(1.0 + xx - yy - zz)
        return s / 4, (yx + xy) / s, (zx + xz) / s, (yz - zy) / s
    if yy >= zz:
        s = 2 * sqrt(1.0 + yy - xx - zz)
        return (yx + xy) / s, s / 4, (zy + yz) / s, (zx - xz) / s
    s = 2 * sqrt(1.0 + zz - xx - yy)
    return (zx + xz) / s, (zy + yz) / s, s / 4, (xy - yx) / s
