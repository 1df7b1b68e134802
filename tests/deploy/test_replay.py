"""The script of a replay, on a clock of its own."""

import numpy as np
import pytest

from deploy.replay import APPROACH, SHORTEST_APPROACH, Script
from robot_stack.spec import Record
from robot_stack.station import Station
from robot_stack.trajectory import sample
from robot_stack.types import Array, Source

STATION = Station("test", 6)
ROWS = 200
TIMES = 50.0 + np.arange(ROWS) / 10
Q = np.linspace(0.0, 2.0, ROWS)[:, None] * np.ones(6)
GRIP = np.linspace(0.08, 0.0, ROWS)


def fly(script: Script, start: float, seconds: float, here: Array) -> list[tuple[float, Array, float]]:
    """Follow the newest chunk, made ten times a second, perfectly: (time, joints, grip) at 100 Hz."""
    flown = []
    chunk: Record | None = None
    for k in range(round(seconds * 100)):
        now = start + k / 100
        if k % 10 == 0:
            chunk = script.chunk(now, STATION, here)
            assert chunk["source"] == Source.SCRIPT
        assert chunk is not None
        target = sample(chunk, now)
        if target is not None:
            here = target.q
            flown.append((now, target.q, target.grip))
    return flown


def test_script_flies_the_episode_at_its_own_speed() -> None:
    flown = fly(Script(TIMES, Q, GRIP), 100.0, 19.0, Q[0])
    for now, q, grip in flown:
        row = (now - 100.0 - SHORTEST_APPROACH) * 10
        np.testing.assert_allclose(q, np.interp(row, np.arange(ROWS), Q[:, 0]), atol=1e-9)
        assert grip == pytest.approx(np.interp(row, np.arange(ROWS), GRIP))


def test_way_to_the_beginning_is_slow_and_straight() -> None:
    here = Q[0] - 0.6
    flown = fly(Script(TIMES, Q, GRIP), 0.0, 3.0, here)
    joints = np.array([q[0] for _, q, _ in flown])
    assert np.abs(np.diff(joints)).max() <= APPROACH / 100 + 1e-9
    at = 0.6 / APPROACH
    assert next(now for now, q, _ in flown if q[0] >= -1e-9) == pytest.approx(at, abs=0.011)


def test_script_ends_with_nothing_to_fly() -> None:
    flown = fly(Script(TIMES, Q, GRIP), 0.0, 25.0, Q[0])
    np.testing.assert_allclose(flown[-1][1], Q[-1])
    assert flown[-1][0] < 20.5


def test_script_waits_while_the_operator_flies_and_goes_on_from_where_the_arm_is_now() -> None:
    script = Script(TIMES, Q, GRIP)
    before = fly(script, 0.0, 5.0, Q[0])
    script.pause(5.0)
    script.pause(9.0)
    moved = before[-1][1] + 0.3
    after = fly(script, 9.0, 4.0, moved)
    np.testing.assert_allclose(after[0][1], moved)
    joints = np.array([q[0] for _, q, _ in after])
    assert np.abs(np.diff(joints)).max() <= APPROACH / 100 + 1e-9
    resumed = next(now for now, q, _ in after if np.allclose(q, before[-1][1], atol=0.02))
    assert resumed == pytest.approx(9.0 + 1.0, abs=0.15)


def test_rewound_script_begins_again() -> None:
    script = Script(TIMES, Q, GRIP)
    fly(script, 0.0, 8.0, Q[0])
    script.rewind()
    np.testing.assert_allclose(fly(script, 20.0, 1.0, Q[0])[0][1], Q[0])
