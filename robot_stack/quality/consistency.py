"""Action variance and state similarity: do demonstrators act alike in like states, and how densely are they covered.

Belkhale, Cui and Sadigh, Data Quality in Imitation Learning, NeurIPS 2023 (their names; formulas as commonly read):

    action variance  = mean over states s of  1/(k-1) sum over the k nearest (s', a') of |a' - mean a'|^2 / a
    state similarity = mean over states s of  |{s' : |s' - s| <= radius}| / N

Action variance is of a set of demonstrations: where all visit the same states, every one of them has the same. Whose
actions are the odd ones says, of one demonstration among others, here:

    deviation        = mean over its (s, a) of  k/(k+1) |a - mean a'|^2 / a        which is as large for like noise

with every column of states and actions scaled to unit standard deviation. |s| is a root mean square over the d columns:
a radius is in standard deviations. |a|^2 / a is a mean over the a action columns: 1 says that knowing the state says
nothing about the action. Rows of the same episode within EXCLUDED seconds are no neighbours: they are alike because
time is short, and slow motion would look consistent. For the same reason each demonstration has one neighbour, its
nearest row, among the k (fewer where only fewer are near): else ten rows of one slow neighbour would agree. Values
compare between sets of one task, not between tasks; the more demonstrations, the closer the k nearest. High variance is
bad where it is one operator's noise and harmless where there are two good ways and a policy that can hold both: the
figure cannot tell these apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from robot_stack.quality.demonstrations import Demonstration
from robot_stack.types import Array

NEIGHBOURS = (10, 30)
"""Nearest demonstrations whose actions are compared: values depend on it, so there are two."""

RADII = (0.1, 0.25, 0.5)
"""Radii within which states are alike [standard deviations]."""

EXCLUDED = 1.0
"""Rows of one episode nearer in time than this are no neighbours of each other [s]."""

_CANDIDATES = 4  # rows looked at for each neighbour that is wanted
_FEWEST = 3  # neighbours without which there is no variance to speak of
_BLOCK = 2048  # rows whose neighbours are held in memory at once
_PROBES = 10_000  # rows around which states are counted


@dataclass(frozen=True)
class Consistency:
    """Mean of each episode (episodes,), NaN where it has no neighbours: by k, by k, and by radius."""

    action_variance: dict[int, Array]
    deviation: dict[int, Array]
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
    """Action variance, deviation and state similarity of each of `normalized` demonstrations among all of them."""
    rows = _stacked(demonstrations, excluded)
    tree = cKDTree(rows.states)
    count = len(demonstrations)
    variances, deviations = _action_variances(rows, tree, neighbours)
    probes = np.arange(0, len(rows.states), max(1, len(rows.states) // _PROBES))
    shares = {radius: _shares_nearby(rows, tree, probes, radius) for radius in radii}
    return Consistency(
        {k: _means(values, rows.episode, count) for k, values in variances.items()},
        {k: _means(values, rows.episode, count) for k, values in deviations.items()},
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


def _action_variances(
    rows: _Rows, tree: cKDTree, neighbours: Sequence[int]
) -> tuple[dict[int, Array], dict[int, Array]]:
    """Variance of actions over the k nearest of each row, and how far its own is from their mean: k -> (n,) each."""
    total = len(rows.states)
    candidates = min(total, _CANDIDATES * max(neighbours) + 2 * int(rows.window.max()) + 1)
    variances: dict[int, Array] = {k: np.full(total, np.nan) for k in neighbours}
    deviations: dict[int, Array] = {k: np.full(total, np.nan) for k in neighbours}
    for start in range(0, total, _BLOCK):
        block = np.arange(start, min(total, start + _BLOCK))
        index = tree.query(rows.states[block], candidates)[1].reshape(-1, candidates)
        rank = _rank(rows, block, index)
        actions = rows.actions[index]
        for k in neighbours:
            chosen = rank <= k
            count = chosen.sum(axis=1)
            enough = count >= _FEWEST
            weights = chosen[enough, :, None] / count[enough, None, None]
            mean = (weights * actions[enough]).sum(axis=1)
            variance = (weights * (actions[enough] - mean[:, None]) ** 2).sum(axis=1).mean(axis=1)
            off = ((rows.actions[block[enough]] - mean) ** 2).mean(axis=1)
            variances[k][block[enough]] = variance * count[enough] / (count[enough] - 1)
            deviations[k][block[enough]] = off * count[enough] / (count[enough] + 1)
    return variances, deviations


def _rank(rows: _Rows, block: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which neighbour of its row each candidate is (b, m): 1, 2, ... for the nearest row of each episode, else many."""
    episode = np.where(_too_near(rows, block[:, None], index), -1, rows.episode[index])
    order = np.argsort(episode, axis=1, kind="stable")  # candidates come nearest first, and stay so in each episode
    in_order = np.take_along_axis(episode, order, axis=1)
    first = (np.diff(in_order, axis=1, prepend=-1) != 0) & (in_order >= 0)
    is_neighbour = np.empty_like(first)
    np.put_along_axis(is_neighbour, order, first, axis=1)
    return np.where(is_neighbour, np.cumsum(is_neighbour, axis=1), np.iinfo(np.int64).max)


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
