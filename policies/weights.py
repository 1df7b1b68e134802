"""How much each action step counts, by who flew it: robot_stack.interventions.Label -> weight, one on average.

Weights are per step and not per window: a chunk that starts before a takeover still learns the person's part of it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from robot_stack.interventions import Label
from robot_stack.types import Array, ConfigError

Labels = NDArray[np.uint8]
Weighting = Callable[[dict[Label, float]], dict[Label, float]]
"""Shares of the classes that occur (positive, sum one) -> weight of each, so that sum of share times weight is one."""

ROUNDING = 1e-12


class Uniform:
    """Every step counts the same: the control of every comparison."""

    def __call__(self, shares: dict[Label, float]) -> dict[Label, float]:
        """One each."""
        return dict.fromkeys(shares, 1.0)


class Iwr:
    """Intervention weighted regression (Mandlekar et al. 2020): `intervention` is their share of the loss."""

    def __init__(self, intervention: float = 0.5) -> None:
        self.intervention = intervention

    def __call__(self, shares: dict[Label, float]) -> dict[Label, float]:
        """One each where there are no interventions, or nothing else."""
        present = shares.get(Label.INTERVENTION, 0.0)
        if present == 0.0 or present >= 1.0 - ROUNDING:
            return dict.fromkeys(shares, 1.0)
        others = (1.0 - self.intervention) / (1.0 - present)
        return {label: self.intervention / present if label == Label.INTERVENTION else others for label in shares}


class HgDagger:
    """HG-DAgger (Kelly et al. 2019, arXiv:1810.02890): what people flew counts, what the policy flew does not."""

    def __call__(self, shares: dict[Label, float]) -> dict[Label, float]:
        """One each where nobody but the policy flew."""
        people = {Label.DEMONSTRATION, Label.INTERVENTION} & shares.keys()
        if not people:
            return dict.fromkeys(shares, 1.0)
        weight = 1.0 / sum(shares[label] for label in people)
        return {label: weight if label in people else 0.0 for label in shares}


class Sirius:
    """Sirius (Liu et al. 2022, arXiv:2211.08416), guarded.

    The published rule: interventions get half of the loss, what came just before them nearly nothing, demonstrations
    keep their share, the robot's own steps get the rest. That rest is negative as soon as demonstrations make up half
    of the data, and an absent class divides by zero. Here: absent classes are left out, the robot keeps at least
    `floor`, no weight exceeds `cap`. Equal to the published rule wherever that one is valid and below the cap.

    intervention, before: shares of the loss. floor: least share of the robot's own steps. cap: largest weight.
    """

    def __init__(
        self, intervention: float = 0.5, before: float = 0.002, floor: float = 0.05, cap: float = 10.0
    ) -> None:
        if min(intervention, before, floor) < 0.0 or intervention + before + floor > 1.0 or cap < 1.0:
            raise ConfigError("sirius needs shares >= 0 with intervention + before + floor <= 1, and cap >= 1")
        self.intervention = intervention
        self.before = before
        self.floor = floor
        self.cap = cap

    def __call__(self, shares: dict[Label, float]) -> dict[Label, float]:
        """Weights >= 0 and <= cap."""
        wanted = self._capped(self._wanted(shares), shares)
        return {label: wanted[label] / share for label, share in shares.items()}

    def _wanted(self, shares: dict[Label, float]) -> dict[Label, float]:
        """Share of the loss of each class that occurs; sums to one."""
        demonstration, robot = shares.get(Label.DEMONSTRATION, 0.0), shares.get(Label.ROBOT, 0.0)
        intervention = min(self.intervention, self.cap * shares.get(Label.INTERVENTION, 0.0))
        before = min(self.before, shares.get(Label.PRE_INTERVENTION, 0.0))
        rest = 1.0 - intervention - before
        wanted = {
            Label.INTERVENTION: intervention,
            Label.PRE_INTERVENTION: before,
            Label.DEMONSTRATION: min(demonstration, rest - self.floor) if robot else rest,
        }
        wanted[Label.ROBOT] = rest - wanted[Label.DEMONSTRATION]
        total = sum(wanted[label] for label in shares)
        return {label: wanted[label] / total for label in shares} if total else shares

    def _capped(self, wanted: dict[Label, float], shares: dict[Label, float]) -> dict[Label, float]:
        """What exceeds the cap goes to the largest class below it; who got it may be over then, but once at the cap a
        class stays there, so that there are no more rounds than classes."""
        limit = {label: self.cap * share for label, share in shares.items()}
        for _ in shares:
            surplus = sum(max(0.0, wanted[label] - limit[label]) for label in shares)
            wanted = {label: min(wanted[label], limit[label]) for label in shares}
            below = [label for label in shares if wanted[label] < limit[label]]
            if surplus == 0.0 or not below:
                break
            wanted[max(below, key=lambda label: shares[label])] += surplus
        return wanted


def class_shares(labels: Labels) -> dict[Label, float]:
    """Share of each class that occurs among the steps that count; idle steps, that nobody flew, do not."""
    counts = {label: int((labels == label).sum()) for label in Label if label != Label.IDLE}
    total = sum(counts.values())
    return {label: count / total for label, count in counts.items() if count}


def step_weights(labels: Labels, weighting: Weighting, quality: Array | None = None) -> Array:
    """Weight of each step (N,); idle steps get none. The mean over the others is one.

    quality: above zero, how much each step counts within its class (N,). The class keeps its share of the loss.
    """
    weights = np.zeros(len(labels))
    for label, weight in weighting(class_shares(labels)).items():
        inside = labels == label
        weights[inside] = weight if quality is None else weight * quality[inside] / quality[inside].mean()
    return weights


def mixed(weights: Sequence[Array], labels: Sequence[Labels], shares: Sequence[float]) -> list[Array]:
    """Weights of the steps of several stores, one on average in each, so that each store gets its share of the loss.

    The mean over all steps that count stays one. shares: of the stores, sum one. Within a store, classes keep theirs.
    """
    if len(shares) != len(weights) or min(shares) < 0.0 or abs(sum(shares) - 1.0) > 1e-6:
        raise ConfigError(f"mix={list(shares)}: expected a share of the loss for each of {len(weights)} stores, sum 1")
    counts = [int((of != Label.IDLE).sum()) for of in labels]
    if empty := [number for number, count in enumerate(counts, 1) if count == 0]:
        raise ConfigError(f"mix={list(shares)}: store {empty[0]} has no step to learn from")
    return [of * share * sum(counts) / count for of, share, count in zip(weights, shares, counts, strict=True)]
