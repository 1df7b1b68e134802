"""Action variance and state similarity: do demonstrators act alike in like states, and how densely are they covered.

Belkhale, Cui and Sadigh, Data Quality in Imitation Learning, NeurIPS 2023 (their names; formulas as commonly read):

    action variance  = mean over states s of  1/(k-1) sum over the k nearest (s', a') of |a' - mean a'|^2 / a
    state similarity = mean over states s of  |{s' : |s' - s| <= radius}| / N

with every column of states and actions scaled to unit standard deviation. |s| is a root mean square over the d columns:
a radius is in standard deviations. |a|^2 / a is a mean over the a action columns: 1 says that knowing the state says
nothing about the action. Rows of the same episode within EXCLUDED seconds are no neighbours: they are alike because
time is short, and slow motion would look consistent. Values compare between sets of one task, not between tasks; the
more demonstrations there are, the closer the k nearest. High variance is bad where it is one operator's noise and
harmless where there are two good ways and a policy that can hold both: the figure cannot tell these apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from robot_stack.quality.demonstrations import Demonstration
from robot_stack.types import Array

NEIGHBOURS = (10, 30)
"""Nearest states over which actions are compared: values depend on it, so there are two."""

RADII = (0.1, 0.25, 0.5)
"""Radii within which states are alike [standard deviations]."""

EXCLUDED = 1.0
"""Rows of one episode nearer in time than this are no neighbours of each other [s]."""

_BLOCK = 4096  # rows whose neighbours are held in memory at once
_PROBES = 10_000  # rows around which states are counted


@dataclass(frozen=True)
class Consistency:
    """Mean of each episode (episodes,), NaN where it has no neighbours: by k, and by radius."""

    action_variance: dict[int, Array]
    state_similarity: dict[float, Array]


@dataclass(frozen=True)
class _Rows:
    """All rows in one: which episode (n,) and which row of it (n,), how near is too near (n,) [rows]."""

    states: Array
    actions: Array
    episode: NDArray[np.int64]
    step: NDArray[np.int64]
    window: NDArray[np.int64]


def consistency(
    demonstrations: Sequence[Demonstration],
    neighbours: Sequence[int] = NEIGHBOURS,
    radii: Sequence[float] = RADII,
    excluded: float = EXCLUDED,
) -> Consistency:
    """Action variance and state similarity of each of `normalized` demonstrations among all of them."""
    rows = _stacked(demonstrations, excluded)
    tree = cKDTree(rows.states)
    count = len(demonstrations)
    variances = _action_variances(rows, tree, neighbours)
    probes = np.arange(0, len(rows.states), max(1, len(rows.states) // _PROBES))
    shares = {radius: _shares_nearby(rows, tree, probes, radius) for radius in radii}
    return Consistency(
        {k: _means(values, rows.episode, count) for k, values in variances.items()},
        {radius: _means(values, rows.episode[probes], count) for radius, values in shares.items()},
    )


def _stacked(demonstrations: Sequence[Demonstration], excluded: float) -> _Rows:
    lengths = [len(d) for d in demonstrations]
    states = np.concatenate([d.states for d in demonstrations])
    return _Rows(
        states / np.sqrt(states.shape[1]),
        np.concatenate([d.actions for d in demonstrations]),
        np.repeat(np.arange(len(lengths)), lengths),
        np.concatenate([d.rows for d in demonstrations]),
        np.repeat([round(excluded * d.rate) for d in demonstrations], lengths),
    )


def _action_variances(rows: _Rows, tree: cKDTree, neighbours: Sequence[int]) -> dict[int, Array]:
    """Variance of actions over the k nearest of each row: k -> (n,)."""
    total = len(rows.states)
    wanted = min(total, max(neighbours) + 2 * int(rows.window.max()) + 1)
    result: dict[int, Array] = {k: np.full(total, np.nan) for k in neighbours}
    for start in range(0, total, _BLOCK):
        block = slice(start, min(total, start + _BLOCK))
        index = np.atleast_2d(tree.query(rows.states[block], wanted)[1].reshape(-1, wanted))
        near = _too_near(rows, np.arange(block.start, block.stop)[:, None], index)
        index = np.take_along_axis(index, np.argsort(near, axis=1, kind="stable"), axis=1)  # neighbours first, in order
        allowed = (~near).sum(axis=1)
        for k in neighbours:
            actions = rows.actions[index[:, :k]]
            enough = allowed >= k
            result[k][block][enough] = actions[enough].var(axis=1, ddof=1).mean(axis=1)
    return result


def _shares_nearby(rows: _Rows, tree: cKDTree, probes: NDArray[np.int64], radius: float) -> Array:
    """Share of the other rows within a radius of each probe (probes,), rows too near in time left out of both."""
    found = tree.query_ball_point(rows.states[probes], radius, return_length=True).astype(np.float64)
    others = np.full(len(probes), float(len(rows.states)))
    for offset in range(-int(rows.window.max()), int(rows.window.max()) + 1):
        inside = (probes + offset >= 0) & (probes + offset < len(rows.states))
        index = np.where(inside, probes + offset, probes)
        near = inside & _too_near(rows, probes, index)
        apart = np.linalg.norm(rows.states[probes] - rows.states[index], axis=1)
        found -= near & (apart <= radius)
        others -= near
    return np.where(others > 0, found / np.maximum(others, 1), np.nan)


def _too_near(rows: _Rows, row: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether two rows are of one episode and within its window."""
    same = rows.episode[row] == rows.episode[other]
    return np.asarray(same & (np.abs(rows.step[row] - rows.step[other]) <= rows.window[row]))


def _means(values: Array, episode: NDArray[np.int64], count: int) -> Array:
    """Mean of each episode's finite values (count,)."""
    finite = np.isfinite(values)
    totals = np.bincount(episode[finite], values[finite], minlength=count)
    numbers = np.bincount(episode[finite], minlength=count)
    return np.where(numbers > 0, totals / np.maximum(numbers, 1), np.nan)
