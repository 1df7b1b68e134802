"""A trainer in processes of its own, which gets its turns by being stopped and continued from outside: neither it nor
the processes that load for it does anything while the other has its turn."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from deploy.worker import QUIET_THREADS
from robot_stack.clock import now
from robot_stack.types import RobotStackError

PATIENCE = 180.0
"""Until the first steps are made [s]."""
WARM = 3
"""Steps until a trainer is as fast as it gets."""
_LOOK = 0.05  # between two looks at the notes [s]


def start(who: str, folder: Path, given: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """A trainer in a process group of its own; `folder`, which is made, is where its notes and its log go."""
    folder.mkdir()
    (folder / "given.json").write_text(json.dumps({**given, "folder": str(folder)}))
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "TOKENIZERS_PARALLELISM": "false"}
    threads = {name: str(given["threads"]) for name in QUIET_THREADS if name.endswith("_THREADS")}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "deploy.bench.train_rival", who, str(folder)],
            env={**os.environ, **QUIET_THREADS, **threads, **offline},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def notes(folder: Path) -> list[tuple[float, float, float]]:
    """Of each step: when it ended [s], how long it waited for data [s], memory of the GPU [B]."""
    file = folder / "steps.txt"
    whole = file.read_text().split("\n")[:-1] if file.exists() else []
    return [(float(end), float(waited), float(memory)) for end, waited, memory in map(str.split, whole)]


def last_words(folder: Path) -> str:
    """The end of a trainer's log."""
    return (folder / "log").read_text(errors="replace")[-3000:]


@dataclass
class Trainer:
    """`who` in a folder of its own, trained as `given` says. It has the first turn until it is warm.

    started: from the start of its process to the end of its first step [s]. rates: samples a second in each turn.
    waits: share of the step's time that data were waited for, in each turn. costs: time of a core that a sample took,
    in each turn, whoever else used the machine [s]. memory: of all its processes, at most [B].
    """

    who: str
    folder: Path
    given: Mapping[str, Any]
    rates: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    memory: float = 0.0

    def __post_init__(self) -> None:
        began = now()
        self._process = start(self.who, self.folder, self.given)
        try:
            self._wait_for(WARM)
        except BaseException:  # Ctrl-C too: nobody else knows of its process yet
            self.end()
            raise
        self.started = notes(self.folder)[0][0] - began
        self._pause()

    @property
    def parameters(self) -> int:
        """Of its network."""
        return int(json.loads((self.folder / "facts.json").read_text())["parameters"])

    @property
    def gpu_memory(self) -> float:
        """Of its tensors on the GPU, at most [B]."""
        return max(memory for _, _, memory in notes(self.folder))

    def turn(self, seconds: float, least: int) -> None:
        """Train for so long, and until so many whole steps were made; what came of it is added to `rates`."""
        before, spent = len(notes(self.folder)), self._spent()
        os.killpg(self._process.pid, signal.SIGCONT)
        time.sleep(seconds)
        self._wait_for(before + 1 + least)
        self._pause()
        steps = notes(self.folder)[before:]  # the first of them began in an earlier turn
        took = steps[-1][0] - steps[0][0]
        self.rates.append((len(steps) - 1) * self.given["batch"] / took)
        self.waits.append(sum(waited for _, waited, _ in steps[1:]) / took)
        self.costs.append((self._spent() - spent) / (len(steps) * self.given["batch"]))  # parts of two steps are one
        self.memory = max(self.memory, self._memory())

    def end(self) -> None:
        """Kill it and its loaders."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _pause(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def _wait_for(self, steps: int) -> None:
        until = now() + PATIENCE
        while len(notes(self.folder)) < steps:
            if self._process.poll() is not None or now() > until:
                raise RobotStackError(
                    f"the trainer {self.who} did not come to step {steps}:\n{last_words(self.folder)}"
                )
            time.sleep(_LOOK)

    @property
    def _processes(self) -> list[psutil.Process]:
        """Its process and its loaders."""
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def _memory(self) -> float:
        """What they share counted once [B]."""
        return float(sum(process.memory_full_info().pss for process in self._processes))

    def _spent(self) -> float:
        """Time of a core [s]."""
        return float(sum(sum(process.cpu_times()[:2]) for process in self._processes))
