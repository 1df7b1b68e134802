"""The figures of a summary are those of motions whose figures are known."""

from pathlib import Path

import numpy as np
import pytest

from robot_stack.quality.motion import turns
from robot_stack.quality.summary import clark_evans, coverage, log_dimensionless_jerk, summarize
from robot_stack.spec import Field, Spec
from robot_stack.store import Store

SPEC = Spec([Field("time", unit="s"), Field("pose", (7,), unit="m,1"), Field("source", dtype="u1")])


def minimum_jerk(rows: int) -> np.ndarray:
    """Flash and Hogan's straight reach of one metre (rows, 3)."""
    s = np.linspace(0, 1, rows)
    return np.stack([10 * s**3 - 15 * s**4 + 6 * s**5, 0 * s, 0 * s], axis=1)


def store_of(path: Path, *paths: np.ndarray) -> Store:
    with Store.create(path, SPEC, {"name": "cell", "rate": 10.0}) as store:
        for positions in paths:
            writer = store.writer({"kind": "collect"})
            for step, position in enumerate(positions):
                row = SPEC.record(time=step / 10)
                row["pose"][:3] = position
                writer.append(row)
            writer.commit("success")
    return store


def test_a_straight_reach_of_a_metre_is_a_metre_long(tmp_path: Path) -> None:
    paused = np.concatenate([minimum_jerk(20), np.tile([1.0, 0, 0], (20, 1))])
    store = store_of(tmp_path / "s", minimum_jerk(40), paused)
    reach, with_pause = (summarize(episode) for episode in store.episodes)
    assert reach.duration == with_pause.duration == 4.0
    assert reach.path_length == pytest.approx(1.0)
    assert reach.idle < 0.2
    assert with_pause.idle > 0.5


def test_the_jerk_of_a_minimum_jerk_reach_is_the_one_of_theory() -> None:
    # integral of jerk^2 over a unit reach in unit time: 720; peak speed 1.875
    assert log_dimensionless_jerk(minimum_jerk(2000), 100.0) == pytest.approx(-np.log(720 / 1.875**2), abs=0.01)


def test_jerk_does_not_depend_on_size_and_duration_but_on_shake() -> None:
    smooth = log_dimensionless_jerk(minimum_jerk(100), 10.0)
    assert log_dimensionless_jerk(7 * minimum_jerk(100), 25.0) == pytest.approx(smooth)
    shaken = minimum_jerk(100) + np.random.default_rng(0).normal(0, 1e-3, (100, 3))
    assert log_dimensionless_jerk(shaken, 10.0) < smooth - 2


def test_what_does_not_move_has_no_jerk_and_is_idle(tmp_path: Path) -> None:
    still = summarize(store_of(tmp_path / "s", np.zeros((10, 3))).episodes[0])
    assert np.isnan(still.jerk)
    assert still.idle == 1.0
    assert still.path_length == 0.0


def test_even_random_starts_have_index_one_and_clustered_ones_less() -> None:
    rng = np.random.default_rng(0)
    assert clark_evans(rng.random((800, 2))) == pytest.approx(1.0, abs=0.1)
    corners = rng.integers(0, 2, (200, 2)) + rng.normal(0, 1e-3, (200, 2))
    assert clark_evans(corners) < 0.1
    assert clark_evans(np.ones((5, 2))) == 0.0


def test_coverage_is_that_of_the_first_rows(tmp_path: Path) -> None:
    starts = [np.array([[x, y, 0.0], [9.0, 9.0, 9.0]]) for x, y in [(0, 0), (1, 0), (0, 2), (1, 2)]]
    store = store_of(tmp_path / "s", *starts)
    found = coverage(store.episodes)
    assert found is not None
    assert found.extent == (1.0, 2.0)
    assert found.index == pytest.approx(1.0 / (0.5 * np.sqrt(2 / 4)))
    assert coverage(store.episodes[:1]) is None


def test_what_turns_on_the_spot_does_not_stand_still_and_a_rotation_that_is_not_known_does_not_turn() -> None:
    half = np.linspace(0, 0.4, 5)
    turning = np.stack([0 * half, 0 * half, np.sin(half), np.cos(half)], axis=1).astype(np.float32)
    turning[3] *= -1.0  # q and -q are one rotation
    assert turns(turning) == pytest.approx([0.0, 0.2, 0.2, 0.2, 0.2], abs=1e-6)
    assert turns(np.repeat(turning[1:2], 4, axis=0)).max() < 1e-7
    assert turns(np.zeros((4, 4))).tolist() == [0.0] * 4
