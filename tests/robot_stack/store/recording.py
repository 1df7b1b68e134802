"""A process that records episodes and is killed; it says each commit on standard output."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robot_stack.spec import Field, Record, Spec
from robot_stack.store import Store

SPEC = Spec([Field("time"), Field("step", dtype="i8"), Field("q", (6,)), Field("image.front", (40, 40, 3), "u1")])
STATION = {"name": "cell", "rate": 10.0}


def row(step: int) -> Record:
    """A row whose every value follows from its step."""
    record = SPEC.record(time=step / 10, step=step)
    record["q"] = step
    record["image.front"] = np.arange(4800).reshape(40, 40, 3) + step
    return record


def die_at(number: int) -> None:
    """Kill this process at the `number`-th call to the file system that a commit relies on."""
    calls = 0

    def fatal(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return call

    for name in ("rename", "fsync", "mkdir", "unlink", "rmdir"):
        setattr(os, name, fatal(getattr(os, name)))


def record(path: str, rows: int, kill: int = 0, period: float = 0.0) -> None:
    """Salvage, then record one episode, a row every `period` [s]; with `kill`, die at that step of its commit."""
    with Store.open(path) as store:
        store.salvage()
        writer = store.writer({"kind": "collect", "task": "test"})
        for step in range(rows):
            writer.append(row(step))
            time.sleep(period)
        if kill:
            die_at(kill)
        writer.commit("success")
        print(writer.id, flush=True)


def record_for_ever(path: str) -> None:
    """Episode after episode."""
    while True:
        record(path, rows=100, period=0.001)


def record_and_die_at_every_step(path: str) -> None:
    """One process an episode, each killed one step later than the last, until one is not; all but that one must die."""
    status = kill = 0
    while kill == 0 or os.WIFSIGNALED(status):
        kill += 1
        child = os.fork()
        if child == 0:
            record(path, rows=3, kill=kill)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    {"for ever": record_for_ever, "every step": record_and_die_at_every_step}[sys.argv[1]](sys.argv[2])
