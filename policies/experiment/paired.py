"""Differences between two policies that flew from the same start states, with an interval."""

from dataclasses import dataclass

import numpy as np

from robot_stack.types import Array


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def crossed_bootstrap(values: Array, resamples: int = 10_000) -> Interval:
    """The mean of `values` (seeds, states), one of each training seed from each start state.

    Both are drawn anew: other seeds would have made other policies, other states other attempts (a bootstrap of crossed
    random effects: Owen 2007, arXiv:0707.0400, as "pigeonhole"). With few seeds it is somewhat too narrow.
    """
    seeds, states = values.shape
    random = np.random.default_rng(0)
    rows = random.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)  # how often each is drawn (resamples, seeds)
    columns = random.multinomial(states, np.full(states, 1 / states), resamples)
    drawn = ((rows @ values) * columns).sum(axis=1) / values.size
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


def verdict(difference: Interval) -> str:
    """By the rule that was written before the first run: the interval is on one side of zero, or nothing was shown."""
    if difference.low > 0.0:
        return "helps"
    return "hurts" if difference.high < 0.0 else "nothing shown"
