"""The robot's clock in terms of ours."""

import random

import pytest

from robot_stack.arms.timeline import Timeline

AHEAD = 5000.0  # the robot was switched on so long before us, or so long after [s]


@pytest.mark.parametrize("ahead", [AHEAD, -AHEAD])
def test_jitter_is_not_taken_for_the_time_of_measurement(ahead: float) -> None:
    rng, timeline = random.Random(0), Timeline()
    errors = []
    for k in range(2000):
        measured = 10.0 + 0.002 * k
        arrival = measured + 0.0005 + rng.expovariate(1000.0)
        errors.append(timeline.add(measured + ahead, arrival) - measured)
    assert max(errors[200:]) < 0.001
    assert min(errors) > 0.0


def test_nothing_was_measured_after_it_came_nor_before_what_came_first() -> None:
    rng, timeline, last, arrival = random.Random(1), Timeline(), -1.0, 0.0
    for k in range(2000):
        arrival = max(arrival, 0.002 * k + rng.random() * 0.02)  # one way: no package overtakes another
        time = timeline.add(0.002 * k + AHEAD, arrival)
        assert last <= time <= arrival
        last = time


def test_a_state_that_is_frozen_grows_old() -> None:
    timeline = Timeline()
    measured = timeline.add(AHEAD, 1.0)
    assert [timeline.add(AHEAD, 1.0 + 0.1 * k) for k in range(100)] == [measured] * 100


def test_a_stream_that_falls_behind_shows_its_age() -> None:
    timeline = Timeline()
    for k in range(100):
        timeline.add(AHEAD + 0.01 * k, 0.01 * k)
    for k in range(100, 1100):
        age = 0.3 + 0.01 * k - timeline.add(AHEAD + 0.01 * k, 0.3 + 0.01 * k)
        assert age > 0.28


def test_the_drift_of_the_clocks_is_followed() -> None:
    timeline = Timeline()
    for k in range(100_000):
        arrival = 0.01 * k
        age = arrival - timeline.add(arrival * (1.0 - 1e-4), arrival)
    assert 0.0 <= age < 1e-3


def test_a_robot_that_was_restarted_begins_anew() -> None:
    timeline = Timeline()
    before = timeline.add(AHEAD, 1.0)
    assert before < timeline.add(0.5, 20.0) <= 20.0
    assert 20.0 < timeline.add(0.6, 20.1) <= 20.1
