"""Goals: rows of the future that a policy is to reach. What happened later in an episode is what it was for (hindsight:
Andrychowicz et al. 2017, arXiv:1707.01495; from play: Lynch et al. 2019, arXiv:1903.01973)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.conditioning import Conditioner
from policies.observation import Images, Observation
from robot_stack.picture import IMAGE, shrink
from robot_stack.spec import Record, Spec
from robot_stack.store import Episode, Store
from robot_stack.types import ConfigError, StoreError

GOAL = "goal."
"""The field `x` of the row to reach is `goal.x` in a history."""

WHEN = ("future", "last")


class Goal:
    """fields: of the row that is to be reached. when: in training, `future` for any row after now, all as likely, or
    `last` for the last one of the episode. drop: share of the windows that are not told."""

    def __init__(self, fields: Sequence[str], when: str = "future", drop: float = 0.1) -> None:
        if when not in WHEN:
            raise ConfigError(f"conditioning.when={when}: choose one of {', '.join(WHEN)}")
        if not fields:
            raise ConfigError("conditioning.fields is empty: a goal needs fields, such as conditioning.fields=[pose]")
        self.fields = tuple(fields)
        self._when = when
        self._drop = drop

    def later(self, now: Tensor, last: Tensor, drawn: Tensor) -> Tensor:
        """A row after `now` (B,), the last one where there is none."""
        if self._when == "last":
            return last
        return torch.minimum(now + 1 + (drawn * (last - now)).long(), last)

    def about(self, episode: Episode) -> dict[str, Tensor]:
        """Nothing: goals are rows."""
        return {}

    def build(self, spec: Spec, images: Images | None) -> Conditioner:
        """Numbers normalised, each camera through an encoder of its own."""
        return GoalReader(Observation(spec.select(self.fields), images), self.fields, self._drop)


class GoalReader(Conditioner):
    """A row to reach as a vector, as rows that are seen are."""

    def __init__(self, observation: Observation, fields: Sequence[str], drop: float) -> None:
        super().__init__(observation.size, drop)
        self.observation = observation
        self.fields = tuple(fields)

    def fit(self, observe: Mapping[str, Tensor]) -> None:
        """Set limits of numbers from all rows of the training data, name -> (N, *shape)."""
        self.observation.fit(observe)

    def read(self, history: Mapping[str, Tensor]) -> Tensor | None:
        """The vectors of the goals (B, size)."""
        absent = [name for name in self.fields if GOAL + name not in history]
        if len(absent) == len(self.fields):
            return None
        if absent:
            raise ConfigError(f"a goal without {', '.join(absent)}: it needs all of {', '.join(self.fields)}")
        vectors: Tensor = self.observation({name: history[GOAL + name] for name in self.fields})[:, 0]
        return vectors

    def entries(self, told: Record | Mapping[str, Any]) -> dict[str, Tensor]:
        """What tells one sample to reach a row, name -> value, of a store or a station."""
        return {GOAL + name: torch.from_numpy(self._value(name, told[name]))[None, None] for name in self.fields}

    def _value(self, name: str, value: Any) -> np.ndarray[Any, Any]:
        images = self.observation.images
        if not name.startswith(IMAGE):
            return np.array(value, np.float32)
        return np.array(shrink(value, images.resolution) if images else value)


def stored_row(store: str, episode: str, fields: Sequence[str], row: int | None = None) -> dict[str, Any]:
    """A row of a recorded episode, the last one by default, as `GoalReader.entries` takes it. Raises StoreError."""
    found = Store.open(store)[episode]
    place = len(found) - 1 if row is None else row
    if not 0 <= place < len(found):
        raise StoreError(f"episode {episode} of {store} has no row {row}: it has the rows 0 to {len(found) - 1}")
    return {name: found.read(name, place, place + 1)[0] for name in fields}
