"""What a check found."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """OK; WARN: works, at a cost; FAIL: nothing works without it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the table: of what, how bad, what was found, what it costs, and what to do (both empty when OK)."""

    subject: str
    level: Level
    found: str
    cost: str = ""
    remedy: str = ""


def ok(subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(subject, Level.OK, found)


def warn(subject: str, found: str, cost: str, remedy: str) -> Finding:
    """Works, at a cost."""
    return Finding(subject, Level.WARN, found, cost, remedy)


def fail(subject: str, found: str, cost: str, remedy: str) -> Finding:
    """Nothing works without it."""
    return Finding(subject, Level.FAIL, found, cost, remedy)
