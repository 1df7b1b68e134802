"""All figures of demonstrations in one go: per episode, per operator and for the store. Advice; nothing is dropped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robot_stack.quality.extraneous import Segment
from robot_stack.quality.summary import summarize
from robot_stack.store.episode import Episode


@dataclass(frozen=True)
class EpisodeQuality:
    """Figures of one episode; None where its rows say nothing.

    duration [s]; path_length [unit of the motion: m, px or rad]; jerk: log dimensionless, nearer to 0 is smoother; idle:
    share of rows; action_variance: lower is more consistent with the others; state_similarity: share of the store's rows
    that are close; tq: 1 a success, 0 a failure; saco: share of the store's cells that it visits; compatibility: 0..1,
    with the base operator's way; suspicious: segments that the others do not have.
    """

    id: str
    operator: str
    verdict: str
    duration: float
    path_length: float | None
    jerk: float | None
    idle: float | None
    action_variance: float | None
    state_similarity: float | None
    tq: float | None
    saco: float | None
    compatibility: float | None
    suspicious: list[Segment]


@dataclass(frozen=True)
class GroupQuality:
    """Figures of the demonstrations of one operator, or of all; each is of these demonstrations alone.

    duration [s], path_length, jerk, idle: medians over episodes. action_variance: by number of neighbours.
    state_similarity: by radius, in standard deviations. tq, saco: see exploration.py. cells: cells visited. entropy: of
    the ways around, see entropy.py. compatibility: mean of the episodes'. suspicious: share of rows in such segments.
    """

    name: str
    episodes: int
    rows: int
    duration: float
    path_length: float | None
    jerk: float | None
    idle: float | None
    action_variance: dict[int, float]
    state_similarity: dict[float, float]
    tq: float | None
    saco: float | None
    cells: int
    entropy: float | None
    compatibility: float | None
    suspicious: float


@dataclass(frozen=True)
class Quality:
    """Figures of a store; `dataclasses.asdict` makes JSON of it. notes: what could not be measured, and why."""

    store: GroupQuality | None
    operators: list[GroupQuality]
    episodes: list[EpisodeQuality]
    notes: list[str]


def measure(episodes: Sequence[Episode], progress: Callable[[int], None] = lambda done: None) -> Quality:
    """All figures of the given episodes. progress: called with the number of episodes read."""
    rows = []
    for number, episode in enumerate(episodes):
        rows.append(_row(episode))
        progress(number + 1)
    return Quality(None, [], rows, [])


def _row(episode: Episode) -> EpisodeQuality:
    summary = summarize(episode)
    return EpisodeQuality(
        id=episode.id,
        operator=episode.attrs.get("operator", ""),
        verdict=summary.verdict,
        duration=summary.duration,
        path_length=_known(summary.path_length),
        jerk=_known(summary.jerk),
        idle=_known(summary.idle),
        action_variance=None,
        state_similarity=None,
        tq=None,
        saco=None,
        compatibility=None,
        suspicious=[],
    )


def _known(value: float) -> float | None:
    return value if value == value else None
