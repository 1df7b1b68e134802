"""The commanded joints: bounded whatever is asked, and with the lag that was measured on robots."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.emulators.ur.arm import ACCELERATION, PERIOD, VELOCITY, CommandedArm, ramp
from robot_stack.emulators.ur.faults import RuntimeFault


def arm() -> tuple[CommandedArm, list[str]]:
    alarms: list[str] = []
    return CommandedArm([0.0] * 6, alarms.append), alarms


def cycle(arm: CommandedArm, goal: list[float], lookahead: float = 0.1, gain: float = 300.0) -> None:
    arm.begin()
    arm.claim("test")
    arm.servo(goal, lookahead, gain)
    arm.finish()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-0.099, 0.099), min_size=1, max_size=60), st.floats(0.03, 0.2), st.floats(100.0, 2000.0))
def test_servoj_never_exceeds_the_speed_of_the_joints(steps: list[float], lookahead: float, gain: float) -> None:
    commanded, alarms = arm()
    goal = 0.0
    for step in steps:
        goal = min(6.0, max(-6.0, goal + step))
        before = commanded.q[0]
        cycle(commanded, [goal] * 6, lookahead, gain)
        assert abs(commanded.q[0] - before) <= VELOCITY * PERIOD + 1e-12
        assert abs(commanded.qdd[0]) <= ACCELERATION + 1e-6
    assert not alarms


def test_servoj_trails_a_ramp_by_its_lookahead_time() -> None:
    commanded, _ = arm()
    for k in range(1000):
        cycle(commanded, [0.5 * PERIOD * k] * 6, 0.1, 300.0)
    lag = (0.5 * PERIOD * 999 - commanded.q[0]) / 0.5
    assert lag == pytest.approx(0.1, abs=0.004)


def test_an_arm_that_nobody_moves_any_more_comes_to_rest() -> None:
    commanded, _ = arm()
    for k in range(100):
        cycle(commanded, [0.002 * k] * 6)
    assert commanded.fastest > 0.5
    for _ in range(100):
        commanded.begin()
        commanded.finish()
    assert commanded.fastest == 0.0


@pytest.mark.parametrize("goal", [float("nan"), 0.2, 7.0, float("inf")])
def test_a_goal_that_cannot_be_is_an_alarm_and_moves_nothing(goal: float) -> None:
    commanded, alarms = arm()
    cycle(commanded, [goal] * 6)
    assert len(alarms) == 1
    assert commanded.q == [0.0] * 6


def test_two_threads_cannot_move_the_arm_in_one_cycle() -> None:
    commanded, _ = arm()
    commanded.begin()
    commanded.claim("one")
    commanded.claim("one")
    with pytest.raises(RuntimeFault, match="another thread"):
        commanded.claim("other")


@pytest.mark.parametrize(("distance", "velocity", "acceleration"), [(1.0, 0.5, 2.0), (0.01, 1.0, 1.0), (2.0, 3.0, 0.5)])
def test_a_ramp_arrives_within_its_limits(distance: float, velocity: float, acceleration: float) -> None:
    duration, at = ramp(distance, velocity, acceleration)
    times = np.linspace(0.0, duration, 2000)
    speeds = np.diff([at(time) for time in times]) / np.diff(times)
    assert at(0.0) == 0.0
    assert at(duration) == distance
    assert speeds.max() <= velocity + 1e-6
    assert np.abs(np.diff(speeds)).max() / np.diff(times)[0] <= acceleration * 1.01
    assert all(a <= b for a, b in pairwise(at(time) for time in times))
