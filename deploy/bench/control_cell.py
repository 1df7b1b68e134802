"""What the parts of `bench control` are measured on: an emulated controller, and a loop before it."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deploy import cell
from deploy.bench.stalls import Watch
from deploy.worker import spawn
from robot_stack.bus import SharedBus
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.spec import Record
from robot_stack.station import REQUEST, Station
from robot_stack.types import Mode, RobotStackError

STARTING = 30.0
"""A loop flies at the latest after this [s]."""
HEARTBEAT = 0.05
"""Between requests of the parent that this bench is [s]."""
PRIORITY = 45
"""Of this process while it times something: behind all that it measures."""
EMULATORS = {"ur5e": "ur5e", "fr3": "franka"}
"""Robot -> kind of its emulated controller."""


@dataclass(frozen=True)
class Bench:
    """What a part is given. config: as it was composed. folder: of this part; shared: of all of them. watch: over the
    machine. say: tells who waits what is done."""

    config: Mapping[str, Any]
    folder: Path
    shared: Path
    watch: Watch
    say: Callable[[str], None]

    @property
    def station(self) -> Station:
        """The streams of the cell."""
        return cell.station({**self.config, "rate": 10.0})

    @property
    def robot(self) -> str:
        """Its name in `robot_stack.robots`."""
        return str(self.config["robot"]["name"])

    @property
    def host(self) -> str:
        """Where its controller is emulated."""
        return str(self.config["robot"]["arm"]["host"])


@contextmanager
def ahead() -> Iterator[None]:
    """This thread before all ordinary processes, if the system grants it: what it times is not its own waiting."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def own_address() -> str:
    """A loopback address on which no other process emulates a robot."""
    pid = os.getpid()
    return f"127.{1 + pid // 250 % 250}.{1 + pid % 250}.1"


@contextmanager
def emulated(bench: Bench, seconds: float) -> Iterator[EmulatorProcess]:
    """The robot of this bench, which remembers what it did for so long [s]."""
    keys: dict[str, Any] = {"host": bench.host, "task": bench.config["task"]["name"]}
    if bench.robot == "ur5e":
        keys["log_seconds"] = seconds
    with EmulatorProcess(EMULATORS[bench.robot], **keys) as emulator:
        yield emulator


def journal(bench: Bench, emulator: EmulatorProcess, table: str, since: float = 0.0) -> NDArray[np.void]:
    """The rows of a table of the emulator after `since` [s], oldest first."""
    rows = emulator.log(table, bench.folder / f"{table}.npy")
    later: NDArray[np.void] = rows[rows["time"] > since]
    return later


class Cell:
    """A loop in a process of its own, and this process as its parent and operator.

    kind: of the worker; config: what it needs beside station and robot. mode: what the parent asks for.
    """

    def __init__(self, bench: Bench, kind: str, **config: Any) -> None:
        self.mode = Mode.RUN
        session, station = f"bench-control-{token_hex(4)}", bench.station
        self.bus = SharedBus(session)
        self.control = self.bus.subscriber(station.control, keep=station.control.depth)
        self.operator, self.chunk = self.bus.publisher(station.operator), self.bus.publisher(station.chunk)
        self._requests, self._ended = self.bus.publisher(REQUEST), threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heart", daemon=True)
        own = {"station": cell.to_json(station), "robot": bench.robot, "task": bench.config["task"]["name"], **config}
        self.worker = spawn(kind, session, own, bench.folder, name=kind.rpartition(".")[2].partition(":")[0])

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.worker.stop()
        self._ended.set()
        self._heart.join()
        self.bus.close()

    def until(self, wanted: Callable[[Record], bool], patience: float = STARTING) -> Record:
        """The first control record from now on that is as wanted."""
        deadline = now() + patience
        self.control.drain()
        while now() < deadline:
            for record in self.control.drain():
                if wanted(record):
                    return record
            self.check()
            time.sleep(0.001)
        raise RobotStackError(f"bench waited {patience:.0f} s in vain; {self.worker.name} said:\n{self._said()}")

    def check(self) -> None:
        """RobotStackError when the loop has ended."""
        if not self.worker.alive:
            raise RobotStackError(f"{self.worker.name} ended with code {self.worker.exitcode}:\n{self._said()}")

    def _said(self) -> str:
        return self.worker.log_tail()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            self._requests.send(REQUEST.spec.record(time=now(), mode=self.mode, speed=1.0))


def ours(bench: Bench) -> Cell:
    """Our control loop."""
    robot = bench.config["robot"]
    return Cell(bench, "control", driver=robot["arm"], limits=robot["limits"])
