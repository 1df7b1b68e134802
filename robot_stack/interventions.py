"""What each step of an episode is worth to a learner: derived from who flew it, never stored in its place.

Classes and walk back of Liu et al., Robot Learning on the Job (Sirius), RSS 2023. There the window before a take-over
is 15 steps at 20 Hz; here it is in seconds, and steps that nobody flew between stop and take-over do not use it up.
"""

from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robot_stack.types import ConfigError, Source

PRE_INTERVENTION = 0.75
"""How long before a take-over the policy is held to have gone wrong: human reaction time [s]."""


class Label(IntEnum):
    """The class of a step."""

    DEMONSTRATION = 0  # a person, in a session of demonstrations
    ROBOT = 1  # the policy, and nobody objected
    INTERVENTION = 2  # a person who took over
    PRE_INTERVENTION = 3  # the policy, just before a person took over
    IDLE = 4  # nobody, or a script such as the way home: not to be learned


def labels(
    source: NDArray[np.uint8],
    rate: float,
    kind: Literal["collect", "deploy", "replay", "import"],
    pre: float = PRE_INTERVENTION,
) -> NDArray[np.uint8]:
    """Labels (T,) of steps flown by `source` (T,) at `rate` [Hz], in an episode of that kind. pre: window [s]."""
    if kind not in ("collect", "deploy", "replay", "import"):
        raise ConfigError(f"no kind of episode {kind!r}; there are: collect, deploy, replay, import")
    person = Label.INTERVENTION if kind == "deploy" else Label.DEMONSTRATION
    result = np.full(len(source), Label.IDLE, np.uint8)
    result[source == Source.OPERATOR] = person
    result[source == Source.POLICY] = Label.ROBOT
    for start in np.flatnonzero(_starts(result == Label.INTERVENTION)):
        _walk_back(result, int(start), round(pre * rate))
    return result


def _starts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The first step of each run of True."""
    return np.asarray(mask & ~np.concatenate([[False], mask[:-1]]))


def _walk_back(result: NDArray[np.uint8], start: int, steps: int) -> None:
    """Mark up to `steps` robot steps before `start`, passing over idle ones, up to an earlier intervention."""
    for step in range(start - 1, -1, -1):
        if steps == 0 or result[step] in (Label.INTERVENTION, Label.PRE_INTERVENTION):
            return
        if result[step] == Label.ROBOT:
            result[step] = Label.PRE_INTERVENTION
            steps -= 1
