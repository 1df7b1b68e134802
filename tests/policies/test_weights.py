import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.weights import HgDagger, Iwr, Sirius, Uniform, class_shares, mixed, step_weights
from robot_stack.interventions import Label
from robot_stack.types import ConfigError

LEARNED = [label for label in Label if label != Label.IDLE]
SHARES = st.dictionaries(st.sampled_from(LEARNED), st.floats(1e-5, 1.0), min_size=1).map(
    lambda drawn: {label: share / sum(drawn.values()) for label, share in drawn.items()}
)


@settings(max_examples=100, deadline=None)
@given(SHARES)
@pytest.mark.parametrize(
    "weighting", [Uniform(), Iwr(), HgDagger(), Sirius()], ids=["uniform", "iwr", "hg_dagger", "sirius"]
)
def test_weights_are_finite_not_negative_and_one_on_average_for_any_class_shares(weighting, shares) -> None:
    weights = weighting(shares)
    assert set(weights) == set(shares)
    assert all(np.isfinite(weight) and weight >= 0.0 for weight in weights.values())
    assert sum(weights[label] * share for label, share in shares.items()) == pytest.approx(1.0)


@settings(max_examples=200, deadline=None)
@given(SHARES, st.floats(1.0, 20.0), st.floats(0.0, 0.6), st.floats(0.0, 0.2), st.floats(0.0, 0.2))
def test_no_sirius_weight_exceeds_its_cap(shares, cap, intervention, before, floor) -> None:
    weights = Sirius(intervention, before, floor, cap)(shares)
    assert max(weights.values()) <= cap * (1.0 + 1e-9)
    assert sum(weights[label] * share for label, share in shares.items()) == pytest.approx(1.0)


@given(st.floats(0.05, 0.4), st.floats(0.1, 0.3), st.floats(0.01, 0.1))
def test_sirius_equals_the_published_rule_where_that_one_is_valid(demonstration, intervention, before) -> None:
    shares = {
        Label.DEMONSTRATION: demonstration,
        Label.INTERVENTION: intervention,
        Label.PRE_INTERVENTION: before,
        Label.ROBOT: 1.0 - demonstration - intervention - before,
    }
    weights = Sirius()(shares)
    assert weights[Label.DEMONSTRATION] == pytest.approx(1.0)
    assert weights[Label.INTERVENTION] == pytest.approx(0.5 / intervention)
    assert weights[Label.PRE_INTERVENTION] == pytest.approx(0.002 / before)
    published = (1.0 - 0.5 - demonstration - 0.002) / shares[Label.ROBOT]
    assert weights[Label.ROBOT] == pytest.approx(published)


def test_sirius_where_the_published_weight_of_the_robot_is_negative() -> None:
    """The shares of a first round: P(demo) 0.60, P(robot) 0.25, P(intervention) 0.12; published: robot -0.41."""
    shares = {Label.DEMONSTRATION: 0.60, Label.ROBOT: 0.25, Label.INTERVENTION: 0.12, Label.PRE_INTERVENTION: 0.03}
    weights = Sirius()(shares)
    assert weights[Label.DEMONSTRATION] == pytest.approx(0.75, abs=0.005)
    assert weights[Label.ROBOT] == pytest.approx(0.20)
    assert weights[Label.INTERVENTION] == pytest.approx(4.17, abs=0.005)
    assert weights[Label.PRE_INTERVENTION] == pytest.approx(0.07, abs=0.005)


def test_iwr_gives_interventions_half_of_the_loss() -> None:
    weights = Iwr()({Label.ROBOT: 0.9, Label.INTERVENTION: 0.1})
    assert weights[Label.INTERVENTION] * 0.1 == pytest.approx(0.5)


def test_hg_dagger_learns_from_people_only() -> None:
    weights = HgDagger()(
        {Label.DEMONSTRATION: 0.3, Label.INTERVENTION: 0.1, Label.ROBOT: 0.5, Label.PRE_INTERVENTION: 0.1}
    )
    assert weights[Label.ROBOT] == weights[Label.PRE_INTERVENTION] == 0.0
    assert weights[Label.DEMONSTRATION] == weights[Label.INTERVENTION] == pytest.approx(2.5)


def test_idle_steps_have_no_weight_and_no_share() -> None:
    tags = np.array([Label.IDLE, Label.ROBOT, Label.IDLE, Label.INTERVENTION, Label.ROBOT], np.uint8)
    assert class_shares(tags) == pytest.approx({Label.ROBOT: 2 / 3, Label.INTERVENTION: 1 / 3})
    weights = step_weights(tags, Sirius())
    assert weights[[0, 2]].tolist() == [0.0, 0.0]
    assert weights[tags != Label.IDLE].mean() == pytest.approx(1.0)


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(ConfigError, match="cap >= 1"):
        Sirius(cap=0.5)


LABELS = st.lists(st.sampled_from(list(Label)), min_size=1, max_size=40).filter(lambda tags: set(tags) != {Label.IDLE})


@settings(max_examples=100, deadline=None)
@given(LABELS, st.integers(0, 1000))
@pytest.mark.parametrize("weighting", [Uniform(), Iwr(), Sirius()], ids=["uniform", "iwr", "sirius"])
def test_quality_moves_weight_within_a_class_and_not_between_them(weighting, labels, seed) -> None:
    tags = np.array(labels, np.uint8)
    quality = np.random.default_rng(seed).uniform(0.05, 1.0, len(tags))
    plain, weights = step_weights(tags, weighting), step_weights(tags, weighting, quality)
    assert (weights >= 0.0).all()
    for label in set(labels):
        inside = tags == label
        assert weights[inside].sum() == pytest.approx(plain[inside].sum())
        ratio = weights[inside] / quality[inside]
        assert np.allclose(ratio, ratio[0])


@settings(max_examples=100, deadline=None)
@given(st.lists(LABELS, min_size=1, max_size=4), st.data())
def test_stores_get_their_shares_whatever_their_sizes_and_classes(stores, data) -> None:
    tags = [np.array(labels, np.uint8) for labels in stores]
    drawn = [data.draw(st.floats(0.01, 1.0)) for _ in tags]
    shares = [share / sum(drawn) for share in drawn]
    weights = mixed([step_weights(of, Sirius()) for of in tags], tags, shares)
    total = sum(of.sum() for of in weights)
    assert [of.sum() / total for of in weights] == pytest.approx(shares)
    assert total == pytest.approx(sum((of != Label.IDLE).sum() for of in tags))


def test_a_store_without_a_step_to_learn_from_cannot_have_a_share() -> None:
    tags = [np.array([Label.ROBOT], np.uint8), np.array([Label.IDLE], np.uint8)]
    with pytest.raises(ConfigError, match="store 2 has no step to learn from"):
        mixed([np.ones(1), np.zeros(1)], tags, [0.5, 0.5])
