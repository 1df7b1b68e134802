"""Every fault of a robot that `robot-stack check` can name, shown to the judges."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robot_stack.doctor.finding import Finding, Level
from robot_stack.doctor.motion import Response, Trace, judge_joint, respond
from robot_stack.doctor.robot import (
    Reading,
    judge_arm,
    judge_camera,
    judge_cost,
    judge_gripper,
    judge_limits,
    judge_pacing,
    judge_sight,
)
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot
from robot_stack.safety import Limits
from robot_stack.types import ArmState, Array, Frame, GripperState

ROBOT, LIMITS = robot("ur5e"), Limits()
HOME = Kinematics("ur5e").forward(ROBOT.home)


def arm(
    q: Array = ROBOT.home,
    dq: float = 0.0,
    pose: Array = HOME,
    hertz: float = 500.0,
    age: float = 0.002,
    wrench: float = 0.0,
    fault: str = "",
) -> dict[str, Finding]:
    states = [
        ArmState(k / hertz, q, np.full(len(q), dq), pose, np.full(6, wrench), fault if k > 250 else "")
        for k in range(500)
    ]
    readings = [Reading(state.time + age, state) for state in states]
    return {finding.subject: finding for finding in judge_arm(readings, ROBOT, LIMITS)}


def camera(change: Callable[[int], dict[str, Any]] = lambda k: {}) -> Finding:
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    frames = [Frame(**({"time": k / 10, "sequence": k, "image": image} | change(k))) for k in range(20)]
    readings = [Reading(frame.time + 0.03, frame) for frame in frames]
    return judge_camera(readings, "front", (24, 32, 3), 10.0)[-1]


def test_an_arm_at_home_is_well() -> None:
    assert {finding.level for finding in arm().values()} == {Level.OK}


@pytest.mark.parametrize(
    ("fault", "subject", "level", "words"),
    [
        ({"q": ROBOT.upper + 0.1}, "joints", Level.FAIL, "allowed"),
        ({"dq": 0.2}, "rest", Level.FAIL, "moves at 0.200 rad/s"),
        ({"pose": HOME + np.array([0.05, 0, 0, 0, 0, 0, 0])}, "pose", Level.FAIL, "50.0 mm"),
        ({"pose": HOME + np.array([0.006, 0, 0, 0, 0, 0, 0])}, "pose", Level.WARN, "6.0 mm"),
        ({"wrench": 10.0}, "wrench", Level.WARN, "17.3 N"),
        ({"fault": "protective stop: free the arm"}, "fault", Level.FAIL, "says: protective stop: free the arm"),
        ({"hertz": 100.0}, "arm", Level.WARN, "100.0 a second"),
        ({"age": 1.0}, "arm", Level.WARN, "1000.0 ms old"),
        ({"age": -0.5}, "arm", Level.FAIL, "-500.0 ms old"),
    ],
)
def test_a_fault_of_the_arm_is_named(fault: dict[str, Any], subject: str, level: Level, words: str) -> None:
    finding = arm(**fault)[subject]
    assert finding.level is level
    assert words in finding.found


def test_an_arm_of_another_kind_is_refused() -> None:
    finding = arm(q=np.zeros(7))["arm"]
    assert finding.level is Level.FAIL
    assert "expected 6 finite numbers" in finding.found


def test_an_arm_with_a_tool_outside_of_the_box_is_flown_back_only_inside() -> None:
    q = ROBOT.home.copy()
    q[0] += np.pi / 2
    assert arm(q=q, pose=Kinematics("ur5e").forward(q))["pose"].level is Level.WARN


def test_measurements_that_stand_still_are_noticed() -> None:
    readings = [Reading(k / 30, GripperState(0.0, 0.05)) for k in range(30)]
    stream, opening = judge_gripper(readings, ROBOT, LIMITS)
    assert stream.level is Level.FAIL
    assert "stand still" in stream.found
    assert opening.level is Level.OK


def test_an_opening_that_the_gripper_cannot_have_is_noticed() -> None:
    readings = [Reading(k / 30, GripperState(k / 30, 0.5)) for k in range(30)]
    assert judge_gripper(readings, ROBOT, LIMITS)[1].level is Level.FAIL


def test_a_camera_that_shows_something_on_time_is_well() -> None:
    assert camera().level is Level.OK


@pytest.mark.parametrize(
    ("fault", "level", "words"),
    [
        (lambda k: {"image": np.zeros((24, 32, 3), np.uint8)}, Level.WARN, "all of one colour"),
        (lambda k: {"image": np.zeros((48, 64, 3), np.uint8)}, Level.FAIL, "expected (24, 32, 3)"),
        (lambda k: {"sequence": 2 * k}, Level.WARN, "19 pictures never arrived"),
        (lambda k: {"time": k / 5}, Level.WARN, "5.0 a second"),
    ],
)
def test_a_fault_of_a_camera_is_named(fault: Callable[[int], dict[str, Any]], level: Level, words: str) -> None:
    finding = camera(fault)
    assert finding.level is level
    assert words in finding.found + finding.cost


def test_a_machine_that_wakes_late_is_noticed() -> None:
    assert judge_pacing([1e-5] * 100, 500.0).level is Level.OK
    assert judge_pacing([1e-5] * 50 + [0.004] * 50, 500.0).level is Level.WARN


def test_a_reading_that_takes_most_of_a_tick_is_noticed() -> None:
    assert judge_cost(0.2, [5e-5] * 100, 500.0).level is Level.OK
    assert judge_cost(0.2, [5e-5] * 50 + [0.0015] * 50, 500.0).level is Level.WARN


def test_a_robot_without_cameras_is_told_what_cannot_fly() -> None:
    [finding] = judge_sight([])
    assert "policies on pictures cannot fly" in finding.cost
    assert judge_sight(["front"]) == []


@pytest.mark.parametrize(
    ("limits", "speed", "hardware", "levels"),
    [
        (Limits(), 0.1, True, [Level.OK]),
        (Limits(), 1.0, True, [Level.WARN]),
        (Limits(), 0.1, False, [Level.OK, Level.FAIL]),
        (Limits(box_min=(0.5, -0.5, 0.0)), 0.1, True, [Level.OK, Level.FAIL]),
    ],
)
def test_a_robots_file_that_is_unsafe_on_hardware_is_noticed(
    limits: Limits, speed: float, hardware: bool, levels: list[Level]
) -> None:
    assert [finding.level for finding in judge_limits(ROBOT, limits, speed, hardware, real=True)] == levels


def swing(went: float = 1.0, lag: float = 0.1, wiggle: float = 0.0, push: float = 0.0, other: float = 0.0) -> Response:
    """The response of joint 2 of an arm that goes this part of what is asked, so much later [s]."""
    time = np.arange(0.0, 4.0, 0.002)
    asked = np.radians(3.0) * np.sin(0.5 * np.pi * np.clip(time - 0.5, 0.0, 2.0))
    q, target = np.tile(ROBOT.home, (len(time), 1)), np.tile(ROBOT.home, (len(time), 1))
    target[:, 2] += asked
    q[:, 2] += went * np.interp(time - lag, time, asked) + wiggle * np.sin(40.0 * time)
    q[:, 4] += other * asked / asked.max()
    wrench = np.zeros((len(time), 6))
    wrench[500:, 2] = push
    return respond(Trace(time, q, target, wrench), 2)


def test_lag_is_measured_and_taken_out_of_the_error() -> None:
    response = swing(lag=0.12)
    assert response.lag == pytest.approx(0.12, abs=0.002)
    assert np.degrees(response.error) < 0.05
    assert np.degrees(response.overshoot) < 0.01
    assert response.went == pytest.approx(1.0, abs=0.1)


def test_a_joint_that_follows_is_well() -> None:
    assert judge_joint("elbow", swing()).level is Level.OK


@pytest.mark.parametrize(
    ("response", "level", "words"),
    [
        (swing(went=-1.0), Level.FAIL, "moves the wrong way"),
        (swing(went=0.1), Level.FAIL, "went 10% of the way"),
        (swing(other=np.radians(3.0)), Level.FAIL, "other joints 3.00 deg"),
        (swing(push=20.0), Level.WARN, "force 20.0 N"),
        (swing(lag=0.3), Level.WARN, "300 ms behind"),
        (swing(wiggle=np.radians(1.0)), Level.WARN, "overshoot 1.00 deg"),
    ],
)
def test_a_joint_that_does_not_follow_is_named(response: Response, level: Level, words: str) -> None:
    finding = judge_joint("elbow", response)
    assert finding.level is level
    assert words in finding.found
