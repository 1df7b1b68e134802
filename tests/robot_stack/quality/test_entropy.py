"""Behaviour entropy against its closed form, its bias, and ways that are drawn."""

from pathlib import Path

import numpy as np
import pytest

from robot_stack.quality.entropy import behaviour_entropy, conditional_entropy, side
from tests.robot_stack.quality.demonstrators import store_of


def test_one_way_is_zero_all_ways_alike_is_one() -> None:
    assert behaviour_entropy(["left"] * 50, 2) == 0.0
    assert behaviour_entropy(["left", "right"] * 50, 2) == 1.0
    assert behaviour_entropy([0, 1, 2, 3] * 200, 16) == pytest.approx(0.5, abs=0.002)
    assert np.isnan(behaviour_entropy([None], 2))


def test_the_correction_takes_most_of_the_bias_of_few_episodes() -> None:
    # Over 2000 sets of 20 episodes in 8 skewed ways. Not all of it: rare ways that are never seen are not counted.
    rng = np.random.default_rng(0)
    p = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.06, 0.05, 0.04])
    truth = float(-(p * np.log(p)).sum() / np.log(8))
    sets = rng.choice(8, (2000, 20), p=p)
    corrected = np.mean([behaviour_entropy(ways.tolist(), 8) for ways in sets])
    shares = np.array([np.bincount(ways, minlength=8) / 20 for ways in sets])
    plain = np.mean(-(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1) / np.log(8))
    assert truth - plain > 0.05
    assert abs(truth - corrected) < 0.5 * (truth - plain)


def test_entropy_given_the_start_is_the_mean_over_starts() -> None:
    ways = {"near": ["left"] * 40, "far": ["left", "right"] * 20, "never done": []}
    assert conditional_entropy(ways, 2) == pytest.approx(0.5, abs=0.02)


def test_the_side_is_the_one_past_which_the_path_goes(tmp_path: Path) -> None:
    s = np.linspace(0, 1, 30)
    arch = np.stack([s, 0.5 * np.sin(np.pi * s), 0 * s], axis=1)
    turn = np.array([[np.cos(2), -np.sin(2), 0], [np.sin(2), np.cos(2), 0], [0, 0, 1]])
    loop = np.stack([np.cos(2 * np.pi * s), np.sin(2 * np.pi * s), 0 * s], axis=1)
    paths = [arch, arch * [1, -1, 1], arch @ turn.T, arch * [1, 0.01, 1], loop]
    found = [side(episode) for episode in store_of(tmp_path / "s", paths).episodes]
    assert found == ["left", "right", "left", "straight", None]
