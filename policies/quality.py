"""How good whole episodes are, from 0 to 1, so that better ones count more: beside who flew, which `weights` is about.

A score says nothing about a policy that learns from it. Compare with a run without, before you believe one.
"""

from collections.abc import Callable, Sequence

import numpy as np

from robot_stack.quality.figures import measure
from robot_stack.store import Episode
from robot_stack.types import Array, ConfigError

Scoring = Callable[[Sequence[Episode]], Array]
"""Episodes (E,) -> how much each counts (E,), above zero."""


class Success:
    """By verdict. unknown, failure: how much such an episode counts against a success [1]."""

    def __init__(self, unknown: float = 0.5, failure: float = 0.1) -> None:
        _check_positive(unknown=unknown, failure=failure)
        self._counts = {"success": 1.0, "unknown": unknown, "failure": failure}

    def __call__(self, episodes: Sequence[Episode]) -> Array:
        """(E,)."""
        return np.array([self._counts[episode.attrs["verdict"]] for episode in episodes])


class Compatibility:
    """By how well an episode fits the way of one operator (ELICIT: Gandhi et al. 2022): `robot_stack.quality`.

    base: that operator. floor: how much the least compatible episode counts [1].
    """

    def __init__(self, base: str, floor: float = 0.1) -> None:
        _check_positive(floor=floor)
        self._base, self._floor = base, floor

    def __call__(self, episodes: Sequence[Episode]) -> Array:
        """(E,), one for the episodes of that operator. Raises ConfigError where it cannot be measured."""
        measured = measure(episodes, base=self._base)
        if len(measured.episodes) != len(episodes):
            raise ConfigError(f"quality=compatibility cannot be measured: {'; '.join(measured.notes)}")
        scores = [1.0 if one.compatibility is None else one.compatibility for one in measured.episodes]
        return np.asarray(self._floor + (1.0 - self._floor) * np.array(scores))


class Attribute:
    """By a number that each episode has among its attributes. name: of it. floor: least that an episode counts [1]."""

    def __init__(self, name: str, floor: float = 0.1) -> None:
        _check_positive(floor=floor)
        self._name, self._floor = name, floor

    def __call__(self, episodes: Sequence[Episode]) -> Array:
        """(E,). Raises ConfigError for an episode without that number, or with one outside 0 to 1."""
        return np.array([max(self._floor, self._score(episode)) for episode in episodes])

    def _score(self, episode: Episode) -> float:
        score = episode.attrs.get(self._name)
        if not isinstance(score, int | float) or not 0.0 <= score <= 1.0:
            raise ConfigError(f"episode {episode.id} has {self._name}={score!r}: expected a number from 0 to 1")
        return float(score)


def _check_positive(**counts: float) -> None:
    for name, count in counts.items():
        if not 0.0 < count <= 1.0:
            raise ConfigError(f"quality.{name}={count}: expected more than 0, so that nothing is lost, and 1 at most")
