"""One thing that is wrong with an episode, or may be."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # the data is not what was recorded, or cannot be: do not train on it
    WARNING = "warning"  # something failed while it was recorded: look at it
    ADVICE = "advice"  # a person may have done better


@dataclass(frozen=True)
class Finding:
    """Where (episode, step or -1 for all of it), how bad, what was found, and what to do about it."""

    episode: str
    step: int
    severity: Severity
    what: str
    advice: str
