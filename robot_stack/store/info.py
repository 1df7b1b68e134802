"""What is in a store, in numbers: how much, by whom, how well timed."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.store.episode import Episode
from robot_stack.store.store import Store
from robot_stack.store.timing import measured_rate, missing, repeats, skew, streams
from robot_stack.types import Array, Source


@dataclass(frozen=True)
class StreamInfo:
    """One measured stream: rate [Hz]; its age in the rows, median and 99th percentile [s]; rows that repeat the row
    before; longest time between two measurements [s]."""

    name: str
    rate: float
    age_median: float
    age_p99: float
    repeats: int
    longest_gap: float


@dataclass(frozen=True)
class RawInfo:
    """One raw stream over all episodes: messages, rate by the median [Hz], messages lost and repeated, times that run
    backwards, longest time between two messages [s]."""

    name: str
    count: int
    rate: float
    drops: int
    repeats: int
    backwards: int
    longest_gap: float


@dataclass(frozen=True)
class Info:
    """Figures of a whole store. sources: share of rows by who flew. skew: between the streams of a row [s]. raw: the
    streams beside the rows. bytes, files: of the whole folder; 0 for a store that is elsewhere."""

    episodes: int
    rows: int
    seconds: float
    rate: float
    drops: int
    salvaged: int
    synthetic: bool
    verdicts: Counter[str]
    kinds: Counter[str]
    tasks: Counter[str]
    sources: dict[str, float]
    streams: list[StreamInfo]
    raw: list[RawInfo]
    skew_median: float
    skew_p99: float
    bytes: int
    files: int


def describe(store: Store, chosen: list[Episode] | None = None) -> Info:
    """Go through the times and sources of all (or the chosen) episodes, and the folder's files."""
    episodes = store.episodes if chosen is None else chosen
    attrs = [episode.attrs for episode in episodes]
    times = [episode["time"] for episode in episodes]
    captured = {name: store.load([field], episodes)[field] for name, field in streams(store.spec).items()}
    apart = np.concatenate([[np.nan], *(skew(list(rows)) for rows in zip(*captured.values(), strict=True))])
    sizes = [path.stat().st_size for path in _files(store.path)] if isinstance(store.folder, Path) else []
    return Info(
        episodes=len(episodes),
        rows=sum(map(len, episodes)),
        seconds=sum(len(episode) / episode.attrs["rate"] for episode in episodes),
        rate=_percentile(np.array([measured_rate(time) for time in times]), 50),
        drops=sum(int(missing(time, a["rate"]).sum()) for time, a in zip(times, attrs, strict=True)),
        salvaged=sum(bool(a["salvaged"]) for a in attrs),
        synthetic=any(a["time_source"] == "synthetic" for a in attrs),
        verdicts=Counter(a["verdict"] for a in attrs),
        kinds=Counter(a["kind"] for a in attrs),
        tasks=Counter(a["task"] for a in attrs),
        sources=_shares(episodes),
        streams=[_stream(name, times, values) for name, values in captured.items()] if episodes else [],
        raw=_raw(attrs),
        skew_median=_percentile(apart, 50),
        skew_p99=_percentile(apart, 99),
        bytes=sum(sizes),
        files=len(sizes),
    )


def _stream(name: str, times: list[Array], captured: list[Array]) -> StreamInfo:
    ages = np.concatenate([time - values for time, values in zip(times, captured, strict=True)])
    return StreamInfo(
        name=name,
        rate=_percentile(np.array([measured_rate(values) for values in captured]), 50),
        age_median=_percentile(ages, 50),
        age_p99=_percentile(ages, 99),
        repeats=sum(int(repeats(values).sum()) for values in captured),
        longest_gap=max((b - a for values in captured for a, b in pairwise(np.unique(values).tolist())), default=0.0),
    )


def _raw(attrs: list[dict[str, Any]]) -> list[RawInfo]:
    """The raw streams, by their figures in the episodes' attributes."""
    figures: dict[str, list[dict[str, Any]]] = {}
    for episode in attrs:
        for name, stream in episode.get("streams", {}).items():
            figures.setdefault(name, []).append(stream)
    return [
        RawInfo(
            name=name,
            count=sum(stream["count"] for stream in found),
            rate=_percentile(np.array([stream["rate"] for stream in found]), 50),
            drops=sum(stream.get("drops", 0) for stream in found),
            repeats=sum(stream["repeats"] for stream in found),
            backwards=sum(stream["backwards"] for stream in found),
            longest_gap=max(stream["longest_gap"] for stream in found),
        )
        for name, found in figures.items()
    ]


def _shares(episodes: list[Episode]) -> dict[str, float]:
    """Share of rows each source flew, largest first."""
    if not episodes or "source" not in episodes[0].spec:
        return {}
    counts = np.bincount(np.concatenate([episode["source"] for episode in episodes]), minlength=len(Source))
    shares = {source.name.lower(): float(counts[source] / counts.sum()) for source in Source if counts[source]}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _percentile(values: Array, percent: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, percent)) if len(finite) else float("nan")


def _files(path: Path) -> list[Path]:
    return [entry for entry in path.rglob("*") if entry.is_file()]
