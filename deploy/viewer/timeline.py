"""What happened when in an episode: who flew, take-overs, missing rows, findings; as stretches of rows."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.viewer.library import OpenEpisode
from robot_stack.interventions import Label, labels
from robot_stack.store.timing import missing
from robot_stack.types import Source

Stretch = tuple[str, int, int]  # name, first row, row after the last


def timeline(opened: OpenEpisode) -> dict[str, Any]:
    """sources and labels: stretches. gaps: [row, rows missing before it]."""
    attrs, spec = opened.episode.attrs, opened.episode.spec
    lost = missing(opened["time"], float(attrs["rate"]))
    found: dict[str, Any] = {"gaps": [[int(step) + 1, int(lost[step])] for step in np.flatnonzero(lost)]}
    source = opened["source"] if "source" in spec else np.zeros(len(opened.episode), np.uint8)
    tags = labels(source, float(attrs["rate"]), attrs["kind"])
    return {**found, "sources": stretches(source, Source), "labels": _takeovers(tags)}


def stretches(values: NDArray[Any], names: type[Source] | type[Label]) -> list[Stretch]:
    """Runs of equal values (T,), named."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(_name(names, int(values[start])), start, stop) for start, stop in pairwise(edges)]


def _takeovers(tags: NDArray[np.uint8]) -> list[Stretch]:
    told = {Label.INTERVENTION.name.lower(), Label.PRE_INTERVENTION.name.lower()}
    return [stretch for stretch in stretches(tags, Label) if stretch[0] in told]


def _name(names: type[Source] | type[Label], value: int) -> str:
    return names(value).name.lower() if value in set(names) else f"unknown {value}"
