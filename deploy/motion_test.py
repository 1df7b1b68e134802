"""`robot-stack check --move`: one joint after the other goes a little there and back, then the gripper.

It flies through the control process of the service (see `flight`), so that what is tested is what will be flown.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deploy.flight import Flight, FlightError
from robot_stack.clock import now
from robot_stack.doctor.finding import Finding, fail, ok, warn
from robot_stack.doctor.motion import Trace, judge_joint, respond
from robot_stack.kinematics import Kinematics
from robot_stack.progress import bar
from robot_stack.robots import robot as find_robot
from robot_stack.safety import JOINT_MARGIN, Limits
from robot_stack.spec import Record
from robot_stack.types import Array

SPEED = 0.1
"""Override of the test, 0..1 of the limits."""
SWING = float(np.radians(3.0))
"""How far each joint goes to either side [rad]."""
ARRIVED = 1e-4
"""The setpoint is there when it is this near [rad]."""
DWELL = 0.6
"""The arm is given this long to follow [s]: lag, and what swings."""
PATIENCE = 20.0
"""A swing takes less than this at a tenth of the speed [s]."""
BACK = float(np.radians(0.5))
"""At the end the arm is this near to where it began [rad]."""
GRIP_TIME = 4.0
"""Fingers need less than this from open to half closed [s]."""
GRIP_REST, GRIP_STILL = 0.7, 5e-4
"""Fingers that move less than so much [m] for so long [s] stand still."""
GRIP_ERROR = 0.1
"""Of the opening; what fingers may be away from what was asked."""


class StoppedShortError(FlightError):
    """A goal that was not reached, and what limits the way to it."""


def plan(robot: str, limits: Limits, q: Array) -> list[tuple[int, Array]]:
    """The joints that can swing from `q` (n,) [rad], each with its ways (2,) [rad]: 0 where a limit is too near."""
    kinematics, arm = Kinematics(robot), find_robot(robot)
    low, high = np.array(limits.box_min) + limits.margin, np.array(limits.box_max) - limits.margin

    def fits(there: Array) -> bool:
        position = kinematics.forward(there)[:3]
        inside = (there > arm.lower + JOINT_MARGIN) & (there < arm.upper - JOINT_MARGIN)
        return bool(inside.all() and (position > low).all() and (position < high).all())

    swings = []
    for joint in range(len(q)):
        unit = np.eye(len(q))[joint]
        ways = np.array([way if fits(q + way * unit) else 0.0 for way in (SWING, -SWING)])
        swings.append((joint, ways))
    return swings


def describe(robot: str, limits: Limits) -> str:
    """What will happen, for the person who is to agree."""
    arm = find_robot(robot)
    fastest = np.degrees(SPEED * limits.joint_velocity * arm.velocity.max())
    return (
        f"The {arm.name} will move: each of its {len(arm.joints)} joints by {np.degrees(SWING):.0f} degrees to either "
        f"side and back, one after the other, never faster than {fastest:.0f} deg/s and "
        f"{1e3 * SPEED * limits.tcp_speed:.0f} mm/s at the tool. Then the fingers close by half and open: take out "
        "what they hold. Fingers that are not activated yet open and close once before anything else. It ends where "
        "it began, after about a minute."
    )


def run(config: dict[str, Any], limits: Limits) -> list[Finding]:
    """Fly the test, and say what was found; a flight that ends early is a finding too."""
    robot = config["robot"]["name"]
    try:
        with Flight(config, SPEED) as flight:
            start = flight.control["q"].copy()
            return [*_joints(flight, robot, limits, start), _returned(flight, start), *_gripper(flight, robot, start)]
    except FlightError as error:
        remedy = "what the message says; then robot-stack check --move again"
        return [fail("motion", str(error), "the test was ended, the arm brought to rest", remedy)]


def _joints(flight: Flight, robot: str, limits: Limits, start: Array) -> Iterator[Finding]:
    names, swings = find_robot(robot).joints, plan(robot, limits, start)
    with bar("joints", len(swings)) as progress:
        for done, (joint, ways) in enumerate(swings):
            progress.update(done, names[joint])
            yield _joint(flight, names[joint], joint, ways, start)


def _joint(flight: Flight, name: str, joint: int, ways: Array, start: Array) -> Finding:
    if not ways.any():
        remedy = "jog the arm into the middle of the box and run the test again"
        return warn(name, "not moved: a limit is nearer than its swing", "nothing is known of it", remedy)
    unit = np.eye(len(start))[joint]
    opening = flight.opening
    records: list[Record] = []
    try:
        for way in [*ways[ways != 0.0], 0.0]:
            records += fly(flight, start + way * unit, opening)
    except StoppedShortError as short:
        fly(flight, start, opening)
        remedy = "jog the arm away from what limits it and run the test again"
        return warn(name, f"stopped short: {short}", "nothing is known of it", remedy)
    response = respond(_trace(records), joint)
    return judge_joint(name, response)


def fly(flight: Flight, q: Array, opening: float) -> list[Record]:
    """Fly to joints (n,) [rad], wait until the arm has followed, and return what control recorded."""
    flight.ask(q, opening)
    deadline, since = now() + PATIENCE, None
    records: list[Record] = []
    while since is None or now() - since < DWELL:
        records += flight.step()
        if since is None and np.abs(flight.control["target.q"] - q).max() < ARRIVED:
            since = now()
        if now() > deadline:
            reason = flight.control["reason"].item().decode(errors="replace")
            raise StoppedShortError(f"not there after {PATIENCE:.0f} s: {reason or 'no reason given'}")
    return records


def _trace(records: list[Record]) -> Trace:
    """What is new in these records: while the arm is silent, control repeats what it measured last."""
    times = np.array([float(record["time"]) for record in records])
    new = np.flatnonzero(np.diff(times, prepend=-np.inf) > 0.0)
    q, target, wrench = (np.array([records[k][name] for k in new]) for name in ("q", "target.q", "wrench"))
    return Trace(times[new], q, target, wrench)


def _returned(flight: Flight, start: Array) -> Finding:
    away = float(np.abs(flight.control["q"] - start).max())
    found = f"ends {np.degrees(away):.2f} deg from where it began"
    if away < BACK:
        return ok("return", found)
    return fail("return", found, "it does not hold its place", "payload set? brakes? look at the arm")


def _gripper(flight: Flight, robot: str, start: Array) -> Iterator[Finding]:
    widest = find_robot(robot).opening
    for name, opening in (("half closed", 0.5 * widest), ("open", widest)):
        began, before = now(), flight.opening
        flight.ask(start, opening)
        seconds = _settle(flight, began)
        yield _judge_grip(name, opening, before, flight.opening, seconds, widest)


def _settle(flight: Flight, began: float) -> float:
    """Wait until the fingers, which may begin late, stand still; how long they moved [s]."""
    moved_at, opening = began, flight.opening
    while now() - moved_at < GRIP_REST and now() - began < GRIP_TIME:
        flight.step()
        if abs(flight.opening - opening) > GRIP_STILL:
            moved_at, opening = now(), flight.opening
    return moved_at - began


def _judge_grip(name: str, asked: float, before: float, opening: float, seconds: float, widest: float) -> Finding:
    found = f"{name}: {opening * 1e3:.1f} mm, {asked * 1e3:.1f} asked, from {before * 1e3:.1f} in {seconds:.1f} s"
    if abs(opening - asked) <= GRIP_ERROR * widest:
        return ok("gripper", found)
    return fail("gripper", found, "grips are not what is asked", "take out what it holds; is it activated, calibrated?")
