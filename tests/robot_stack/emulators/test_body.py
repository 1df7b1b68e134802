"""The machine behind the controllers: it follows, is pushed, is blocked, and is seen."""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from robot_stack.bus import SharedBus
from robot_stack.emulators.body import Body, session
from robot_stack.sim import station, topics, wire

RATE = 500.0


@pytest.fixture
def body() -> Iterator[Body]:
    body = Body("ur5e", "lift", f"test-{os.getpid()}", RATE)
    yield body
    body.close()


def hold(body: Body, q: np.ndarray, cycles: int) -> None:
    for _ in range(cycles):
        body.follow(q, np.zeros(6))
        body.step()


def test_the_arm_keeps_up_with_a_motion_whose_speed_is_told(body: Body) -> None:
    start = body.arm.q.copy()
    for k in range(300):
        goal = start + 0.5 * k / RATE
        body.follow(goal, np.full(6, 0.5))
        state = body.step()
    assert np.abs(state.q - goal).max() < 2e-3
    assert state.dq == pytest.approx(0.5, abs=0.01)


def test_a_push_is_measured_at_the_tool_and_hardly_moves_an_arm_that_is_held(body: Body) -> None:
    start = body.arm.q.copy()
    body.push([10.0, -20.0, 5.0, 0.0, 0.0, 1.0], 60.0)
    hold(body, start, 200)
    assert body.arm.wrench == pytest.approx([10.0, -20.0, 5.0, 0.0, 0.0, 1.0], abs=0.1)
    assert np.abs(body.arm.q - start).max() < 2e-3
    body.push([0.0, 0.0, 0.0], 0.0)
    hold(body, start, 200)
    assert np.abs(body.arm.wrench).max() < 0.1


def test_a_blocked_tool_stays_and_the_wrench_rises(body: Body) -> None:
    start, place = body.arm.q.copy(), body.arm.base_from_tcp[:3].copy()
    body.block(True)
    for k in range(200):
        body.follow(start + np.array([0.02, 0, 0, 0, 0, 0]) * k / 200, np.zeros(6))
        body.step()
    assert np.linalg.norm(body.arm.base_from_tcp[:3] - place) < 5e-3
    assert np.linalg.norm(body.arm.wrench[:3]) > 30.0
    body.block(False)
    hold(body, body.arm.q.copy(), 100)
    assert np.linalg.norm(body.arm.wrench[:3]) < 1.0


def test_torques_move_the_arm_and_without_any_it_floats(body: Body) -> None:
    start = body.arm.q.copy()
    for _ in range(100):
        body.drive(np.zeros(6))
        body.step()
    assert np.abs(body.arm.q - start).max() < 1e-3
    for _ in range(100):
        body.drive(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
        body.step()
    assert body.arm.q[5] - start[5] > 0.01
    hold(body, start, 500)
    assert np.abs(body.arm.q - start).max() < 2e-3


def test_others_see_the_scene_on_the_bus_that_the_address_names(body: Body) -> None:
    with SharedBus(session("ur5e", f"test-{os.getpid()}")) as bus:
        states = bus.subscriber(topics.state(6))
        scenes = bus.subscriber(topics.scene(body.world.scene.size))
        worlds = bus.subscriber(station("ur5e", "lift").world)
        hold(body, body.arm.q.copy(), 50)
        assert wire.first(states, "the arm")["q"] == pytest.approx(body.arm.q, abs=1e-6)
        assert wire.first(scenes, "the scene")["scene"] == pytest.approx(body.world.scene, abs=1e-3)
        assert wire.first(worlds, "the world")["objects.cube"] == pytest.approx(body.world.objects()["cube"], abs=1e-3)
