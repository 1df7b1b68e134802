"""Action variance and state similarity on demonstrators whose noise and density are known."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from robot_stack.quality.consistency import consistency
from robot_stack.quality.demonstrations import Demonstration, normalized
from tests.robot_stack.quality.demonstrators import demonstrated, follow


def test_action_variance_and_deviation_are_the_variance_of_the_noise_for_any_number_of_neighbours() -> None:
    rng = np.random.default_rng(0)
    demonstrations = [
        demonstrated(rng.uniform(-1, 1, (200, 2)), rng.normal(0, [0.3, 0.1], (200, 2))) for _ in range(30)
    ]
    found = consistency(demonstrations, neighbours=(3, 10, 30))
    for values in (*found.action_variance.values(), *found.deviation.values()):
        assert values.mean() == pytest.approx((0.3**2 + 0.1**2) / 2, rel=0.03)


def test_state_similarity_on_a_line_is_the_length_within_the_radius() -> None:
    # of states even on 0..1, the share within r of a state is 2r, less at the ends: 2r - r^2 on average
    rng = np.random.default_rng(0)
    demonstrations = [demonstrated(rng.uniform(0, 1, (400, 1))) for _ in range(10)]
    found = consistency(demonstrations, radii=(0.05, 0.2), excluded=0.0).state_similarity
    assert found[0.05].mean() == pytest.approx(2 * 0.05 - 0.05**2, rel=0.03)
    assert found[0.2].mean() == pytest.approx(2 * 0.2 - 0.2**2, rel=0.03)


def test_noise_recorded_in_actions_raises_action_variance_level_by_level() -> None:
    levels = (0.0, 0.05, 0.1, 0.2)
    found = []
    for noise in levels:
        rng = np.random.default_rng(1)
        demonstrations = [follow(rng, 100, noise) for _ in range(20)]
        found.append(consistency(demonstrations).action_variance[10].mean())
    assert np.all(np.diff(found) > 0)
    assert np.subtract(found, found[0]) == pytest.approx(np.square(levels), abs=0.002)


def test_the_noisy_one_among_consistent_ones_stands_out() -> None:
    rng = np.random.default_rng(2)
    demonstrations = normalized([follow(rng, 100, 0.5 if number == 7 else 0.02) for number in range(20)])
    found = consistency(demonstrations)
    ratios = [values[10][7] / np.median(values[10]) for values in (found.deviation, found.action_variance)]
    assert ratios[0] > 10.0
    assert ratios[1] < 2.0  # all visit the same states: the variance there is everybody's


def test_slow_motion_does_not_pass_for_consistency() -> None:
    # Demonstrators each have a way and an answer of their own. Where they move slowly the nearest rows are their own,
    # and then those of one neighbour: the plain formula calls that consistent. Rule, before: slow is as inconsistent
    # as fast within a fifth, and the plain formula finds less than half of it (else this would test nothing).
    def demonstrations(rows: int) -> list[Demonstration]:
        rng = np.random.default_rng(3)
        paths = [np.linspace([0, y], [1, y], rows) for y in rng.normal(0, 0.5, 30)]
        return [demonstrated(path, np.full((rows, 1), rng.normal())) for path in paths]

    fast, slow = (np.nanmean(consistency(demonstrations(rows)).action_variance[10]) for rows in (20, 60))
    assert slow == pytest.approx(fast, rel=0.2)
    states, actions = (np.concatenate([getattr(d, name) for d in demonstrations(60)]) for name in ("states", "actions"))
    plain = actions[cKDTree(states).query(states, 10)[1]].var(axis=1, ddof=1).mean()
    assert plain < 0.5 * fast


def test_rows_of_the_same_moment_are_not_counted_as_similar_states() -> None:
    alone = demonstrated(np.zeros((8, 1)))
    other = demonstrated(np.full((8, 1), 9.0))
    found = consistency([alone, other], (2,), (0.5,), excluded=1.0).state_similarity[0.5]
    assert found.tolist() == [0.0, 0.0]


def test_what_has_too_few_neighbours_has_no_figure() -> None:
    found = consistency([demonstrated(np.zeros((8, 1)))], (10,), excluded=1.0)
    assert np.isnan(found.action_variance[10]).all()
