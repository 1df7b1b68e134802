"""Whether new demonstrations fit those of a base operator: demonstrator compatibility.

Gandhi et al., Eliciting Compatible Demonstrations for Multi-Human Imitation Learning (ELICIT), CoRL 2022. With an
ensemble of policies that learned from the base operator, for each state s and action a of a new demonstration:

    L = mean over members of |member(s) - a|^2 / a     how unlike the base operator's action; predictions clamped to its
    N = mean over action columns of the standard deviation over members       how new the state is to the ensemble
    M = 1 - min(1, L / lambda)  if N < eta, else 1     in known states the action must be likely, in new ones all goes

A row is bad when L > lambda and N < eta. Published lambda and eta hold for one scaling of actions only, so both are
95th percentiles over base demonstrations that the ensemble has not seen: a base operator who goes on as before has at
most 5 % of such rows. What is incompatible may be another way and no worse; it harms a policy that can hold one way.
L is a squared error: the same way with twice the noise is as clearly told from the base as another way is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from robot_stack.quality.demonstrations import Demonstration
from robot_stack.types import Array

QUANTILE = 0.95
"""Share of unseen base rows below each threshold."""

_FREQUENCY = 2.0  # a member's actions change over half a root mean square standard deviation of the states


class Ensemble(Protocol):
    """Policies that learned the same from the base demonstrations, each a little differently."""

    def predict(self, states: Array) -> Array:
        """Actions of all members (members, T, a) in states (T, d)."""
        ...


@dataclass(frozen=True)
class Thresholds:
    """lambda: least unlikely that counts as another action. eta: disagreement from which a state is new."""

    unlikely: float
    new: float


@dataclass(frozen=True)
class Compatibility:
    """L, N and M of each row (T,)."""

    unlikeness: Array
    novelty: Array
    thresholds: Thresholds

    @property
    def rows(self) -> Array:
        """M of each row (T,): 1 compatible, 0 not at all."""
        known = self.novelty < self.thresholds.new
        return np.where(known, 1.0 - np.minimum(1.0, self.unlikeness / self.thresholds.unlikely), 1.0)

    @property
    def bad(self) -> NDArray[np.bool_]:
        """Rows (T,) in known states with another action than the base operator's."""
        return np.asarray((self.unlikeness > self.thresholds.unlikely) & (self.novelty < self.thresholds.new))

    @property
    def score(self) -> float:
        """Of the demonstration: mean M, 0..1."""
        return float(self.rows.mean())


def compatibility(ensemble: Ensemble, demonstration: Demonstration, thresholds: Thresholds) -> Compatibility:
    """How compatible each row of a demonstration is with what the ensemble learned."""
    return Compatibility(*_measures(ensemble, demonstration), thresholds)


def thresholds(ensemble: Ensemble, unseen: Sequence[Demonstration], quantile: float = QUANTILE) -> Thresholds:
    """Thresholds by the quantile of L and N on base demonstrations that the ensemble has not seen."""
    unlikeness, novelty = zip(*(_measures(ensemble, d) for d in unseen), strict=True)
    return Thresholds(*(float(np.quantile(np.concatenate(values), quantile)) for values in (unlikeness, novelty)))


def with_base(base: Sequence[Demonstration], others: Sequence[Demonstration]) -> list[Compatibility]:
    """Compatibility of others with base demonstrations, by a `RidgeEnsemble`; all `normalized` together.

    A fifth of the base sets the thresholds and is not learned from; at least five base demonstrations are needed.
    """
    unseen, seen = list(base[::5]), [d for number, d in enumerate(base) if number % 5]
    ensemble = RidgeEnsemble.fit(seen)
    limits = thresholds(ensemble, unseen)
    return [compatibility(ensemble, d, limits) for d in others]


def _measures(ensemble: Ensemble, demonstration: Demonstration) -> tuple[Array, Array]:
    """L and N (T,) each."""
    predicted = ensemble.predict(demonstration.states)
    unlikeness = ((predicted - demonstration.actions) ** 2).mean(axis=(0, 2))
    return np.asarray(unlikeness), np.asarray(predicted.std(axis=0).mean(axis=1))


class RidgeEnsemble:
    """Ridge regressions on random Fourier features, each pulled towards weights of its own that were drawn at random.

    The pull (anchored ensembling: Pearce et al., AISTATS 2020) makes members disagree where there are no data; without
    it all would say zero there, and new states would pass for known ones. Features: Rahimi and Recht, NeurIPS 2007.
    It is what numpy can do at once; an ensemble of the policy that will be trained says more.
    """

    def __init__(self, frequencies: Array, phases: Array, weights: Array, range_: tuple[Array, Array]) -> None:
        self._frequencies, self._phases, self._weights, self._range = frequencies, phases, weights, range_

    @classmethod
    def fit(
        cls,
        demonstrations: Sequence[Demonstration],
        members: int = 5,
        features: int = 256,
        ridge: float = 1.0,
        seed: int = 0,
    ) -> Self:
        """Learn from `normalized` demonstrations. ridge: how many rows a member's prior counts for in each feature."""
        states = np.concatenate([d.states for d in demonstrations])
        actions = np.concatenate([d.actions for d in demonstrations])
        rng = np.random.default_rng(seed)
        frequencies = rng.normal(0.0, _FREQUENCY / np.sqrt(states.shape[1]), (members, states.shape[1], features))
        phases = rng.uniform(0.0, 2 * np.pi, (members, 1, features))
        weights = np.empty((members, features, actions.shape[1]))
        for member in range(members):
            phi = _features(states, frequencies[member], phases[member])
            anchor = rng.normal(0.0, 1.0, weights[member].shape)
            normal = phi.T @ phi + ridge / features * np.eye(features)
            weights[member] = np.linalg.solve(normal, phi.T @ actions + ridge / features * anchor)
        return cls(frequencies, phases, weights, (actions.min(axis=0), actions.max(axis=0)))

    def predict(self, states: Array) -> Array:
        """Actions of all members (members, T, a), clamped to the range of those learned from."""
        members = zip(self._frequencies, self._phases, self._weights, strict=True)
        return np.clip(np.stack([_features(states, f, p) @ w for f, p, w in members]), *self._range)


def _features(states: Array, frequencies: Array, phases: Array) -> Array:
    """Random Fourier features (T, features), of unit length on average."""
    return np.asarray(np.sqrt(2.0 / frequencies.shape[1]) * np.cos(states @ frequencies + phases))
