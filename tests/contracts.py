"""What every device of a kind must do, whoever made it: the same tests for simulation, emulators and hardware."""

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from robot_stack.arms import Arm
from robot_stack.cameras import Camera
from robot_stack.clock import now
from robot_stack.grippers import Gripper
from robot_stack.types import Array

PERIOD = 0.004
STILL = 0.02
"""An arm at rest moves no faster [rad/s]."""


def arm_measures_its_state_and_says_when(make: Callable[[], Arm], joints: int) -> None:
    with make() as arm:
        first = arm.read()
        time.sleep(0.1)
        second = arm.read()
        read = now()
    assert first.q.shape == first.dq.shape == (joints,)
    assert first.base_from_tcp.shape == (7,)
    assert first.wrench.shape == (6,)
    assert abs(np.linalg.norm(first.base_from_tcp[3:]) - 1.0) < 1e-6
    assert first.time < second.time <= read
    assert read - second.time < 0.1


def arm_goes_where_it_is_servoed(make: Callable[[], Arm]) -> None:
    with make() as arm:
        start = arm.read().q.copy()
        goal = start.copy()
        goal[-1] += 0.1
        for s in np.linspace(0.0, 1.0, 150):
            arm.servo(start + s * (goal - start), (goal - start) / (150 * PERIOD))
            time.sleep(PERIOD)
        _wait(lambda: bool(np.abs(arm.read().q - goal).max() < 0.01))


def arm_comes_to_rest_when_halted_as_often_as_it_is_asked(make: Callable[[], Arm]) -> None:
    with make() as arm:
        q = arm.read().q.copy()
        for _ in range(60):
            q[-1] += 0.002
            arm.servo(q, _last(0.002 / PERIOD, len(q)))
            time.sleep(PERIOD)
        arm.halt()
        arm.halt()
        _wait(lambda: bool(np.abs(arm.read().dq).max() < STILL))
        rest = arm.read().q.copy()
        time.sleep(0.2)
        assert np.abs(arm.read().q - rest).max() < 0.01


def arm_is_at_rest_after_it_was_left(make: Callable[[], Arm]) -> None:
    with make() as arm:
        q = arm.read().q.copy()
        for _ in range(40):
            q[-1] += 0.002
            arm.servo(q, _last(0.002 / PERIOD, len(q)))
            time.sleep(PERIOD)
    with make() as arm:
        _wait(lambda: bool(np.abs(arm.read().dq).max() < STILL))


def gripper_opens_and_closes(make: Callable[[], Gripper], stroke: float) -> None:
    with make() as gripper:
        for asked in (0.25 * stroke, 0.75 * stroke):
            gripper.move(asked)
            _wait(lambda asked=asked: abs(gripper.read().opening - asked) < 0.003)  # type: ignore[misc]
        state = gripper.read()
        assert 0.0 <= state.opening <= stroke + 0.002
        assert 0.0 <= now() - state.time < 0.2


def camera_delivers_new_pictures_with_the_time_of_capture(make: Callable[[], Camera], shape: tuple[int, int]) -> None:
    with make() as camera:
        frames = [camera.read() for _ in range(5)]
        arrived = now()
    assert all(frame.image.shape == (*shape, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert all(a.time < b.time and a.sequence < b.sequence for a, b in pairwise(frames))
    assert arrived - 0.5 < frames[-1].time <= arrived
    assert frames[-1].image.std() > 10.0, "a picture of nothing"


def _last(value: float, joints: int) -> Array:
    """Velocities (joints,) of which only the last is not zero."""
    return np.append(np.zeros(joints - 1), value)


def _wait(true: Callable[[], bool], patience: float = 5.0) -> None:
    deadline = now() + patience
    while not true():
        assert now() < deadline, f"not within {patience:.0f} s"
        time.sleep(0.01)
