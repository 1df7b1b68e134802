"""Motions that take many cycles, as generators: each `yield` is one cycle of the controller."""

from collections.abc import Generator
from math import dist, inf

from robot_stack import pose as se3
from robot_stack.emulators.ur import kinematics
from robot_stack.emulators.ur.arm import ACCELERATION, BRAKE, PERIOD, ramp
from robot_stack.emulators.ur.controller import Controller
from robot_stack.emulators.ur.faults import RuntimeFault
from robot_stack.types import Array

Motion = Generator[None, None, None]

TURN = 0.1
"""A move that only turns the tool goes as if each radian were so long [m]: modelled."""


def joints(controller: Controller, goal: list[float], velocity: float, acceleration: float) -> Motion:
    """movej: all joints start and arrive together, the one with the longest way with a trapezoid of speed."""
    arm = controller.arm
    start = list(arm.q)
    way = max(abs(b - a) for a, b in zip(start, goal, strict=True))
    if not _positive(velocity, acceleration):
        raise RuntimeFault(f"movej: velocity {velocity} and acceleration {acceleration} must be above 0")
    if not way < inf:
        raise RuntimeFault(f"movej: {goal} are no joints")
    duration, at = ramp(way, velocity, acceleration)
    mover, time = object(), 0.0
    while time < duration:
        arm.claim(mover)
        time += PERIOD * arm.scale
        share = at(time) / way
        arm.place([a + share * (b - a) for a, b in zip(start, goal, strict=True)])
        yield


def line(controller: Controller, goal: list[float], velocity: float, acceleration: float) -> Motion:
    """movel to a UR pose: the tool goes straight and turns at the same time, about one axis."""
    arm, sense = controller.arm, controller.sense
    if not _positive(velocity, acceleration):
        raise RuntimeFault(f"movel: velocity {velocity} and acceleration {acceleration} must be above 0")
    start, end = sense.commanded_tcp(arm.q), kinematics.pose_of(goal)
    metres, radians = se3.distance(start, end)
    way = max(metres, TURN * radians)
    duration, at = ramp(way, velocity, acceleration)
    mover, time = object(), 0.0
    while time < duration:
        arm.claim(mover)
        ahead = time + PERIOD * arm.scale
        q = reach(controller, se3.interpolate(start, end, at(ahead) / way))
        if q is None:
            arm.brake(mover, BRAKE)
        else:
            arm.place(q)
            time = ahead
        yield


def stop(controller: Controller, deceleration: float) -> Motion:
    """stopj: the joints come to rest, together."""
    mover = object()
    while not controller.arm.brake(mover, max(deceleration, 0.1)):
        yield


def stop_tool(controller: Controller, deceleration: float) -> Motion:
    """stopl: the tool comes to rest with a deceleration [m/s^2]."""
    speed = dist(controller.sense.tcp_speed(controller.arm.qd)[:3], (0.0, 0.0, 0.0))
    share = controller.arm.fastest / speed if speed > 1e-3 else 1.0
    return stop(controller, min(deceleration * share, ACCELERATION))


def reach(controller: Controller, base_from_tcp: Array) -> list[float] | None:
    """The joints for a pose of the tool, near where the arm is; None, after a protective stop, if there are none."""
    q = kinematics.inverse(controller.sense.flange_of(base_from_tcp), controller.arm.q)
    if q is None:
        controller.protective_stop(f"no joints reach {[round(x, 4) for x in kinematics.ur_pose(base_from_tcp)]}")
        return None
    far = max(abs(a - b) for a, b in zip(q, controller.arm.q, strict=True))
    if far > 0.2:
        controller.protective_stop(f"the straight way leads through a singularity: joints jump by {far:.2f} rad")
        return None
    return q


def _positive(*values: float) -> bool:
    return all(value > 0.0 for value in values)
