"""TQ and SACo where both can be counted by hand."""

from pathlib import Path

import numpy as np
import pytest

from robot_stack.quality.exploration import coverage_share, trajectory_quality, union, visited
from tests.robot_stack.quality.demonstrators import store_of


def test_quality_lies_between_a_random_and_the_best_policy_and_unknown_verdicts_do_not_count() -> None:
    verdicts = ["success", "success", "success", "failure", "unknown"]
    assert trajectory_quality(verdicts) == 0.75
    assert trajectory_quality(verdicts, random=0.5, best=1.0) == 0.5
    assert trajectory_quality(verdicts, random=0.0, best=0.75) == 1.0
    assert np.isnan(trajectory_quality(["unknown"]))


def test_coverage_counts_cells_of_two_centimetres_and_of_the_gripper(tmp_path: Path) -> None:
    x = np.arange(10) * 0.02 + 0.01  # ten cells; the gripper closes half-way
    line = np.stack([x, np.full(10, 0.01), np.full(10, 0.01)], axis=1)
    first, again, half = store_of(tmp_path / "s", [line, line + 0.002, line[:5]]).episodes
    assert len(visited(first)) == 10
    assert visited(again) == visited(first)
    everything = union(map(visited, (first, again, half)))
    # half as far with the same gripper motion: three cells open as before, two of them closed, which is new
    assert len(everything) == 12
    assert coverage_share(visited(half), everything) == pytest.approx(5 / 12)
    assert np.isnan(coverage_share(frozenset(), frozenset()))


def test_twice_the_same_demonstration_covers_no_more(tmp_path: Path) -> None:
    path = np.random.default_rng(0).uniform(0, 0.2, (50, 3))
    once, twice = store_of(tmp_path / "s", [path, path]).episodes
    assert len(union([visited(once), visited(twice)])) == len(visited(once))
