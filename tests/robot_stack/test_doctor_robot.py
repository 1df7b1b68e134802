"""Every fault of a robot that `robot-stack check` can name, shown to the judges."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robot_stack.doctor.finding import Finding, Level
from robot_stack.doctor.robot import Reading, judge_arm, judge_camera, judge_gripper, judge_pacing
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot
from robot_stack.safety import Limits
from robot_stack.types import ArmState, Array, Frame, GripperState

ROBOT, LIMITS = robot("ur5e"), Limits()
HOME = Kinematics("ur5e").forward(ROBOT.home)


def arm(
    q: Array = ROBOT.home, dq: float = 0.0, pose: Array = HOME, hertz: float = 500.0, age: float = 0.002
) -> dict[str, Finding]:
    states = [ArmState(k / hertz, q, np.full(len(q), dq), pose, np.zeros(6)) for k in range(500)]
    readings = [Reading(state.time + age, state) for state in states]
    return {finding.subject: finding for finding in judge_arm(readings, ROBOT, LIMITS, 500.0)}


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
