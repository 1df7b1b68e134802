"""Judging a robot by what its drivers measured. Pure, so that tests can show every fault; `deploy.check` measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_stack.doctor.finding import Finding, fail, ok, warn
from robot_stack.kinematics import Kinematics
from robot_stack.pose import distance
from robot_stack.robots import Robot
from robot_stack.safety import Limits
from robot_stack.types import ArmState, Frame, GripperState

RATE_SHARE = 0.9
"""A stream slower than this part of its rate is too slow."""

MEASURED = 200.0
"""An arm that says less often where it is hides its lag and its contacts [Hz]: UR says so at 500, our Franka drivers at
250."""

LATE = 0.001
"""Half a period at 500 Hz: a tick that wakes later than this is not on time [s]."""

AT_REST = 0.01
"""Faster than this is moving [rad/s]."""

NEAR, FAR = (0.003, 0.02), (0.01, 0.05)
"""The arm's own pose and ours may differ by this [m, rad]: a controller that knows how its arm was made is off a model
by millimetres, to a centimetre. Beyond, another tool is set in it, or it is another arm."""

FREE = (8.0, 0.6)
"""Twice the accuracy of a UR5e's sensor (data sheet: 4 N, 0.3 Nm): more at rest is an offset or a load [N, Nm]."""

REDUCED = 0.25
"""Reduced speed of ISO 10218-1, that of teaching by hand [m/s]."""

STOPS, RECORDS, REFUSES = "stops the arm", "makes grips look late in the data", "refuses a policy's plan"
"""What a measurement of arm, gripper and camera does that is too old."""

DARK = 2.0
"""A picture whose values vary less than this shows nothing: a lens cap, a dead sensor [of 255]."""


@dataclass(frozen=True)
class Reading[T]:
    """Something measured, and when it was in our hands [s]."""

    received: float
    value: T


def judge_pacing(late: Sequence[float], rate: float) -> Finding:
    """Whether this machine can wake a loop on time at all."""
    p50, p99 = np.percentile(late, [50, 99])
    found = f"at {rate:.0f} Hz {p50 * 1e6:.0f} us late, 1 in 100 {p99 * 1e6:.0f} us, at worst {max(late) * 1e3:.1f} ms"
    if p99 < LATE:
        return ok("pacing", found)
    cost = "commands reach the arm unevenly: it shakes"
    return warn("pacing", found, cost, "robot-stack doctor says what makes a machine punctual; end other programs")


def judge_cost(connecting: float, costs: Sequence[float], rate: float) -> Finding:
    """How long connecting and one reading take [s]; a tick must do more than read."""
    p50, p99 = np.percentile(costs, [50, 99])
    found = f"connected in {connecting:.1f} s; read in {p50 * 1e6:.0f} us, 1 in 100 {p99 * 1e6:.0f} us"
    if p99 < 0.5 / rate:
        return ok("driver", found)
    return warn("driver", found, "control misses ticks: the arm shakes", "end other programs; robot-stack doctor")


def judge_limits(robot: Robot, limits: Limits, speed: float, hardware: bool, real: bool) -> list[Finding]:
    """What the robot's file allows: whether home is inside, how fast it begins, and who clears a stop."""
    home = Kinematics(robot.name).forward(robot.home)[:3]
    fastest = np.degrees(limits.joint_velocity * robot.velocity.max())
    found = f"tool {limits.tcp_speed:.2f} m/s, joints {fastest:.0f} deg/s; begins at {speed:.0%} of it"
    findings = [ok("limits", found)]
    if real and speed * limits.tcp_speed > REDUCED:
        cost = f"the first motion is faster than {REDUCED} m/s: nobody can step back from it"
        findings = [warn("limits", found, cost, "robot.speed=0.1; raise it at the page when all is well")]
    if (home < limits.box_min).any() or (home > limits.box_max).any():
        found = f"home, {np.round(home, 3)} m, is outside of the box {limits.box_min} to {limits.box_max}"
        findings.append(fail("limits", found, "no episode begins", "set robot.limits.box_min and box_max around it"))
    if real and not hardware:
        found = "hardware: false, but no simulation stands behind it"
        findings.append(fail("limits", found, "stops are cleared by themselves", "robot.hardware=true"))
    return findings


def judge_sight(cameras: Sequence[str]) -> list[Finding]:
    """Whether it sees at all."""
    if cameras:
        return []
    cost = "policies on pictures cannot fly, and nobody sees later what happened"
    return [warn("cameras", "none in the robot's file", cost, "list them under robot.cameras; fine for a first motion")]


def judge_arm(readings: list[Reading[ArmState]], robot: Robot, limits: Limits) -> list[Finding]:
    """Fault, rate, age, joint limits, rest, wrench, and whether it is the arm that we compute with."""
    newest = readings[-1].value
    if newest.q.shape != robot.home.shape or not all(np.isfinite(part).all() for part in (newest.q, newest.dq)):
        found = f"joints {np.round(newest.q, 3)}, expected {len(robot.joints)} finite numbers"
        return [fail("arm", found, "it cannot be controlled", f"is this a {robot.name}? choose another robot=...")]
    return [
        *_judge_fault(readings),
        _stream("arm", readings, [reading.value.time for reading in readings], MEASURED, limits.state_age, STOPS),
        _judge_joints(newest, robot),
        _judge_rest(readings),
        _judge_wrench(readings),
        _judge_pose(newest, robot, limits),
    ]


def _judge_fault(readings: list[Reading[ArmState]]) -> list[Finding]:
    """What the arm's own controller says, newest first: a fault that went by is one to know of too."""
    faults = [reading.value.fault for reading in readings if reading.value.fault]
    if not faults:
        return []
    gone = "" if readings[-1].value.fault else " (it went by)"
    cost = "the arm does not follow: its controller has stopped it"
    return [
        fail("fault", f"the controller says: {faults[-1]}{gone}", cost, "what it says; then robot-stack check again")
    ]


def _judge_wrench(readings: list[Reading[ArmState]]) -> Finding:
    wrench = np.array([reading.value.wrench for reading in readings])
    force, torque = (float(np.linalg.norm(part)) for part in np.split(wrench.mean(axis=0), 2))
    noise = float(wrench[:, :3].std(axis=0).max())
    found = f"{force:.1f} N and {torque:.2f} Nm at rest, noise {noise:.2f} N"
    if force < FREE[0] and torque < FREE[1]:
        return ok("wrench", found)
    cost = "forces are recorded wrongly, and a hand that leads the arm feels it drift"
    return warn("wrench", found, cost, "does it touch something? set payload and its center in robot.arm; zero it")


def _judge_joints(state: ArmState, robot: Robot) -> Finding:
    outside = [
        f"{name} {np.degrees(q):.1f} deg (allowed {np.degrees(low):.0f} to {np.degrees(high):.0f})"
        for name, q, low, high in zip(robot.joints, state.q, robot.lower, robot.upper, strict=True)
        if not low < q < high
    ]
    if outside:
        remedy = "move the arm back by hand or with its own pendant"
        return fail("joints", "; ".join(outside), "control stops at once", remedy)
    room = float(np.min(np.minimum(state.q - robot.lower, robot.upper - state.q)))
    return ok("joints", f"inside their limits, the nearest {np.degrees(room):.0f} deg away")


def _judge_rest(readings: list[Reading[ArmState]]) -> Finding:
    fastest = max(float(np.abs(reading.value.dq).max()) for reading in readings)
    if fastest < AT_REST:
        return ok("rest", f"does not move (fastest joint {fastest:.4f} rad/s)")
    cost = "somebody else commands it, or a joint drifts"
    return fail(
        "rest",
        f"moves at {fastest:.3f} rad/s",
        cost,
        "end the other program; release the hand guiding; look at the arm",
    )


def _judge_pose(state: ArmState, robot: Robot, limits: Limits) -> Finding:
    metres, radians = distance(Kinematics(robot.name).forward(state.q), state.base_from_tcp)
    found = f"the arm's own pose is {metres * 1e3:.1f} mm and {np.degrees(radians):.1f} deg from ours"
    if metres > FAR[0] or radians > FAR[1]:
        cost = "targets would be reached elsewhere than meant"
        return fail(
            "pose",
            found,
            cost,
            "set the tool centre point in the arm to that of its gripper; is it the right robot=...?",
        )
    if metres > NEAR[0] or radians > NEAR[1]:
        cost = "policies trained on another arm of this kind reach that far elsewhere"
        return warn(
            "pose", found, cost, "check robot.arm's tool; if it is right, this arm differs so much from its model"
        )
    position = state.base_from_tcp[:3]
    if (position < limits.box_min).any() or (position > limits.box_max).any():
        found = f"the tool is at {np.round(position, 3)} m, outside of the box {limits.box_min} to {limits.box_max}"
        return warn("pose", found, "control moves it only back inside", "jog it inside, or set robot.limits.box_*")
    return ok("pose", found)


def judge_gripper(readings: list[Reading[GripperState]], robot: Robot, limits: Limits) -> list[Finding]:
    """Rate, age, and an opening that this gripper can have."""
    opening, slack = readings[-1].value.opening, 0.1 * robot.opening
    stream = _stream("gripper", readings, [reading.value.time for reading in readings], 9.0, 0.3, RECORDS)
    if -slack <= opening <= robot.opening + slack:
        return [stream, ok("opening", f"{opening * 1e3:.1f} mm of {robot.opening * 1e3:.0f}")]
    found = f"{opening * 1e3:.1f} mm, but it opens {robot.opening * 1e3:.0f}"
    return [
        stream,
        fail("opening", found, "grips are recorded wrongly", "calibrate the gripper; is it the right robot=...?"),
    ]


def judge_camera(
    readings: list[Reading[Frame]], name: str, shape: tuple[int, int, int], rate: float | None
) -> list[Finding]:
    """Rate, age, the size of the pictures, and whether they show anything."""
    subject = f"camera {name}"
    image = readings[-1].value.image
    if image.shape != shape or image.dtype != np.uint8:
        found = f"pictures are {image.shape} {image.dtype}, expected {shape} uint8"
        return [
            fail(
                subject,
                found,
                "the topic's layout differs: nothing is seen",
                f"set robot.cameras.{name}.height and width",
            )
        ]
    stream = _stream(subject, readings, [reading.value.time for reading in readings], rate, 0.5, REFUSES)
    skipped = readings[-1].value.sequence - readings[0].value.sequence + 1 - len(readings)
    if skipped > 0.1 * len(readings):
        return [
            stream,
            warn(subject, f"{skipped} pictures never arrived", "gaps in the data", "another cable or USB port"),
        ]
    if float(image.std()) < DARK:
        return [
            stream,
            warn(subject, "the picture is all of one colour", "nothing to be seen", "lens cap? light? exposure?"),
        ]
    return [stream]


def _stream(
    subject: str,
    readings: Sequence[Reading[Any]],
    times: list[float],
    expected: float | None,
    oldest: float,
    what: str,
) -> Finding:
    """Whether a stream's measurements come as often, and as fresh, as they should. Times are those of measurement.

    oldest [s]: older ones do harm; what: which.
    """
    fresh = len(set(times)) - 1
    rate = fresh / (readings[-1].received - readings[0].received) if fresh > 0 else 0.0
    ages = np.array([reading.received - time for reading, time in zip(readings, times, strict=True)])
    p50, worst = float(np.median(ages)), float(ages.max())
    found = f"{rate:.1f} a second, {p50 * 1e3:.1f} ms old when they arrive (worst {worst * 1e3:.1f})"
    if fresh <= 0:
        return fail(
            subject,
            "its measurements stand still",
            "it cannot be used",
            "is it switched on, and is its program running?",
        )
    if p50 < -LATE:
        cost = "ages and latencies are wrong: its clock is not ours"
        return fail(subject, found, cost, "the driver must give times of robot_stack.clock.now")
    if worst > oldest:
        return warn(subject, found, f"older than {oldest * 1e3:.0f} ms {what}", "a direct cable, fewer programs")
    if expected and rate < RATE_SHARE * expected:
        return warn(subject, found, f"slower than the {expected:.0f} Hz expected", "a direct cable, fewer programs")
    return ok(subject, found)
