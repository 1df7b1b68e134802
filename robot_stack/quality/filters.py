"""Whether it helps to leave out the demonstrations that a figure calls bad: compared with leaving out any.

Fewer demonstrations are worse, and a filter that drops some is to be compared with chance dropping as many. Each
repeat holds out a share, whatever its figures, and scores on it what was learned from the best of the rest, from as
many of the rest at random, and from all of the rest. The held-out share has bad demonstrations in it too: a filter gets
no credit for not predicting them, and a filter that drops a rare but good way pays for it. Figures that compare an
episode with the others have seen the held-out ones too: what they gain by that is not there for new demonstrations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from robot_stack.quality.scaling import HELD_OUT, Interval
from robot_stack.types import Array

KEEP = 0.8
REPEATS = 20
_REPLICAS = 2000


@dataclass(frozen=True)
class Comparison:
    """Mean losses with the best kept, with as many at random, with all; kept - random with its 95 % interval."""

    kept: float
    random: float
    everything: float
    difference: float
    interval: Interval

    @property
    def helps(self) -> bool:
        """Whether keeping the best is better than keeping any, beyond chance."""
        return self.interval[1] < 0.0

    @property
    def harms(self) -> bool:
        """Whether keeping the best is worse than keeping any, beyond chance."""
        return self.interval[0] > 0.0


def compare_filter[T](
    items: Sequence[T],
    badness: Sequence[float],
    score: Callable[[Sequence[T], Sequence[T]], float],
    keep: float = KEEP,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Comparison:
    """Keep the share of items with the least badness (those of which it is not known first), or as many at random.

    The interval is a bootstrap over repeats, widened because they are few, and because they share items: their variance
    counts as 1/repeats + held-out/rest instead of 1/repeats (Nadeau and Bengio, Machine Learning 52, 2003).
    """
    rng = np.random.default_rng(seed)
    order = np.nan_to_num(np.asarray(badness, np.float64), nan=-np.inf, neginf=-np.inf, posinf=np.inf)
    held = max(1, round(HELD_OUT * len(items)))
    count = max(1, round(keep * (len(items) - held)))
    losses = np.empty((repeats, 3))
    for repeat in range(repeats):
        shuffled = rng.permutation(len(items))
        rest = shuffled[held:]
        best = rest[np.argsort(order[rest], kind="stable")[:count]]
        held_out = [items[i] for i in shuffled[:held]]
        losses[repeat] = [score([items[i] for i in some], held_out) for some in (best, rest[:count], rest)]
    kept, random, everything = (float(loss) for loss in losses.mean(axis=0))
    interval = _interval(losses[:, 0] - losses[:, 1], held / (len(items) - held), rng)
    return Comparison(kept, random, everything, kept - random, interval)


def _interval(differences: Array, shared: float, rng: np.random.Generator) -> Interval:
    """95 % interval of the mean of differences (repeats,), of repeats that share items."""
    centre = differences.mean()
    means = rng.choice(differences, (_REPLICAS, len(differences))).mean(axis=1)
    count = len(differences)
    few = np.sqrt(count / (count - 1)) * t.ppf(0.975, count - 1) / norm.ppf(0.975)
    wide = centre + (means - centre) * few * np.sqrt(1.0 + count * shared)
    low, high = np.quantile(wide, [0.025, 0.975])
    return float(low), float(high)
