"""What more demonstrations would bring: a curve through the losses of subsets, carried on.

Lin et al., Data Scaling Laws in Imitation Learning for Robotic Manipulation, ICLR 2025, fit log Y = log b + p log X by
least squares to one draw a size and give r; here every size is drawn several times, intervals come from resampling
those draws, and rival curves are compared (curves.py): six points on a line prove no power law. Their power laws are in
the number of scenes and objects; in demonstrations of the same scenes the same paper finds a plateau. What is measured
is whatever `score` measures. Draws of one store share episodes, so the intervals hold for these demonstrations and are
too narrow for those that another operator would add; and no curve knows what happens far beyond its last point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from robot_stack.quality.curves import CURVES, Fit, fit
from robot_stack.types import Array, ConfigError

HELD_OUT = 0.2
"""Share of the demonstrations that each draw is scored on."""

SIZES = 6
DRAWS = 10
REPLICAS = 500
LESS = 0.1
"""The loss that more demonstrations are promised for is lower by this share."""

FEWEST = 20
"""Demonstrations without which no curve is fitted."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Promise:
    """What one curve says, with 95 % intervals.

    aicc: above that of the best curve. exponent: p of a power law, else None. doubled: loss with twice as many
    demonstrations. more: demonstrations needed on top for a loss lower by LESS; infinite if it never gets there.
    """

    curve: str
    formula: str
    aicc: float
    exponent: float | None
    exponent_interval: Interval | None
    doubled: float
    doubled_interval: Interval
    more: float
    more_interval: Interval


@dataclass(frozen=True)
class Scaling:
    """How many demonstrations there are, losses (sizes, draws) of subsets, and promises of curves, the best first."""

    demonstrations: int
    sizes: list[int]
    losses: list[list[float]]
    promises: list[Promise]

    @property
    def plausible(self) -> list[Promise]:
        """Curves that the points do not tell from the best: AICc less than 2 above it."""
        return [promise for promise in self.promises if promise.aicc < 2.0]


def scaling[T](
    items: Sequence[T],
    score: Callable[[Sequence[T], Sequence[T]], float],
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Scaling:
    """Loss over number of demonstrations, and how it would go on.

    score: loss above 0 after learning from the first, on the second (heldout.py has one). Each draw holds out its own
    share and learns from some of the rest. progress: called with the number of SIZES * draws scores done.
    """
    if len(items) < FEWEST:
        raise ConfigError(
            f"a scaling curve needs at least {FEWEST} demonstrations, there are {len(items)}; record more"
        )
    rng = np.random.default_rng(seed)
    held = round(HELD_OUT * len(items))
    sizes = np.unique(np.geomspace(max(2, (len(items) - held) / 32), len(items) - held, SIZES).round().astype(int))
    losses = np.empty((len(sizes), draws))
    for place in np.ndindex(losses.shape):
        order = rng.permutation(len(items))
        train = [items[i] for i in order[held : held + sizes[place[0]]]]
        losses[place] = score(train, [items[i] for i in order[:held]])
        progress(place[0] * draws + place[1] + 1)
    return extrapolate(len(items), sizes, losses, seed)


def extrapolate(demonstrations: int, sizes: Array, losses: Array, seed: int = 0) -> Scaling:
    """The curves through losses (sizes, draws) at sizes (sizes,), carried on from `demonstrations` of them."""
    index = np.random.default_rng(seed).integers(0, losses.shape[1], (REPLICAS, *losses.shape))
    resampled = np.take_along_axis(np.broadcast_to(losses, index.shape), index, axis=2)
    points = np.concatenate([losses[None], resampled])
    fits = [fit(curve, np.asarray(sizes, np.float64), points) for curve in CURVES]
    best = min(float(found.aicc[0]) for found in fits)
    promises = [_promise(found, demonstrations, best, losses.shape[1]) for found in fits]
    promises.sort(key=lambda promise: promise.aicc)
    return Scaling(demonstrations, [int(size) for size in sizes], losses.tolist(), promises)


def _promise(found: Fit, now: int, best: float, draws: int) -> Promise:
    """What a curve fitted to the losses (first) and to their replicas (the rest) says."""
    power = found.curve.name.startswith("power")
    doubled = found(np.full(len(found.aicc), 2.0 * now))
    more = _more(found, now)
    return Promise(
        curve=found.curve.name,
        formula=found.curve.formula,
        aicc=float(found.aicc[0]) - best,
        exponent=float(found.parameter[0]) if power else None,
        exponent_interval=_interval(found.parameter, draws) if power else None,
        doubled=float(doubled[0]),
        doubled_interval=_interval(doubled, draws),
        more=float(more[0]),
        more_interval=_interval(more, draws),
    )


def _interval(values: Array, draws: int) -> Interval:
    """95 % interval of a figure from its replicas, all but the first; wider than theirs: few draws spread too little.

    Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69(4), 2015.
    """
    share = norm.cdf(norm.ppf(0.025) * np.sqrt(draws / (draws - 1)))
    low, high = np.quantile(values[1:], [share, 1 - share], method="nearest")
    return float(low), float(high)


def _more(found: Fit, now: int) -> Array:
    """Demonstrations on top of `now` for losses lower by LESS (r,); infinite when not with a million times as many."""
    low: Array = np.full(len(found.aicc), np.log(now))
    high: Array = low + np.log(1e6)
    target = (1.0 - LESS) * found(np.exp(low))
    never = found(np.exp(high)) > target
    for _ in range(50):
        middle = (low + high) / 2
        enough = found(np.exp(middle)) <= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(never, np.inf, np.ceil(np.exp(high) - now))
