"""Every single write step of the store killed, torn, out of room and read-only, once each; then what is left is judged.

A scenario is a list of moves on a store. It runs once undisturbed, to count its calls of disk.py and to see what the
store shows after each move; then once for each call and fault, in a child process. After that the store must show what
it showed before or after the move that was cut off, and a new writer must get to the same end.
"""

import errno
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from deploy.bench.child import in_child, say
from deploy.bench.known import SPEC, Known, known, made, problems, record
from deploy.bench.scenarios import Scenario, scenarios
from robot_stack.store import Store, disk
from robot_stack.types import RobotStackError, StoreError

STEPS = (
    *("make", "write", "extend", "append_whole", "replace", "append"),
    *("rename", "remove", "sync_folder", "sync_tree"),
)
_CONTENT = {"write": 1, "extend": 1, "append_whole": 1, "replace": 1, "append": 1}  # position of what is written
_NEED_ROOM = {"make", *_CONTENT}
_EXTRA = 99  # the episode that is recorded last

State = tuple[tuple[Known, ...], tuple[tuple[str, int], ...]] | None
"""What a store shows: its episodes in order, and the number of episodes in each view. None: there is no store."""


class Fault(Enum):
    """What becomes of a write step. TORN: it is killed half done. FULL, READ_ONLY: every step from then on fails."""

    KILL = "killed"
    TORN = "torn"
    FULL = "full"
    READ_ONLY = "read-only"

    def applies(self, step: str) -> bool:
        """Whether it can happen to that step."""
        if self is Fault.TORN:
            return step in _CONTENT or step == "remove"
        return self is not Fault.FULL or step in _NEED_ROOM


@dataclass
class Outcome:
    """How many faults were tried, by kind; what was wrong afterwards; what the errors said."""

    tried: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


class FaultyDisk:
    """Takes the place of the functions of disk.py in this process. calls: the steps that were taken."""

    def __init__(self, fault: Fault | None = None, at: int = -1) -> None:
        self.calls: list[str] = []
        self._fault, self._at = fault, at
        for name in STEPS:
            setattr(disk, name, self._wrapped(name, getattr(disk, name)))

    def _wrapped(self, name: str, original: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            number = len(self.calls)
            self.calls.append(name)
            if self._fault is None or number < self._at:
                return original(*arguments)
            if self._fault in (Fault.KILL, Fault.TORN):
                if self._fault is Fault.TORN:
                    _half(name, original, arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            if not self._fault.applies(name):
                return original(*arguments)
            if self._fault is Fault.READ_ONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            if name in ("write", "extend", "append") and number == self._at:
                _half(name, original, arguments)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return call

    def heal(self) -> None:
        """Nothing fails any more."""
        self._fault = None


def _half(name: str, original: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """The first half of a step."""
    if name == "remove":
        _remove_half(arguments[0])
        return
    at = _CONTENT[name]
    half = bytes(arguments[at])[: len(arguments[at]) // 2]
    if name == "replace":
        path = arguments[0]
        path.with_name(f"{path.name}.{os.getpid()}.partial").write_bytes(half)
    else:
        original(*arguments[:at], half, *arguments[at + 1 :])


def _remove_half(path: Path) -> None:
    """The upper half of a folder's files first: what is left looks most like something whole."""
    files = sorted((file for file in path.rglob("*") if file.is_file()), key=lambda file: (len(file.parts), file.name))
    for file in files[: -(-len(files) // 2)]:
        file.unlink()


def every_step(folder: Path, every: int = 1, progress: Callable[[float], None] = lambda done: None) -> Outcome:
    """All scenarios, in a process of their own, so that whoever asks may have threads.

    folder: an empty one. every: only an n-th of the faults, chosen by chance. progress: called with the number of
    scenarios done.
    """
    total = Outcome()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for number, scenario in enumerate(scenarios()):
            (folder / str(number)).mkdir()
            outcome = pool.submit(try_named, scenario.name, folder / str(number), every).result()
            total.tried += outcome.tried
            total.errors += outcome.errors
            total.problems += outcome.problems
            progress(number + 1)
    return total


def try_named(name: str, folder: Path, every: int = 1) -> Outcome:
    """One scenario. Forks: call it in a process that has no threads."""
    with _no_sync():
        return _try(next(scenario for scenario in scenarios() if scenario.name == name), folder, every)


@contextmanager
def _no_sync() -> Iterator[None]:
    """Nothing waits for the disk: a killed process loses nothing that it wrote, synced or not."""
    real = {name: getattr(os, name) for name in ("fsync", "fdatasync")}
    for name in real:
        setattr(os, name, lambda descriptor: None)
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def _try(scenario: Scenario, folder: Path, every: int) -> Outcome:
    """All faults at each step of a scenario, or an n-th of them."""
    template, place, outcome = folder / "template", folder / "store", Outcome()
    template.mkdir()
    in_child(lambda: scenario.prepare(template / "store"))
    states, steps = _undisturbed(scenario, template, place)
    known_problems = set(_problems(place))  # of a store that the scenario begins with damaged
    trials = [(at, fault) for at, step in enumerate(steps) for fault in Fault if fault.applies(step)]
    for at, fault in Random(0).sample(trials, -(-len(trials) // every)):
        _restore(template, folder)
        outcome.tried[fault.value] += 1
        for problem in _Trial(scenario, place, states, outcome).run(fault, at):
            if problem not in known_problems:
                outcome.problems.append(f"{scenario.name}, step {at} ({steps[at]}) {fault.value}: {problem}")
    return outcome


def _undisturbed(scenario: Scenario, template: Path, place: Path) -> tuple[list[State], list[str]]:
    """What the store shows before and after each move, and the steps that all moves take."""
    _restore(template, place.parent)
    states = [_state(place)]
    for move in scenario.moves:
        in_child(partial(move, place))
        states.append(_state(place))
    _restore(template, place.parent)

    def count() -> None:
        counted = FaultyDisk()
        for move in scenario.moves:
            move(place)
        say(",".join(counted.calls))

    steps = in_child(count)[-1].split(",")
    _restore(template, place.parent)
    return states, steps


class _Trial:
    """One fault at one step of a scenario, and what is found afterwards."""

    def __init__(self, scenario: Scenario, place: Path, states: list[State], outcome: Outcome) -> None:
        self._scenario, self._place, self._states, self._outcome = scenario, place, states, outcome

    def run(self, fault: Fault, at: int) -> Iterator[str]:
        """Do it; what is wrong, in sentences."""

        def work() -> None:
            faulty = FaultyDisk(fault, at)
            try:
                for move in self._scenario.moves:
                    move(self._place)
                    say("moved")
            except StoreError:
                faulty.heal()
                self._claim()
                raise

        said = in_child(work, may_fail=True)
        done = said.count("moved")
        if done < len(self._scenario.moves) and fault in (Fault.FULL, Fault.READ_ONLY):
            yield from self._error(said[-1] if said else "it ended without an error")
        try:
            yield from self._left(done, said.count("row"))
        except (StoreError, OSError) as error:
            yield f"afterwards: {type(error).__name__}: {error}"

    def _claim(self) -> None:
        """Once the disk is well again, the process in which it failed can write, and lets others write."""
        if self._place.exists():
            with Store.open(self._place) as store:
                try:
                    store.claim()
                except StoreError as error:
                    raise RobotStackError(f"the store cannot be claimed after a failure: {error}") from error

    def _error(self, text: str) -> Iterator[str]:
        kind, _, message = text.partition(" ")
        self._outcome.errors[message.replace(str(self._place.parent), "…")] += 1
        if kind != "StoreError":
            yield f"it raised {text}"
        elif str(self._place) not in message:
            yield f"its error does not say where: {message}"

    def _left(self, done: int, appended: int) -> Iterator[str]:
        """Judge what a reader sees, then what a writer salvages, then that the rest can be done.

        done: moves that had returned. appended: rows that had been recorded.
        """
        seen, expected = _state(self._place), self._states[done : done + 2]
        if not any(self._is_like(seen, state) for state in expected):
            yield f"after {done} moves a reader sees {seen}, expected one of {expected}"
            return
        yield from _problems(self._place)
        more: list[Known] = []
        if seen is not None:
            more = self._salvage()
            seen, recorded = _state(self._place), max((len(one.rows) for one in more), default=appended)
            if not appended <= recorded <= appended + 1:
                yield f"{recorded} rows were salvaged, {appended} had been recorded"
            if appended and not more and seen != expected[-1]:
                yield f"none of the {appended} rows that were recorded came in"
        yield from self._go_on(done + (seen == expected[-1] != expected[0]), more)

    def _salvage(self) -> list[Known]:
        """The episodes that come in and that the scenario does not end with."""
        assert self._states[-1] is not None
        with Store.open(self._place) as store:
            came = [known(store[episode]) for episode in store.salvage()]
        return [one for one in came if one not in self._states[-1][0]]

    def _go_on(self, done: int, more: list[Known]) -> Iterator[str]:
        """Make the moves that are left, then record another episode. more: what was salvaged beside what was there."""
        for move in self._scenario.moves[done:]:
            move(self._place)
        with Store.open(self._place) as store:
            if store.spec == SPEC:
                record(store, _EXTRA, 1)
                more = [*more, made(_EXTRA, 1)]
            left = store.catalog.superseded
        final, seen = self._states[-1], _state(self._place)
        assert final is not None
        assert seen is not None
        if Counter(seen[0]) != Counter([*final[0], *more]) or seen[1] != final[1]:
            yield f"it ended with {seen}, expected {final} and {more}"
        for one in more:
            if one.salvaged and not self._is_beginning(one):
                yield f"{one} was salvaged, which nobody recorded"
        left += [str(path) for path in (self._place / "writing").iterdir() if path.name != "zarr.json"]
        left += map(str, self._place.rglob("*.partial"))
        yield from (f"{path} is left over" for path in left)

    def _is_like(self, seen: State, state: State) -> bool:
        """Whether a reader sees that state; of a move that is made in parts, anything on the way to it."""
        if not self._scenario.in_parts or seen is None or state is None:
            return seen == state
        return Counter(seen[0]) <= Counter(state[0])

    def _is_beginning(self, one: Known) -> bool:
        """Whether an episode is the first rows of the one that the scenario records."""
        assert self._states[-1] is not None
        whole = self._states[-1][0][-1]
        return one.rows == whole.rows[: len(one.rows)] and one.verdict == "unknown" and self._scenario.salvages


def _problems(place: Path) -> Iterator[str]:
    """What is wrong with the store, if there is one."""
    if place.exists():
        yield from problems(Store.open(place))


def _state(place: Path) -> State:
    if not place.exists():
        return None
    store = Store.open(place)
    views = tuple((name, len(view.ids)) for name, view in store.catalog.state.views.items())
    return tuple(map(known, store.episodes)), views


def _restore(template: Path, folder: Path) -> None:
    """Everything as the scenario begins."""
    for path in folder.iterdir():
        if path != template:
            shutil.rmtree(path)
    shutil.copytree(template, folder, dirs_exist_ok=True)
