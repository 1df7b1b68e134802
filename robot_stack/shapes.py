"""How much room the arms take: a few capsules, and one box around the fingers, that hold every mesh of each arm.

Fitted once to the meshes in the models of `robots` (smallest capsules, rounded up to whole millimetres) and held
against them by a test, so that the control loop needs no mesh and starts in milliseconds.
"""

from typing import NamedTuple

Point = tuple[float, float, float]


class Capsule(NamedTuple):
    """All that is nearer to the line from `start` to `end` than `radius` [m].

    link: how many joints are before it. In the frame of that link's body; the hand and the last link, which move as
    one, in the frame of the TCP.
    """

    link: int
    start: Point
    end: Point
    radius: float


class Shape(NamedTuple):
    """An arm with its gripper, however far that is open: closed, the fingers of a 2F-85 reach 13 mm further.

    arm, fingers: capsules that hold them. box: the fingers once more, for the table that they nearly touch: half sizes
    along x and y about the TCP's z axis, and where along z it begins and ends [m]. apart: pairs of links that cannot
    touch whatever the joints, though their capsules, which are rounder, may.
    """

    arm: tuple[Capsule, ...]
    fingers: tuple[Capsule, ...]
    box: tuple[float, float, float, float]
    apart: tuple[tuple[int, int], ...]


SHAPES = {
    "ur5e": Shape(
        (
            Capsule(0, (0.0, 0.0, 0.030), (0.0, 0.0, 0.042), 0.082),
            Capsule(1, (0.0, 0.005, -0.008), (0.0, 0.013, 0.0), 0.085),
            Capsule(2, (0.0, -0.003, 0.0), (0.0, 0.0, 0.100), 0.086),
            Capsule(2, (0.0, 0.001, 0.301), (0.0, -0.044, 0.425), 0.069),
            Capsule(2, (0.0, 0.028, 0.399), (0.0, 0.023, 0.420), 0.068),
            Capsule(3, (0.0, 0.029, -0.001), (-0.002, -0.006, 0.129), 0.064),
            Capsule(3, (0.0, 0.0, 0.283), (0.0, 0.029, 0.403), 0.047),
            Capsule(3, (0.0, -0.023, 0.366), (0.0, -0.027, 0.392), 0.044),
            Capsule(4, (0.0, 0.078, 0.0), (0.0, 0.126, 0.028), 0.046),
            Capsule(4, (0.0, 0.089, -0.029), (0.0, 0.127, -0.026), 0.044),
            Capsule(5, (0.0, -0.029, 0.102), (0.0, -0.021, 0.073), 0.043),
            Capsule(5, (0.0, 0.004, 0.076), (0.0, 0.028, 0.099), 0.046),
            Capsule(6, (0.0, 0.0, -0.185), (0.0, 0.0, -0.094), 0.044),
        ),
        (
            Capsule(6, (0.0, -0.028, -0.009), (0.0, 0.028, -0.009), 0.031),
            Capsule(6, (0.0, -0.039, -0.074), (0.0, -0.039, -0.058), 0.041),
            Capsule(6, (0.0, 0.039, -0.074), (0.0, 0.039, -0.058), 0.041),
        ),
        box=(0.020, 0.075, -0.101, 0.018),
        apart=((0, 2), (3, 5), (4, 6)),
    ),
    "fr3": Shape(
        (
            Capsule(0, (-0.002, 0.0, 0.028), (-0.010, 0.005, 0.070), 0.100),
            Capsule(0, (-0.096, 0.055, 0.016), (-0.100, -0.061, 0.016), 0.059),
            Capsule(1, (0.0, -0.053, 0.0), (0.0, 0.0, -0.140), 0.078),
            Capsule(2, (0.0, -0.141, 0.0), (0.001, 0.0, 0.052), 0.078),
            Capsule(3, (0.079, 0.058, -0.006), (0.083, 0.033, 0.0), 0.067),
            Capsule(3, (0.0, 0.0, -0.096), (0.013, 0.013, -0.045), 0.063),
            Capsule(4, (-0.082, 0.096, 0.0), (-0.070, 0.043, 0.016), 0.065),
            Capsule(4, (-0.003, 0.006, 0.059), (0.0, 0.0, 0.031), 0.065),
            Capsule(5, (0.0, 0.001, -0.237), (0.0, 0.060, -0.172), 0.061),
            Capsule(5, (0.0, 0.082, -0.069), (0.0, 0.065, 0.001), 0.070),
            Capsule(6, (0.088, -0.020, -0.001), (0.074, 0.043, 0.001), 0.056),
            Capsule(6, (0.024, -0.015, 0.017), (0.003, 0.004, 0.006), 0.059),
            Capsule(7, (0.0, 0.006, -0.126), (0.0, 0.005, -0.095), 0.065),
            Capsule(7, (0.0, 0.068, -0.114), (0.0, 0.063, -0.050), 0.043),
            Capsule(7, (0.005, -0.079, -0.092), (-0.004, -0.055, -0.042), 0.044),
        ),
        (Capsule(7, (0.0, -0.064, -0.020), (0.0, 0.064, -0.020), 0.031),),
        box=(0.011, 0.067, -0.045, 0.009),
        apart=((5, 7),),
    ),
}
SHAPES["panda"] = SHAPES["fr3"]  # whose model it is flown with
