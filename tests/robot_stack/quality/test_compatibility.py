"""Compatibility by a stub with a closed form, then by the ensemble that numpy can do."""

import numpy as np
import pytest

from robot_stack.quality.compatibility import Thresholds, compatibility, thresholds, with_base
from robot_stack.types import Array
from tests.robot_stack.quality.demonstrators import demonstrated, follow


class Two:
    """Two members that answer each state with itself, give or take an eighth of the state's second column."""

    def predict(self, states: Array) -> Array:
        return np.stack([states[:, :1] + states[:, 1:] / 8, states[:, :1] - states[:, 1:] / 8])


def test_measures_are_those_of_the_formula() -> None:
    states = np.array([[0.0, 0.8], [1.0, 0.8], [1.0, 1.6]])
    found = compatibility(Two(), demonstrated(states, np.array([[0.3], [1.0], [9.0]])), Thresholds(0.2, 0.15))
    assert found.novelty == pytest.approx([0.1, 0.1, 0.2])  # members are d off to both sides: the deviation is d
    assert found.unlikeness == pytest.approx([0.3**2 + 0.1**2, 0.1**2, 8.0**2 + 0.2**2])
    assert found.rows == pytest.approx([1 - 0.1 / 0.2, 1 - 0.01 / 0.2, 1.0])  # the third is new: all goes
    assert found.bad.tolist() == [False, False, False]
    assert found.score == pytest.approx(found.rows.mean())


def test_a_row_is_bad_when_its_state_is_known_and_its_action_is_not() -> None:
    states = np.array([[0.0, 0.8], [0.0, 1.6]])
    found = compatibility(Two(), demonstrated(states, np.array([[2.0], [2.0]])), Thresholds(0.2, 0.15))
    assert found.bad.tolist() == [True, False]
    assert found.rows.tolist() == [0.0, 1.0]


def test_thresholds_are_quantiles_over_all_unseen_rows() -> None:
    states = np.stack([np.zeros(101), np.linspace(0, 0.8, 101)], axis=1)
    found = thresholds(Two(), [demonstrated(states[:60], states[:60, :1]), demonstrated(states[60:], states[60:, :1])])
    assert found.new == pytest.approx(0.95 * 0.1)
    assert found.unlikely == pytest.approx((0.95 * 0.1) ** 2)


def test_another_strategy_is_told_from_the_base_and_so_is_the_same_with_more_noise() -> None:
    # Rules, before: AUROC of base against another strategy at least 0.8; at most a tenth of the base's own rows bad.
    # That noise is called incompatible too is no rule but a limit of the measure, held here so that it is known.
    rng = np.random.default_rng(0)
    base, again = ([follow(rng, 80, 0.1) for _ in range(30)] for _ in range(2))
    other = [follow(rng, 80, 0.1, gain=1.0) for _ in range(30)]
    own, theirs = with_base(base, again), with_base(base, other)
    noisy = with_base(base, [follow(rng, 80, 0.2) for _ in range(30)])
    wins = np.mean([mine.score > yours.score for mine in own for yours in theirs])
    assert wins >= 0.8
    assert np.mean([found.bad.mean() for found in own]) < 0.1
    assert np.mean([found.bad.mean() for found in theirs]) > 0.8
    assert 0.2 < np.mean([found.bad.mean() for found in noisy]) < 0.7


def test_where_the_base_never_was_everything_goes() -> None:
    rng = np.random.default_rng(1)
    base = [follow(rng, 80, 0.05) for _ in range(30)]
    far = demonstrated(rng.uniform(-1, 1, (80, 2)) + 8.0, rng.normal(0, 1, (80, 2)))
    (found,) = with_base(base, [far])
    assert found.score > 0.95
    assert not found.bad.any()
