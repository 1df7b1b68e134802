"""The kill campaign: processes that work on a store at random are killed at random instants, and nothing may be lost.

After each kill a reader must find what the ledger says, byte for byte; the next process must salvage what was being
recorded and go on. It runs in a process of its own, which forks, so that whoever asks for it may have threads.
"""

import json
import random
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from deploy.bench.child import Child, in_child
from deploy.bench.known import SPEC, STATION, known, problems
from deploy.bench.ledger import Ledger
from deploy.bench.random_work import WORK, clear_up, work
from robot_stack.clock import now
from robot_stack.store import Store
from robot_stack.types import RobotStackError

_BETWEEN = "between"
_ENDS = ("salvaged", "recorded", "edited", "refused", "compacted", "imported")
_FIRST_GUESS = 0.05  # how long something takes, before it was seen [s]
_PATIENCE = 60.0  # nothing takes longer [s]
_NUMBERS = 1000  # new episodes of one process, at most


@dataclass
class Report:
    """kills: where they landed. committed: episodes that their writer was told are safe. salvaged: that were cut off,
    and came in to their last row. checked: episodes that were read and hashed, one kill after the other. problems: what
    was lost or is not as it should be: the campaign ends with the first kill that has any."""

    kills: dict[str, int] = field(default_factory=dict)
    committed: int = 0
    salvaged: int = 0
    checked: int = 0
    problems: list[str] = field(default_factory=list)


def campaign(folder: Path, kills: int, seed: int = 0, progress: Callable[[float], None] = lambda done: None) -> Report:
    """Kill so many processes. folder: an empty one. progress: called with the number of kills done."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(folder, kills, seed, theirs))
    process.start()
    theirs.close()
    try:
        while isinstance(message := json.loads(ours.recv_bytes()), int):
            progress(message)
    except EOFError as error:
        raise RobotStackError("the kill campaign ended by itself; see above") from error
    finally:
        process.kill()
        process.join()
    return Report(**message)


def _run(folder: Path, kills: int, seed: int, answer: Connection) -> None:
    attack = _Campaign(folder / "store", random.Random(seed))
    for number in range(kills):
        attack.kill(number)
        answer.send_bytes(json.dumps(number + 1).encode())
        if attack.report.problems:
            break
    attack.finish()
    answer.send_bytes(json.dumps(asdict(attack.report)).encode())


class _Campaign:
    """One store, its ledger, and a process after the other that works on it."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.report = Report(dict.fromkeys([*WORK, _BETWEEN], 0))
        self._path, self._rng = path, rng
        self._ledger = Ledger()
        self._contents: dict[str, str] = {}  # folder of a recording -> hash of its content
        self._usual = dict.fromkeys(WORK, _FIRST_GUESS)  # how long each takes [s]
        self._doing, self._since = _BETWEEN, 0.0
        Store.create(path, SPEC, STATION)

    def kill(self, number: int) -> None:
        """One process, killed while it does one thing after the other, at an instant as likely as any other."""
        goal = WORK[number % len(WORK)]
        seed, importing = self._rng.random(), self._ledger.left_to_import
        self._doing = _BETWEEN
        child = Child(lambda: work(self._path, seed, _NUMBERS * number, goal, importing))
        try:
            try:
                self._wait(child, goal)
            finally:
                child.kill()
                said, status = child.wait()
            self._hear(said)
            if status != signal.SIGKILL:
                raise RobotStackError(f"the process ended with status {status}: {said[-1:]}")
            self._judge()
        except (RobotStackError, OSError) as error:
            self.report.problems.append(f"kill {number}, in {self._doing}: {error}")
        self.report.kills[self._doing] += 1
        if self._doing == goal:
            self._usual[goal] *= 1.1  # it may take longer than those that ended make believe

    def finish(self) -> None:
        """Do what was left, make everything final, and look once more."""
        try:
            self._hear(in_child(lambda: clear_up(self._path, self._ledger.left_to_import)))
            self._judge()
        except (RobotStackError, OSError) as error:
            self.report.problems.append(f"at the end: {error}")
        left = [path for path in (self._path / "writing").iterdir() if path.name != "zarr.json"]
        self.report.problems += [f"{path} is left over" for path in [*left, *self._path.rglob("*.partial")]]
        self.report.committed, self.report.salvaged = self._ledger.told, self._ledger.salvaged

    def _wait(self, child: Child, goal: str) -> None:
        """Until some part of the time has gone by that it usually takes to do `goal`."""
        deadline = now() + _PATIENCE
        waiting = True
        while now() < deadline and (said := child.hear(deadline - now())) is not None:
            self._hear(said)
            if waiting and self._doing == goal:
                waiting, deadline = False, now() + self._rng.random() * self._usual[goal]

    def _hear(self, said: list[str]) -> None:
        """Take note of what a process announced, and of how long it took for what."""
        for line in said:
            if not line.startswith("["):
                raise RobotStackError(line)
            what, *arguments = json.loads(line)
            self._ledger.hear(what, *arguments)
            if what in WORK or what in _ENDS:
                if self._doing in WORK:
                    self._usual[self._doing] += 0.2 * (now() - self._since - self._usual[self._doing])
                self._doing, self._since = (what if what in WORK else _BETWEEN), now()

    def _judge(self) -> None:
        """What a reader finds now; RobotStackError when that is not what it should be."""
        store = Store.open(self._path)
        wrong = list(problems(store))
        shown = {episode.id: known(episode) for episode in store.episodes}
        views = {name: set(view.ids) for name, view in store.catalog.state.views.items()}
        if differs := self._ledger.disagreement(shown, views):
            wrong.append(differs)
        for recording in store.catalog.recordings.values():
            content = recording.attrs["content"]
            if self._contents.setdefault(recording.path.name, content) != content:
                wrong.append(f"{recording.path.name} has another hash than before")
        self.report.checked += len(shown)
        if wrong:
            raise RobotStackError("; ".join(wrong))
