"""The part of a store's report on the quality of its demonstrations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import batched
from typing import Any

import numpy as np

from deploy.report import store_figures
from deploy.report.page import bullets, paragraph, section, table
from robot_stack.quality.figures import EpisodeQuality, GroupQuality, Quality
from robot_stack.types import Array

FIGURES = {
    "duration [s]": "duration",
    "path length": "path_length",
    "log dimensionless jerk": "jerk",
    "idle share": "idle",
    "action variance": "action_variance",
    "state similarity": "state_similarity",
    "compatibility": "compatibility",
}
"""What is drawn of each episode: title -> attribute."""

DRAWN = 4
"""Histograms in one row of pictures."""

OPERATORS = 20
"""Most operators in the table."""


def quality_sections(quality: Quality, unit: str) -> list[str]:
    """Spread over the episodes, then by operator, then what stands out. unit: of path lengths."""
    titles = {
        (f"{title} [{unit}]" if unit and name == "path_length" else title): name for title, name in FIGURES.items()
    }
    drawn = {title: _values(quality.episodes, name) for title, name in titles.items()}
    drawn = {title: values for title, values in drawn.items() if np.isfinite(values).sum() > 1}
    pictures = [store_figures.spreads(dict(some)) for some in batched(drawn.items(), DRAWN)]
    parts = [paragraph("Each picture counts episodes; the line is the median.") if pictures else "", *pictures]
    groups = _shown(quality)
    if groups:
        parts += [_groups(groups)]
    if quality.notes:
        parts += [bullets(quality.notes)]
    found = [section("How well it was demonstrated", *parts)] if any(parts) else []
    return found + _suspicious(quality.episodes)


def _shown(quality: Quality) -> list[GroupQuality]:
    """Operators, then all together where there are several."""
    operators = quality.operators[:OPERATORS]
    if quality.store is None or len(quality.operators) < 2:
        return operators
    return [*operators, replace(quality.store, name="all")]


def _groups(groups: Sequence[GroupQuality]) -> str:
    header = (
        "operator",
        "episodes",
        "duration [s]",
        "jerk",
        "idle",
        "action variance",
        "state similarity",
        "TQ",
        "SACo",
        "ways (entropy)",
    )
    rows = [
        (
            group.name or "not named",
            f"{group.episodes:,}",
            f"{group.duration:.1f}",
            _number(group.jerk),
            _number(group.idle),
            _number(_middle(group.action_variance)),
            _number(_middle(group.state_similarity)),
            _number(group.tq),
            _number(group.saco),
            _number(group.entropy),
        )
        for group in groups
    ]
    return table(header, rows)


def _suspicious(episodes: Sequence[EpisodeQuality]) -> list[str]:
    rows = [
        (episode.id, f"{segment.start}", f"{segment.stop}") for episode in episodes for segment in episode.suspicious
    ]
    if not rows:
        return []
    words = "Segments that no other demonstration has (EIL's voting). Rare is not wrong: look before you trim."
    return [section("What stands out", paragraph(words), table(("episode", "from row", "to row"), rows[:30]))]


def _values(episodes: Sequence[EpisodeQuality], name: str) -> Array:
    return np.array([np.nan if getattr(e, name) is None else getattr(e, name) for e in episodes], float)


def _middle(figures: Mapping[Any, float | None]) -> float | None:
    """Of figures by a parameter: the one of the middle parameter."""
    return figures[sorted(figures)[len(figures) // 2]] if figures else None


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3g}"
