"""Judging how an arm moved when it was asked to. Pure; `deploy.motion_test` flies and measures."""

from dataclasses import dataclass

import numpy as np

from robot_stack.doctor.finding import Finding, fail, ok, warn
from robot_stack.types import Array

LONGEST_LAG = 0.5
"""Lags are looked for up to here [s]."""
LAG_STEP = 0.001
"""... in steps of [s]."""
SLOW = 0.25
"""A lag beyond this is felt by a person and misleads a policy [s]: servoj's longest smoothing is 0.2."""
INEXACT, ASTRAY = np.radians(0.5), np.radians(2.0)
"""Errors, lag taken out, that are worth a word, and that are no tracking at all [rad]."""
FOLLOWS = 0.5
"""A joint that went less than this part of what was asked does not follow."""
PUSHED = 15.0
"""A free arm that moves slowly feels less than this [N]."""


@dataclass(frozen=True)
class Trace:
    """One joint's way there and back, as control recorded it.

    time: of the measurements (T,) [s]. q, target: measured and commanded joints (T, n) [rad]. wrench: (T, 6) [N, Nm].
    """

    time: Array
    q: Array
    target: Array
    wrench: Array


@dataclass(frozen=True)
class Response:
    """What one joint made of what it was asked.

    went: part of the commanded way that it went, 1 is all of it, negative the wrong way. lag [s]: of the measurement
    behind the command. error, overshoot [rad]: largest, the lag taken out; beyond the furthest commanded. strayed
    [rad]: most that another joint moved. force [N]: most that the wrench changed.
    """

    went: float
    lag: float
    error: float
    overshoot: float
    strayed: float
    force: float


def respond(trace: Trace, joint: int) -> Response:
    """Measure the response of one joint."""
    q, target = trace.q[:, joint], trace.target[:, joint]
    way, asked = q - q[0], target - target[0]
    lags = np.arange(0.0, LONGEST_LAG, LAG_STEP)
    errors = np.array([q - np.interp(trace.time - lag, trace.time, target) for lag in lags])
    errors -= q[0] - target[0]  # what it was away at rest is no error of the motion
    best = int(np.square(errors).mean(axis=1).argmin())
    others = np.delete(trace.q, joint, axis=1)
    return Response(
        went=float(way @ asked / (asked @ asked)),
        lag=float(lags[best]),
        error=float(np.abs(errors[best]).max()),
        overshoot=max(0.0, float(way.max() - asked.max()), float(asked.min() - way.min())),
        strayed=float(np.abs(others - others[0]).max()),
        force=float(np.linalg.norm(trace.wrench[:, :3] - trace.wrench[0, :3], axis=1).max()),
    )


def judge_joint(name: str, response: Response) -> Finding:
    """Whether this joint goes where it is sent."""
    error, overshoot, strayed = np.degrees([response.error, response.overshoot, response.strayed])
    found = (
        f"{response.lag * 1e3:.0f} ms behind, error {error:.2f} deg, overshoot {overshoot:.2f} deg, "
        f"other joints {strayed:.2f} deg, force {response.force:.1f} N"
    )
    if response.went < 0.0:
        remedy = "do not fly it: the signs of this joint differ between model and arm; is it the right robot=...?"
        return fail(name, f"moves the wrong way; {found}", "every target is reached mirrored", remedy)
    if response.went < FOLLOWS:
        remedy = "is it blocked, or another joint in its place? look at the arm; is the right robot=... chosen?"
        return fail(name, f"went {response.went:.0%} of the way; {found}", "it does not follow", remedy)
    if max(response.error, response.strayed) > ASTRAY:
        remedy = "set payload and tool in the robot's file; raise the servo's gain or stiffness; look at the arm"
        return fail(name, found, "it does not follow closely enough to be trusted", remedy)
    if response.force > PUSHED:
        return warn(name, found, "something pushes the arm", "does it touch something? is the payload right?")
    if response.lag > SLOW:
        return warn(
            name, found, "it trails what is asked: hard to steer", "pendant's speed slider? lookahead? network?"
        )
    if max(response.error, response.overshoot) > INEXACT:
        return warn(name, found, "coarse work only", "payload and tool set? raise the servo's gain or stiffness")
    return ok(name, found)
