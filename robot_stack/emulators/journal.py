"""What an emulator remembers of its own doing: events in words, and every cycle and command in numbers."""

import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.clock import now
from robot_stack.spec import Spec

EVENTS = 10_000
"""The newest so many are kept."""


class Events:
    """What happened, in order: {"time": of clock.now [s], "event": what, ...}."""

    def __init__(self) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)

    def add(self, event: str, **details: Any) -> None:
        """Note what has just happened."""
        self._events.append({"time": now(), "event": event, **details})

    def since(self, time: float) -> list[dict[str, Any]]:
        """Those after `time` [s], oldest first."""
        return [event for event in self._events if event["time"] > time]


class Ring:
    """The newest `size` rows of a table, complete: every row that was written is there until it is overwritten."""

    def __init__(self, spec: Spec, size: int) -> None:
        self._rows = np.zeros(size, spec.dtype)
        self._written = 0

    def add(self, row: tuple[Any, ...]) -> None:
        """Append one row, its values in the order of the spec."""
        self._rows[self._written % len(self._rows)] = row
        self._written += 1

    def save(self, path: Path) -> int:
        """Write the rows, oldest first, as a structured array (.npy); return how many were ever written."""
        first = self._written % len(self._rows)
        rows = np.roll(self._rows, -first) if self._written > len(self._rows) else self._rows[: self._written]
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            np.save(file, rows)
        temporary.replace(path)
        return self._written
