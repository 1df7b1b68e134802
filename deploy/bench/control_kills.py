"""`bench control`, part kills: `kill -9` of a random process at a random instant while the arm moves, over and over.

Hardware rules are on: whatever stops the arm, a person clears it at the page. After each kill the controller's journal
is held against the limits, the arm must come to rest, by itself or when it is told to stop, and the store must open and
show every episode that it showed before, unchanged; at the end each is read and hashed.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from deploy import cell
from deploy.bench.control_cell import Bench, emulated
from deploy.bench.control_flight import flying, moving, order, trace
from deploy.bench.control_losses import REMEMBERED, TOLERANCE
from deploy.bench.control_script import script
from deploy.bench.control_timing import spread
from deploy.bench.figure import Figure, count
from deploy.bench.session import Session, alive
from robot_stack.bus import Subscriber
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.progress import bar
from robot_stack.robots import robot as robot_named
from robot_stack.station import RECORDING
from robot_stack.store import Store
from robot_stack.store.check import damages
from robot_stack.types import RobotStackError, StoreError

PARENT = "service"
STOPS = {"control", "replay", "world", PARENT}
"""Without these the arm comes to rest by itself; without others it flies on, and is told to stop."""
ENDS = {"world", PARENT}
"""With these the session ends."""
WATCHED, RESTS = 1.2, 1.0
"""The arm is watched so long after a kill; it must be at rest within this, or within this of being told to stop [s]."""
GONE = 5.0
"""No process outlives its session by more [s]."""
IN_VAIN = 3
"""After so many sessions in which the arm did not move the campaign ends."""
EPISODE = 4.0
"""Of the replay: short, so that there are many [s]."""


@dataclass
class Report:
    """kills: of each process. rests: until the arm was at rest, where it had to stop by itself [s]. excess: the most
    of each limit, 1 is the limit. braked: the most that the controller itself asked of a joint [rad/s^2]. told:
    episodes that the recorder said are committed. unfair: kills in which the arm was not judged, see `Trace.is_fair`.
    problems: what should not be."""

    kills: Counter[str] = field(default_factory=Counter)
    rests: list[float] = field(default_factory=list)
    excess: dict[str, float] = field(default_factory=dict)
    braked: float = 0.0
    told: int = 0
    unfair: int = 0
    problems: list[str] = field(default_factory=list)


def measure(bench: Bench) -> list[Figure]:
    """As many kills as the config says."""
    kills = int(bench.config["kills"])
    bench.say(f"{kills} kills")
    with emulated(bench, REMEMBERED) as emulator, bar("kill -9", kills) as progress:
        campaign = _Campaign(bench, emulator, kills, progress.update)
        while campaign.left and campaign.vain < IN_VAIN:
            campaign.session()
    campaign.finish()
    return _judged(campaign.report, kills)


def _judged(report: Report, kills: int) -> list[Figure]:
    what = f"{sum(report.kills.values())} kills"
    limits = [
        Figure(f"{what}: most of the limit, {name}", {"": value}, "%", "<= 102 %", value <= 1.0 + TOLERANCE)
        for name, value in report.excess.items()
    ]
    return [
        count(f"{what}: not done", kills - sum(report.kills.values()), 0),
        Figure(f"{what}: of whom", {name: float(number) for name, number in sorted(report.kills.items())}, ""),
        *limits,
        Figure(f"{what}: fastest braking by the controller itself [rad/s^2]", {"": report.braked}, ""),
        spread(f"{what}: arm at rest by itself after", report.rests or [0.0], "ms"),
        count(f"{what}: arm not judged, as the emulated controller was held up itself", report.unfair),
        count(f"{what}: episodes committed, and there", report.told),
        count(f"{what}: what was wrong", len(report.problems), 0),
    ]


class _Campaign:
    """One store, one emulated arm, and a session after the other that is killed at."""

    def __init__(self, bench: Bench, emulator: EmulatorProcess, kills: int, progress: Callable[[float], None]) -> None:
        self.report, self.left = Report(), kills
        self._bench, self._emulator, self._progress = bench, emulator, progress
        self._random = random.Random(int(bench.config["seed"]))
        self._robot, self._limits = robot_named(bench.robot), cell.driver(bench.config["robot"]["limits"])
        self.vain = 0  # sessions in a row in which nobody could be killed
        self._store, self._shown = bench.folder / "store.zarr", dict[str, str]()
        self._kills = kills

    def session(self) -> None:
        """Kill in one session until it ends, or all is done."""
        keys = [f"source={script(self._bench)}", f"store={self._store}", f"time_limit={EPISODE}"]
        keys += ["teleop=browser", "robot.hardware=true"]
        left = self.left
        try:
            with flying(self._bench, "replay", *keys) as session:
                recorder = Committed(session.bus.subscriber(RECORDING, keep=RECORDING.depth))
                try:
                    while self.left and self._kill(session) not in ENDS:
                        recorder.listen()
                finally:
                    recorder.listen()
                    self.report.told += recorder.told
        except (RobotStackError, psutil.Error) as error:
            self._wrong("session", str(error))
        self.vain = 0 if self.left < left else self.vain + 1

    def finish(self) -> None:
        """Look at every value of the store once more, after what was cut off has been salvaged."""
        with Store.open(self._store) as store:
            store.claim()
            salvaged = store.salvage()
            self._bench.say(f"{len(salvaged)} episodes salvaged at the end")
        store = Store.open(self._store)
        for recording in store.catalog.recordings.values():
            self.report.problems += [f"{recording.path.name}: {damage}" for damage in damages(recording)]
        whole = [episode for episode in store.episodes if not episode.attrs["salvaged"]]
        if len(whole) < self.report.told:
            self.report.problems.append(f"{self.report.told} episodes were committed, {len(whole)} are there")
        for problem in self.report.problems:
            self._bench.say(problem)

    def _kill(self, session: Session) -> str:
        """One kill; of whom."""
        moving(session, lambda record: True)
        workers = _named(session)
        victim = self._random.choice(sorted([*workers, PARENT]))
        time.sleep(self._random.uniform(0.0, 1.0))
        moving(session, lambda record: True)
        killed = now()
        os.kill(session.process.pid if victim == PARENT else workers[victim].pid, signal.SIGKILL)
        time.sleep(WATCHED)
        self._judge(session, victim, killed)
        if victim in ENDS:
            self._await_end([worker.pid for worker in workers.values()], victim)
        self._look_at_store(victim)
        self.report.kills[victim] += 1
        self.left -= 1
        self._progress(self._kills - self.left)
        return victim

    def _judge(self, session: Session, victim: str, killed: float) -> None:
        seen = trace(self._bench, self._emulator, killed - 0.5)
        rest = seen.rest(killed) - killed
        if victim in STOPS:
            self.report.rests.append(rest)
        else:
            killed = now()
            order(session, "stop")
            time.sleep(RESTS)
            stopped = trace(self._bench, self._emulator, killed)
            rest = stopped.rest(killed) - killed
            seen = trace(self._bench, self._emulator, killed - WATCHED - 0.5)
        if rest > RESTS:
            self._wrong(victim, f"the arm was not at rest after {RESTS:.1f} s")
        for name, value in seen.excess(self._robot, self._limits).items():
            self.report.excess[name] = max(value, self.report.excess.get(name, 0.0))
            if value > 1.0 + TOLERANCE:
                self._wrong(victim, f"{name} was {100 * value:.0f} % of its limit")
        self.report.unfair += not seen.is_fair
        self.report.braked = max(self.report.braked, seen.controllers_acceleration())

    def _await_end(self, workers: list[int], victim: str) -> None:
        end = now() + GONE
        while any(map(alive, workers)) and now() < end:
            time.sleep(0.02)
        if left := [pid for pid in workers if alive(pid)]:
            self._wrong(victim, f"processes {left} are left")

    def _look_at_store(self, victim: str) -> None:
        """What was shown must be shown again, with the same content."""
        try:
            store = Store.open(self._store)
        except StoreError as error:
            self._wrong(victim, f"the store does not open: {error}")
            return
        shown = {recording.path.name: recording.attrs["content"] for recording in store.catalog.recordings.values()}
        if lost := [name for name, content in self._shown.items() if shown.get(name) != content]:
            self._wrong(victim, f"the store lost {', '.join(lost)}")
        self._shown |= shown

    def _wrong(self, victim: str, what: str) -> None:
        self.report.problems.append(f"kill {self._kills - self.left}, {victim}: {what}")


def _named(session: Session) -> dict[str, psutil.Process]:
    """The workers of a session by their names."""
    named = {}
    for worker in session.workers():
        with suppress(psutil.Error):  # it has just ended
            if name := worker_name(worker.cmdline()):
                named[name] = worker
    return named


class Committed:
    """Counts what the recorders of a session say that they committed; each begins at none."""

    def __init__(self, said: Subscriber) -> None:
        self.told = 0
        self._said, self._last = said, 0

    def listen(self) -> None:
        """Take in what was said since."""
        for record in self._said.drain():
            committed = int(record["committed"])
            self.told += max(0, committed - self._last)
            self._last = committed


def worker_name(command: list[str]) -> str:
    """The name of the worker that this is the command line of, empty if it is none."""
    return command[command.index("deploy.worker") + 2] if "deploy.worker" in command[:-2] else ""
