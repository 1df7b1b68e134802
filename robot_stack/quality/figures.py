"""All figures of demonstrations in one go: per episode, per operator and for the store. Advice; nothing is dropped."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from robot_stack.quality.compatibility import with_base
from robot_stack.quality.consistency import NEIGHBOURS, RADII, consistency
from robot_stack.quality.demonstrations import Demonstration, demonstration, has_state, normalized
from robot_stack.quality.entropy import SIDES, behaviour_entropy, side
from robot_stack.quality.exploration import Cells, coverage_share, trajectory_quality, union, visited
from robot_stack.quality.extraneous import ALIGNED, Segment, extraneous
from robot_stack.quality.summary import EpisodeSummary, summarize
from robot_stack.store.episode import Episode
from robot_stack.types import Array, ConfigError

_MOST_ROWS = 40_000  # of more, every n-th is taken for the figures that compare rows with rows
_FEWEST = 5  # demonstrations of a base operator


@dataclass(frozen=True)
class EpisodeQuality:
    """Figures of one episode; None where its rows say nothing.

    duration [s]; path_length [unit of the motion: m, px or rad]; jerk: log dimensionless, nearer to 0 is smoother;
    idle: share of rows; action_variance: how unlike the others' its actions are in like states (the deviation of
    consistency.py: 0 is alike, 1 as unlike as in any states); state_similarity: share of the store's rows nearby; tq: 1
    a success, 0 a failure; saco: share of the store's cells that it visits; compatibility: 0..1, with the base
    operator's way; suspicious: segments that the others do not have.
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
    the ways around, see entropy.py. compatibility: mean of the episodes'.
    suspicious: share of rows in such segments, None where none were looked for.
    """

    name: str
    episodes: int
    rows: int
    duration: float
    path_length: float | None
    jerk: float | None
    idle: float | None
    action_variance: dict[int, float | None]
    state_similarity: dict[float, float | None]
    tq: float | None
    saco: float | None
    cells: int
    entropy: float | None
    compatibility: float | None
    suspicious: float | None


@dataclass(frozen=True)
class Quality:
    """Figures of a store; `dataclasses.asdict` makes JSON of it. notes: what could not be measured, and why."""

    store: GroupQuality | None
    operators: list[GroupQuality]
    episodes: list[EpisodeQuality]
    notes: list[str]


@dataclass(frozen=True)
class _Subject:
    """What is kept of an episode once it is read; `rows` of it; `way`: past which side of the straight way it went."""

    id: str
    operator: str
    rows: int
    summary: EpisodeSummary
    cells: Cells
    way: str | None
    demonstration: Demonstration


@dataclass(frozen=True)
class _Among:
    """What the others say of each demonstration (episodes,); aligned: see `extraneous`; cells visited by any."""

    action_variance: Array
    state_similarity: Array
    compatibility: Array
    segments: list[list[Segment]]
    aligned: float
    cells: Cells


def measure(
    episodes: Sequence[Episode], progress: Callable[[int], None] = lambda done: None, base: str = ""
) -> Quality:
    """All figures of the given episodes, which are of one spec.

    progress: called with the number of episodes read. base: the operator whom others are to be compatible with.
    """
    if not episodes:
        return Quality(None, [], [], ["there are no episodes"])
    if not has_state(episodes[0].spec):
        return Quality(None, [], [], ["rows have no field that could be a state: nothing can be measured"])
    stride = 1 + sum(map(len, episodes)) // _MOST_ROWS
    subjects = []
    for number, episode in enumerate(episodes):
        subjects.append(_read(episode, stride))
        progress(number + 1)
    subjects = [subject for subject in subjects if len(subject.demonstration)]
    scaled = normalized([subject.demonstration for subject in subjects])
    subjects = [replace(subject, demonstration=d) for subject, d in zip(subjects, scaled, strict=True)]
    among = _among(subjects, base)
    everybody = list(range(len(subjects)))
    operators = sorted({subject.operator for subject in subjects})
    groups = [[i for i in everybody if subjects[i].operator == operator] for operator in operators]
    store = _group("", everybody, subjects, among)
    alone = len(operators) == 1
    return Quality(
        store,
        [
            replace(store, name=name) if alone else _group(name, members, subjects, among)
            for name, members in zip(operators, groups, strict=True)
        ],
        [_row(number, subjects, among) for number in everybody],
        list(_notes(episodes, subjects, among, stride)),
    )


def _read(episode: Episode, stride: int) -> _Subject:
    operator = episode.attrs.get("operator", "")
    found = demonstration(episode).thinned(stride)
    return _Subject(episode.id, operator, len(episode), summarize(episode), visited(episode), side(episode), found)


def _among(subjects: list[_Subject], base: str) -> _Among:
    demonstrations = [subject.demonstration for subject in subjects]
    near = consistency(demonstrations, NEIGHBOURS[:1], RADII[1:2])
    alignment = extraneous(demonstrations)
    return _Among(
        near.deviation[NEIGHBOURS[0]],
        near.state_similarity[RADII[1]],
        _compatibility(subjects, base),
        alignment.segments,
        alignment.aligned,
        union(subject.cells for subject in subjects),
    )


def _compatibility(subjects: list[_Subject], base: str) -> Array:
    """Compatibility of each with the base operator (episodes,); NaN for the base, and without one."""
    scores = np.full(len(subjects), np.nan)
    if not base:
        return scores
    own = [subject.demonstration for subject in subjects if subject.operator == base]
    others = [number for number, subject in enumerate(subjects) if subject.operator != base]
    if len(own) < _FEWEST:
        names = ", ".join(sorted({subject.operator or "not named" for subject in subjects}))
        raise ConfigError(
            f"base={base!r} has {len(own)} demonstrations, at least {_FEWEST} are needed; the operators here: {names}"
        )
    found = with_base(own, [subjects[number].demonstration for number in others])
    scores[others] = [one.score for one in found]
    return scores


def _row(number: int, subjects: list[_Subject], among: _Among) -> EpisodeQuality:
    subject = subjects[number]
    summary = subject.summary
    return EpisodeQuality(
        id=subject.id,
        operator=subject.operator,
        verdict=summary.verdict,
        duration=summary.duration,
        path_length=_known(summary.path_length),
        jerk=_known(summary.jerk),
        idle=_known(summary.idle),
        action_variance=_known(among.action_variance[number]),
        state_similarity=_known(among.state_similarity[number]),
        tq=_known(trajectory_quality([summary.verdict])),
        saco=_known(coverage_share(subject.cells, among.cells)),
        compatibility=_known(among.compatibility[number]),
        suspicious=among.segments[number],
    )


def _group(name: str, members: list[int], subjects: list[_Subject], among: _Among) -> GroupQuality:
    """Figures of some of the subjects: how they are among themselves."""
    group = [subjects[number] for number in members]
    near = consistency([subject.demonstration for subject in group])
    cells = union(subject.cells for subject in group)
    summaries = [subject.summary for subject in group]
    rows = sum(subject.rows for subject in group)
    ways = [subject.way for subject in group if subject.summary.verdict != "failure"]
    doubtful = sum(segment.stop - segment.start for number in members for segment in among.segments[number])
    return GroupQuality(
        name=name,
        episodes=len(group),
        rows=rows,
        duration=float(np.median([summary.duration for summary in summaries])),
        path_length=_median([summary.path_length for summary in summaries]),
        jerk=_median([summary.jerk for summary in summaries]),
        idle=_median([summary.idle for summary in summaries]),
        action_variance={k: _mean(values) for k, values in near.action_variance.items()},
        state_similarity={radius: _mean(values) for radius, values in near.state_similarity.items()},
        tq=_known(trajectory_quality(summary.verdict for summary in summaries)),
        saco=_known(coverage_share(cells, among.cells)),
        cells=len(cells),
        entropy=_known(behaviour_entropy(ways, SIDES)),
        compatibility=_mean(among.compatibility[members]),
        suspicious=doubtful / rows if among.aligned >= ALIGNED else None,
    )


def _notes(episodes: Sequence[Episode], subjects: list[_Subject], among: _Among, stride: int) -> Iterator[str]:
    """What the figures do not say."""
    tasks = {episode.attrs.get("task", "") for episode in episodes}
    if len(tasks) > 1:
        yield f"{len(tasks)} tasks in one: figures that compare states mix them; measure a view with one task"
    if len(subjects) < len(episodes):
        yield f"{len(episodes) - len(subjects)} episodes have no finite row and are left out"
    if stride > 1:
        yield f"of {sum(map(len, episodes)):,} rows every {stride}. was compared with the others"
    if all(subject.summary.verdict == "unknown" for subject in subjects):
        yield "no verdict is known: TQ cannot be said, and behaviour entropy may count failures"
    if not among.aligned >= ALIGNED:
        share = (
            f"{among.aligned:.0%} of frames, {ALIGNED:.0%} are needed"
            if isfinite(among.aligned)
            else "fewer than 3 demonstrations"
        )
        yield f"demonstrations cannot be aligned ({share}): extraneous segments were not looked for"


def _known(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _mean(values: Array) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _median(values: list[float]) -> float | None:
    finite = [value for value in values if isfinite(value)]
    return float(np.median(finite)) if finite else None
