"""Train, deploy under watch, add what was recorded, train again: the rounds of every arm."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policies.experiment.arms import ARMS, UNIFORM, Arm
from policies.experiment.laboratory import Fit, Laboratory
from robot_stack.store import Store
from robot_stack.types import Source


@dataclass(frozen=True)
class Watched:
    """What a round's deployments were like: how many, share of them that succeeded with help [1], share of the steps
    that the person flew [1], and takeovers an attempt."""

    attempts: int
    success: float
    intervened: float
    takeovers: float


@dataclass(frozen=True)
class Course:
    """One arm of one seed. fits: of each round, the first from demonstrations alone. watched: of each round after."""

    fits: list[Fit]
    watched: list[Watched]


def run_rounds(laboratory: Laboratory, arms: Mapping[str, Arm], rounds: int, shared: bool) -> dict[str, Course]:
    """All arms of one task and seed. shared: all learn from what the `uniform` arm's policies recorded; otherwise each
    from what its own did. In the first round that is the same, since all begin with the same policy."""
    demonstrations = laboratory.demonstrations()
    first = laboratory.fit("base", [demonstrations], ARMS[UNIFORM])
    courses: dict[str, Course] = {}
    for name, arm in arms.items():
        course = courses[name] = Course([first], [])
        stores = [demonstrations]
        for number in range(1, rounds + 1):
            flown = courses[UNIFORM] if shared else course
            stores.append(laboratory.deployment(flown.fits[number - 1], number))
            course.watched.append(watched(stores[-1]))
            course.fits.append(laboratory.fit(f"{name}-{number}", stores, arm))
    return courses


def watched(store: Path) -> Watched:
    """What the episodes of a store say of it."""
    episodes = Store.open(store).episodes
    flew = [np.asarray(episode["source"] == Source.OPERATOR) for episode in episodes]
    starts = [int(person[0]) + int((person[1:] & ~person[:-1]).sum()) for person in flew]
    success = [episode.attrs["verdict"] == "success" for episode in episodes]
    return Watched(len(episodes), float(np.mean(success)), float(np.concatenate(flew).mean()), float(np.mean(starts)))
