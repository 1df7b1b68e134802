"""Attempts that a scripted person takes part in, and the stores that they are recorded to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Generator

from policies.experiment.gate import Gate, Rule
from policies.experiment.person import Flaws, Person
from policies.pilot import Pilot
from robot_stack.sim.metaworld import MetaWorld
from robot_stack.spec import Record
from robot_stack.store import Store
from robot_stack.types import ConfigError, Source


@dataclass
class Attempt:
    """One attempt in progress. chunk: what the policy proposed last; it was asked `age` steps ago."""

    world: MetaWorld
    seed: int
    person: Person
    gate: Gate
    generator: Generator
    chunk: Record | None = None
    age: int = 0
    rows: list[Record] = field(default_factory=list)

    def fly(self, action: NDArray[Any], source: Source) -> None:
        """One step; its row is kept."""
        row = self.world.observe(1)[0]
        self.world.fly(action, source)
        self.rows.append(row)

    def step(self) -> None:
        """One step by the policy, or by the person if the gate says so; who lets go has the policy asked anew."""
        assert self.chunk is not None
        proposed, wanted = self.world.due(self.chunk).clip(-1.0, 1.0), self.world.advice()
        flew = self.gate.flies
        if self.gate.step(proposed, wanted, self.world.observe(1)[0]["hand"]):
            if not flew:
                self.person.take_over()
            self.fly(self.person(wanted), Source.OPERATOR)
        else:
            self.fly(proposed, Source.POLICY)
        self.age += 1
        if flew and not self.gate.flies:
            self.chunk = None


def demonstrate(
    world: MetaWorld, seeds: Iterable[int], wanted: int, flaws: Flaws, store: Store, attrs: Mapping[str, Any]
) -> None:
    """Record attempts of a person, one from each start state, until `wanted` of them succeeded."""
    succeeded = 0
    for seed in seeds:
        attempt = _attempt(world, seed, Rule(), flaws)
        while not world.done:
            attempt.fly(attempt.person(world.advice()), Source.OPERATOR)
        _record(attempt, store, {**attrs, "kind": "collect"}, world.success)
        succeeded += world.success
        if succeeded == wanted:
            return
    raise ConfigError(f"the demonstrator succeeded {succeeded} times, {wanted} are wanted: lower demonstrator.noise")


def deploy(
    pilot: Pilot,
    worlds: Sequence[MetaWorld],
    seeds: Sequence[int],
    rule: Rule,
    flaws: Flaws,
    store: Store,
    attrs: Mapping[str, Any],
) -> None:
    """Record an attempt of a policy, watched by a person, from each start state, in their order."""
    ended = {attempt.seed: (attempt, success) for attempt, success in _flown(pilot, worlds, seeds, rule, flaws)}
    for seed in seeds:
        attempt, success = ended[seed]
        _record(attempt, store, {**attrs, "kind": "deploy"}, success)


def _flown(
    pilot: Pilot, worlds: Sequence[MetaWorld], seeds: Sequence[int], rule: Rule, flaws: Flaws
) -> Iterator[tuple[Attempt, bool]]:
    """All attempts, as many at once as there are worlds; the policy proposes also while the person flies."""
    waiting = iter(seeds)
    flying = [_attempt(world, seed, rule, flaws) for world, seed in zip(worlds, waiting, strict=False)]
    while flying:
        _ask(pilot, [a for a in flying if a.chunk is None or a.age >= pilot.window.execute])
        still_flying = []
        for attempt in flying:
            attempt.step()
            if attempt.world.done:
                yield attempt, attempt.world.success
                still_flying += [_attempt(attempt.world, seed, rule, flaws) for seed in islice(waiting, 1)]
            else:
                still_flying.append(attempt)
        flying = still_flying


def _ask(pilot: Pilot, attempts: Sequence[Attempt]) -> None:
    """New chunks, computed together."""
    if not attempts:
        return
    histories = [attempt.world.observe(pilot.window.history) for attempt in attempts]
    chunks = pilot.chunks(histories, attempts[0].world.station, [attempt.generator for attempt in attempts])
    for attempt, chunk in zip(attempts, chunks, strict=True):
        attempt.chunk, attempt.age = chunk, 0


def _attempt(world: MetaWorld, seed: int, rule: Rule, flaws: Flaws) -> Attempt:
    world.reset(seed)
    return Attempt(world, seed, Person(flaws, seed), Gate(rule), Generator().manual_seed(seed))


def _record(attempt: Attempt, store: Store, attrs: Mapping[str, Any], success: bool) -> None:
    writer = store.writer({**attrs, "seed": attempt.seed})
    for row in attempt.rows:
        writer.append(row)
    writer.commit("success" if success else "failure")


def create(folder: Path, world: MetaWorld, name: str) -> Store:
    """An empty store for the rows of a world."""
    return Store.create(folder, world.row, {"name": name, "robot": "", "rate": world.rate})
