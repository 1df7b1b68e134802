"""Curves of loss over number of demonstrations, and which of them the points speak for.

Each curve is a + b * shape(n), a and b not below zero, and most have one more number in the shape: a fit is two linear
unknowns for each of a grid of shapes, refined. The error is relative to the mean loss at each n, alike for all curves.
They are compared by Akaike's criterion corrected for few points, AICc = N ln(RSS / N) + 2k + 2k(k+1) / (N-k-1), k with
the variance of the noise (Burnham and Anderson, 2002): a difference below 2 says nothing, above 10 much.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robot_stack.types import Array

_EXPONENTS = (0.02, 4.0)
_DECAYS = (0.02, 2.0)  # in units of the largest n
_GRID = 12  # shapes tried in each of _ROUNDS, every round around the best of the last
_ROUNDS = 6


@dataclass(frozen=True)
class Curve:
    """A family of curves: its name, its shapes, and whether it has an `a`.

    shape: (n, largest n, parameter) -> values, by broadcasting; parameters: range of the shape's one, None without.
    """

    name: str
    formula: str
    shape: Callable[[Array, float, Array], Array]
    parameters: tuple[float, float] | None
    has_offset: bool

    @property
    def unknowns(self) -> int:
        """Numbers that a fit chooses, the noise included."""
        return 2 + self.has_offset + (self.parameters is not None)


CURVES = (
    Curve("power law", "b n^-p", lambda n, largest, p: (n / largest) ** -p, _EXPONENTS, False),
    Curve("power law with floor", "a + b n^-p", lambda n, largest, p: (n / largest) ** -p, _EXPONENTS, True),
    Curve("exponential", "a + b exp(-n/p)", lambda n, largest, p: np.exp(-n / largest / p), _DECAYS, True),
    Curve("logarithm", "a - b ln n", lambda n, largest, p: -np.log(n / largest) + 0 * p, None, True),
    Curve("constant", "b", lambda n, largest, p: np.ones_like(n) + 0 * p, None, False),
)


@dataclass(frozen=True)
class Fit:
    """A curve through each of r sets of points: offset a, factor b, parameter p, AICc, each (r,); largest n of them."""

    curve: Curve
    offset: Array
    factor: Array
    parameter: Array
    aicc: Array
    largest: float

    def __call__(self, n: Array) -> Array:
        """Loss of each at its own number of demonstrations n (r,), never below zero."""
        shape = self.curve.shape(np.asarray(n, np.float64)[:, None], self.largest, self.parameter[:, None])[:, 0]
        return np.maximum(0.0, self.offset + self.factor * shape)


def fit(curve: Curve, n: Array, losses: Array) -> Fit:
    """The curves of least squared relative error through each of r sets of losses (r, sizes, draws) at n (sizes,)."""
    means = losses.mean(axis=2)
    spread = ((losses / means[:, :, None] - 1.0) ** 2).sum(axis=(1, 2))  # around the means, which no curve changes
    low, high = (np.full(len(losses), bound) for bound in curve.parameters or (1.0, 1.0))
    everyone = np.arange(len(losses))
    for _ in range(_ROUNDS if curve.parameters else 1):
        grid = np.geomspace(low, high, _GRID, axis=1)
        offsets, factors, errors = _least_squares(curve, n, means, grid)
        best = errors.argmin(axis=1)
        low, high = grid[everyone, np.maximum(0, best - 1)], grid[everyone, np.minimum(_GRID - 1, best + 1)]
    offset, factor, error, parameter = (values[everyone, best] for values in (offsets, factors, errors, grid))
    aicc = _aicc(error * losses.shape[2] + spread, losses[0].size, curve.unknowns)
    return Fit(curve, offset, factor, parameter, aicc, float(n.max()))


def _least_squares(curve: Curve, n: Array, means: Array, grid: Array) -> tuple[Array, Array, Array]:
    """Offset, factor and squared relative error (r, g) of the best curve for each parameter (r, g) to means (r, m)."""
    weights = 1.0 / means[:, None, :]
    shapes = curve.shape(n, float(n.max()), grid[:, :, None]) * weights
    offsets, factors = _two_unknowns(shapes, weights) if curve.has_offset else _one_unknown(shapes)
    errors = ((offsets[..., None] * weights + factors[..., None] * shapes - 1.0) ** 2).sum(axis=2)
    return offsets, factors, errors


def _one_unknown(shapes: Array) -> tuple[Array, Array]:
    """Offset 0 and factor (r, g) that bring shapes (r, g, sizes) nearest to 1."""
    factors = shapes.sum(axis=2) / (shapes**2).sum(axis=2)
    return np.zeros_like(factors), factors


def _two_unknowns(shapes: Array, weights: Array) -> tuple[Array, Array]:
    """Offset and factor (r, g), neither below zero, that bring offset * weights + factor * shapes nearest to 1."""
    ss, so, oo = (shapes**2).sum(axis=2), (shapes * weights).sum(axis=2), (weights**2).sum(axis=2)
    st, ot = shapes.sum(axis=2), weights.sum(axis=2)
    determinant = np.maximum(ss * oo - so**2, 1e-12 * ss * oo)
    factors, offsets = (oo * st - so * ot) / determinant, (ss * ot - so * st) / determinant
    rises = factors < 0  # the nearest curve that does not rise is the constant
    sinks = ~rises & (offsets < 0)
    factors = np.where(rises, 0.0, np.where(sinks, st / ss, factors))
    offsets = np.where(rises, ot / oo, np.where(sinks, 0.0, offsets))
    return offsets, factors


def _aicc(rss: Array, points: int, unknowns: int) -> Array:
    correction = 2 * unknowns * (unknowns + 1) / max(1, points - unknowns - 1)
    return np.asarray(points * np.log(np.maximum(rss, 1e-300) / points) + 2 * unknowns + correction)
