"""Meta-World as a rollout: what its rows and chunks are, and that its experts solve what is measured."""

import numpy as np
import pytest

from robot_stack.sim.metaworld import ACTION, MetaWorld
from robot_stack.spec import Record
from robot_stack.types import Array, ConfigError, Source

TASKS = ("assembly-v3", "peg-insert-side-v3", "pick-place-v3")


def chunk(world: MetaWorld, *actions: Array) -> Record:
    record = world.station.chunk.spec.record(time=world.time, observed=world.time, count=len(actions))
    record["times"][: len(actions)] = world.time + np.arange(len(actions)) / world.rate
    record["action"][: len(actions)] = actions
    return record


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_solves_the_task(task: str) -> None:
    world = MetaWorld(task, 200)
    solved = 0
    for seed in range(5):
        world.reset(seed)
        while not world.done:
            world.fly(world.advice(), Source.OPERATOR)
        solved += world.success
    assert solved >= 4


def test_the_expert_takes_over_from_whoever_closed_the_fingers_on_nothing() -> None:
    world = MetaWorld("pick-place-v3", 200)
    while not world.done:
        closing = world.time < 0.3
        world.fly(np.array([0.0, 0.0, 0.0, 1.0]) if closing else world.advice(), Source.OPERATOR)
    assert world.success


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_is_the_same_start_and_another_one_is_not(task: str) -> None:
    world, other = MetaWorld(task, 200), MetaWorld(task, 200)
    other.fly(np.ones(ACTION), Source.SCRIPT)
    for game in (world, other):
        game.reset(7)
    assert np.array_equal(world.observe(1)[0], other.observe(1)[0])
    other.reset(8)
    assert not np.array_equal(world.observe(1)[0]["goal"], other.observe(1)[0]["goal"])


def test_the_goal_is_seen_at_every_step() -> None:
    world = MetaWorld("pick-place-v3", 200)
    rows = [world.observe(1)[0], world.advance(None), world.advance(None)]
    assert all(np.abs(row["goal"]).max() > 0.01 for row in rows)
    assert np.array_equal(rows[0]["goal"], rows[2]["goal"])


def test_each_row_says_what_was_asked_in_it_and_by_whom() -> None:
    world = MetaWorld("pick-place-v3", 200)
    plan = chunk(world, np.full(ACTION, 0.1), np.full(ACTION, 0.2))
    for _ in range(3):
        world.advance(plan)
    world.advance(None)
    rows = world.observe(5)[:4]
    assert [row["requested.action"][0] for row in rows] == [0.1, 0.2, 0.2, 0.0]
    assert [row["source"] for row in rows] == [Source.POLICY] * 3 + [Source.NOBODY]
    assert [float(row["time"]) for row in rows] == pytest.approx([0.0, 0.0125, 0.025, 0.0375])


def test_the_hand_goes_where_the_action_points() -> None:
    world = MetaWorld("pick-place-v3", 200)
    before = world.observe(1)[0]["hand"].copy()
    for _ in range(10):
        world.fly(np.array([0.0, 0.0, 1.0, 0.0]), Source.SCRIPT)
    moved = world.observe(1)[0]["hand"] - before
    assert moved[2] > 0.02
    assert np.abs(moved[:2]).max() < 0.01


def test_an_attempt_ends_in_time() -> None:
    world = MetaWorld("pick-place-v3", 3)
    for _ in range(3):
        assert not world.done
        world.advance(None)
    assert world.done
    assert (world.success, world.score) == (False, 0.0)


def test_a_task_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no task 'assembly'; there are: .*assembly-v3"):
        MetaWorld("assembly", 200)


def test_a_camera_is_refused() -> None:
    with pytest.raises(ConfigError, match="no camera"):
        MetaWorld("pick-place-v3", 200, {"top": (96, 96)})
