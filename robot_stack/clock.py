"""One clock for everything, and pacing by absolute deadlines."""

import time
from typing import Protocol


def now() -> float:
    """Seconds of the system-wide monotonic clock, the same in all processes of this machine [s]."""
    return time.monotonic()


class Clock(Protocol):
    """Something that tells the time: `now`, or a `VirtualClock`."""

    def __call__(self) -> float: ...


class VirtualClock:
    """A clock that stands still until it is moved: lockstep simulation and tests."""

    def __init__(self, start: float = 0.0) -> None:
        self.time = start

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds` [s]."""
        self.time += seconds


SPIN = 100e-6
"""The last stretch before a deadline is waited awake [s]: an idle core takes about that long to wake a process."""


class Rate:
    """Paces a loop by absolute deadlines `start + k * period`, so that lateness does not add up.

    After an overrun of more than one period the missed deadlines are skipped and counted, never caught up in a burst:
    a burst of servo commands is a jerk of the arm.
    """

    def __init__(self, hertz: float) -> None:
        self.period = 1.0 / hertz
        self.deadline = now() + self.period
        self.missed = 0

    def sleep(self) -> float:
        """Wait for the next deadline; return how late this loop woke [s]."""
        time.sleep(max(0.0, self.deadline - SPIN - now()))
        while (woke := now()) < self.deadline:
            pass
        lateness = woke - self.deadline
        skipped = int(lateness // self.period) if lateness > 0.0 else 0
        self.missed += skipped
        self.deadline += (1 + skipped) * self.period
        return lateness
