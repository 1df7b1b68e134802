"""Segments of a demonstration that the others do not have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """Rows start..stop of an episode; support: the share of the other demonstrations that have something like it."""

    start: int
    stop: int
    support: float
