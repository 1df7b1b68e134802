"""Filters against chance: one that helps, one that does nothing, one that harms."""

import numpy as np
import pytest

from robot_stack.quality.consistency import consistency
from robot_stack.quality.demonstrations import Demonstration, normalized
from robot_stack.quality.filters import compare_filter
from robot_stack.quality.heldout import action_error
from tests.robot_stack.quality.demonstrators import demonstrated, follow


def one_in_five_is_noise(seed: int) -> list[Demonstration]:
    rng = np.random.default_rng(seed)
    return normalized([follow(rng, 40, 1.5 if number % 5 == 0 else 0.05) for number in range(50)])


def test_dropping_by_action_variance_helps_where_some_act_at_random() -> None:
    demonstrations = one_in_five_is_noise(0)
    badness = consistency(demonstrations).deviation[10]
    found = compare_filter(demonstrations, badness.tolist(), action_error)
    assert found.helps
    assert not found.harms
    assert found.kept < found.random
    assert found.difference == pytest.approx(found.kept - found.random)


def test_a_figure_that_means_nothing_makes_no_difference() -> None:
    # Rule, before: in 20 sets an empty figure is said to help or harm at most twice.
    claims = 0
    for seed in range(20):
        badness = np.random.default_rng(seed + 100).random(50)
        found = compare_filter(one_in_five_is_noise(seed), badness.tolist(), action_error, repeats=10)
        claims += found.helps or found.harms
    assert claims <= 2


def test_dropping_the_consistent_ones_harms() -> None:
    demonstrations = one_in_five_is_noise(1)
    badness = -consistency(demonstrations).deviation[10]
    assert compare_filter(demonstrations, badness.tolist(), action_error).harms


def test_a_way_that_is_rare_but_right_is_not_thrown_away_for_free() -> None:
    # A fifth works in another corner: rare, so the figure calls it bad, but nobody else shows what to do there.
    rng = np.random.default_rng(2)
    rare = [number % 5 == 0 for number in range(50)]
    corners = [rng.uniform(-1, 1, (40, 2)) + (4.0 if is_rare else 0.0) for is_rare in rare]
    demonstrations = normalized([demonstrated(states, -states + 3 * np.sin(states)) for states in corners])
    badness = 1.0 - consistency(demonstrations).state_similarity[0.25]
    assert compare_filter(demonstrations, badness.tolist(), action_error, keep=0.7).harms


def test_all_arms_are_scored_on_the_same_and_unknown_figures_are_kept() -> None:
    arms: list[tuple[list[int], list[int]]] = []

    def score(train: list[int], held_out: list[int]) -> float:
        arms.append((list(train), list(held_out)))
        return 1.0

    badness = [float("nan")] * 3 + [float(number) for number in range(17)]
    compare_filter(list(range(20)), badness, score, keep=0.5, repeats=4)
    for kept, random, everything in zip(arms[::3], arms[1::3], arms[2::3], strict=True):
        assert kept[1] == random[1] == everything[1]
        assert len(kept[0]) == len(random[0]) == 8
        assert len(everything[0]) == 16
        assert set(everything[0]) & {0, 1, 2} <= set(kept[0])
        assert max(kept[0]) < min(set(everything[0]) - set(kept[0]))


def test_the_held_out_error_is_nothing_for_a_function_and_one_for_noise() -> None:
    rng = np.random.default_rng(3)
    lawful = normalized([follow(rng, 400) for _ in range(20)])
    random = normalized([demonstrated(rng.uniform(-1, 1, (400, 2)), rng.normal(0, 1, (400, 1))) for _ in range(20)])
    assert action_error(lawful[:15], lawful[15:]) < 0.01
    # of noise, the mean of five neighbours is a fifth of the variance more wrong than the mean of all
    assert action_error(random[:15], random[15:]) == pytest.approx(1.2, abs=0.05)
