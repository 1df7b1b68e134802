"""Which episodes stand out, and by what: worth a look, not a verdict.

An episode stands out in a figure by its distance from the median in units of 1.4826 times the median absolute
deviation, a standard deviation where figures are normal; more than 3.5 is an outlier (Iglewicz and Hoaglin, 1993).
"""

from dataclasses import dataclass

import numpy as np

from robot_stack.quality.figures import EpisodeQuality
from robot_stack.types import Array

OUTLIER = 3.5

_LEAST = {"idle": 0.1}  # differences from the median below this are not worth a word, however rare

BADNESS = {
    "duration": 1.0,
    "path_length": 1.0,
    "jerk": -1.0,
    "idle": 1.0,
    "action_variance": 1.0,
    "state_similarity": -1.0,
    "compatibility": -1.0,
}
"""Figure of an episode: which sign of it is bad."""

_WORDS = {
    "duration": "takes {:.1f} s, the median {:.1f} s",
    "path_length": "goes {:.3g} far, the median {:.3g}",
    "jerk": "log dimensionless jerk {:.1f}, the median {:.1f}",
    "idle": "idle for {:.0%} of its rows, the median {:.0%}",
    "action_variance": "acts unlike others in like states: variance {:.2f}, the median {:.2f}",
    "state_similarity": "is where few others are: {:.3%} of rows nearby, the median {:.3%}",
    "compatibility": "compatible with the base operator by {:.2f}, the median {:.2f}",
}


@dataclass(frozen=True)
class Reason:
    """What is unusual about an episode, and how far: in standard deviations, or more than OUTLIER for a segment."""

    episode: str
    figure: str
    what: str
    deviations: float


def reasons(episodes: list[EpisodeQuality]) -> list[Reason]:
    """Everything that stands out, the farthest out first."""
    found = [reason for figure in BADNESS for reason in _outliers(episodes, figure)]
    for episode in episodes:
        for segment in episode.suspicious:
            what = f"rows {segment.start} to {segment.stop} are in {segment.support:.0%} of the others: trim?"
            found.append(Reason(episode.id, "suspicious", what, OUTLIER * (2.0 - segment.support)))
    return sorted(found, key=lambda reason: -reason.deviations)


def _outliers(episodes: list[EpisodeQuality], figure: str) -> list[Reason]:
    sign = BADNESS[figure]
    known = [(episode.id, getattr(episode, figure)) for episode in episodes if getattr(episode, figure) is not None]
    if not known:
        return []
    values = np.array([value for _, value in known])
    median, spread = float(np.median(values)), _spread(values)
    return [
        Reason(name, figure, _WORDS[figure].format(value, median), sign * (value - median) / spread)
        for name, value in known
        if sign * (value - median) > max(OUTLIER * spread, _LEAST.get(figure, 0.0))
    ]


def _spread(values: Array) -> float:
    """Standard deviation by the median absolute one; the plain one where more than half are equal."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))) or values.std())
