"""The list of episodes: chosen by what a person remembers of them, a page at a time."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from deploy.viewer.library import Library

FACETS = ("verdict", "task", "operator", "kind")
"""Attributes that the list can be filtered by."""

SEARCHED = ("id", "task", "language", "operator")
"""Attributes that a text is looked for in."""


class Filter(BaseModel):
    """Which episodes, and which of them: `limit` from `offset` on. An attribute that is not given may be anything."""

    model_config = ConfigDict(extra="forbid")
    verdict: str | None = None
    task: str | None = None
    operator: str | None = None
    kind: str | None = None
    text: str = ""
    deleted: bool = False
    offset: Annotated[int, Query(ge=0)] = 0
    limit: Annotated[int, Query(ge=1, le=1000)] = 200


def page_of(library: Library, chosen: Filter) -> dict[str, Any]:
    """matching: how many there are, seconds: how long together [s], episodes: those of the page."""
    lines = [line for line in _lines(library, chosen.deleted) if _matches(line, chosen)]
    return {
        "matching": len(lines),
        "seconds": sum(line["rows"] / line["rate"] for line in lines),
        "episodes": lines[chosen.offset : chosen.offset + chosen.limit],
    }


def facets(library: Library) -> dict[str, dict[str, int]]:
    """How many episodes there are of each value of each attribute to filter by, the most frequent first."""
    lines = list(_lines(library, deleted=False))
    return {name: dict(Counter(str(line[name] or "") for line in lines).most_common()) for name in FACETS}


def _lines(library: Library, deleted: bool) -> Iterable[dict[str, Any]]:
    if not deleted:
        return library.lines
    return sorted(library.lines + library.deleted, key=lambda line: (line["place"], line["id"]))


def _matches(line: dict[str, Any], chosen: Filter) -> bool:
    if any(getattr(chosen, name) not in (None, line[name] or "") for name in FACETS):
        return False
    text = chosen.text.casefold()
    return not text or any(text in str(line[name] or "").casefold() for name in SEARCHED)
