"""How far a measured mean can be trusted."""

from collections.abc import Sequence

import numpy as np

Z95 = 1.959964
"""95 % of a normal distribution lie within this many standard deviations."""


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a success rate (Wilson 1927); honest for few trials and for rates near 0 and 1."""
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = successes / trials, Z95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 * np.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def bootstrap_mean(values: Sequence[float], resamples: int = 10_000) -> tuple[float, float]:
    """95 % interval of a mean, by resampling with a fixed seed."""
    drawn = np.random.default_rng(0).choice(np.asarray(values, float), (resamples, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), (0.025, 0.975))
    return float(low), float(high)
