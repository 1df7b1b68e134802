"""The best checkpoints of a run, and when to give up waiting for a better one."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from policies import checkpoint

BEST = "best"


class Best:
    """keep: how many are kept, in the folders `best`, `best-2`, … of the run. patience: how many in a row may be no
    better than the best before the run ends; 0: any number."""

    def __init__(self, keep: int, patience: int) -> None:
        self.keep = keep
        self.patience = patience
        self.worths: list[float] = []  # of those kept, the best first
        self.since = 0

    @property
    def exhausted(self) -> bool:
        """Whether there was nothing better for too long."""
        return 0 < self.patience <= self.since

    def offer(self, folder: Path, worth: float, save: Callable[[Path], Any]) -> None:
        """Keep what `save` writes in a folder of the run if it is among the best; the larger `worth` is better.

        It is whole before another one goes.
        """
        place = sum(known >= worth for known in self.worths) if math.isfinite(worth) else self.keep
        self.since = 0 if place == 0 else self.since + 1
        if place >= self.keep:
            return
        save(folder / f".{BEST}")
        for i in range(self.keep - 1, place, -1):
            if (folder / _name(i - 1)).exists():
                checkpoint.put(folder / _name(i - 1), folder / _name(i))
        checkpoint.put(folder / f".{BEST}", folder / _name(place))
        self.worths = [*self.worths[:place], worth, *self.worths[place:]][: self.keep]

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"worths": self.worths, "since": self.since}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.worths, self.since = list(state["worths"]), state["since"]


def _name(place: int) -> str:
    return BEST if place == 0 else f"{BEST}-{place + 1}"
