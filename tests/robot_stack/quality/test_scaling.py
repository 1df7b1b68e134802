"""Scaling curves on losses whose law is known."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from robot_stack.quality.scaling import DRAWS, HELD_OUT, LESS, SIZES, Promise, Scaling, extrapolate, scaling
from robot_stack.types import Array, ConfigError

N = np.array([5, 10, 20, 40, 80, 160])
NOW = 200


def drawn(law: Callable[[Array], Array], seed: int, noise: float = 0.05) -> Scaling:
    """The curves through losses of a law with noise in proportion."""
    rng = np.random.default_rng(seed)
    return extrapolate(NOW, N, law(N.astype(float))[:, None] * np.exp(rng.normal(0, noise, (len(N), 10))), seed)


def promise(found: Scaling, curve: str) -> Promise:
    return next(p for p in found.promises if p.curve == curve)


def test_a_true_power_law_is_within_its_intervals_in_nine_of_ten_draws() -> None:
    # Rule, before: of 50 draws the exponent, the loss at twice the number and the number promised for a tenth less are
    # within their 95 % intervals in at least 45 each, and the power law is plausible in at least 45.
    doubled = 2.0 * (2 * NOW) ** -0.4
    more = NOW * ((1 - LESS) ** (-1 / 0.4) - 1)
    inside = np.zeros(4, int)
    for seed in range(50):
        found = drawn(lambda n: 2.0 * n**-0.4, seed)
        p = promise(found, "power law")
        assert p.exponent_interval is not None
        inside += [
            p.exponent_interval[0] <= 0.4 <= p.exponent_interval[1],
            p.doubled_interval[0] <= doubled <= p.doubled_interval[1],
            p.more_interval[0] <= more + 1 and more <= p.more_interval[1],
            p in found.plausible,
        ]
    assert inside.min() >= 45


@pytest.mark.parametrize(
    ("curve", "law"),
    [
        ("power law with floor", lambda n: 0.3 + 1.5 * n**-0.6),
        ("exponential", lambda n: 0.1 + np.exp(-n / 30)),
        ("logarithm", lambda n: 1.0 - 0.12 * np.log(n)),
        ("constant", lambda n: np.full_like(n, 0.5)),
    ],
)
def test_a_rival_that_is_true_is_found_and_a_power_law_is_not_claimed(
    curve: str, law: Callable[[Array], Array]
) -> None:
    # Rule, before: in 10 draws the true curve is plausible in at least 8, the plain power law in at most 3.
    found = [drawn(law, seed) for seed in range(10)]
    assert sum(promise(one, curve) in one.plausible for one in found) >= 8
    assert sum(promise(one, "power law") in one.plausible for one in found) <= 3


def test_without_noise_numbers_are_exact() -> None:
    found = drawn(lambda n: 2.0 * n**-0.5, 0, noise=1e-3)
    law = promise(found, "power law")
    assert law in found.plausible
    assert law.exponent == pytest.approx(0.5, rel=0.01)
    assert law.doubled == pytest.approx(2.0 * (2 * NOW) ** -0.5, rel=0.01)
    assert law.more == pytest.approx(NOW * ((1 - LESS) ** -2 - 1), rel=0.05)


def test_what_has_reached_its_floor_is_promised_never() -> None:
    found = drawn(lambda n: np.full_like(n, 0.5), 0)
    assert promise(found, "constant").more == float("inf")
    assert promise(found, "constant").doubled == pytest.approx(0.5, rel=0.02)


def test_losses_that_rise_do_not_promise_that_they_fall() -> None:
    found = drawn(lambda n: 0.2 * n**0.3, 0)
    assert found.promises[0].curve == "constant"
    assert all(p.doubled >= 0.2 for p in found.promises if p.aicc < 10)


def test_subsets_grow_to_what_is_not_held_out_and_share_nothing_with_it() -> None:
    seen: list[int] = []

    def score(train: Sequence[int], held_out: Sequence[int]) -> float:
        assert not set(train) & set(held_out)
        assert len(set(train)) == len(train)
        assert len(held_out) == HELD_OUT * 100
        seen.append(len(train))
        return 1.0 / len(train)

    done: list[int] = []
    found = scaling(list(range(100)), score, progress=done.append)
    assert found.sizes[-1] == 80
    assert found.demonstrations == 100
    assert sorted(set(seen)) == found.sizes
    assert done == list(range(1, SIZES * DRAWS + 1))
    assert found.promises[0].exponent == pytest.approx(1.0, rel=0.01)


def test_few_demonstrations_are_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="at least 20 demonstrations, there are 19; record more"):
        scaling(list(range(19)), lambda train, held_out: 1.0)
