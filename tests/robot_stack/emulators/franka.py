"""Emulated Franka arms for tests, and their clients as processes.

The client libraries hold Python's lock while they wait, hang where a robot does not answer, and leave SCHED_FIFO behind
on the thread that connects: whatever uses them in a test is a process of its own, with a time limit.
"""

import json
import subprocess
import sys
from typing import Any

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.emulator import next_host

PATIENCE = 60.0
"""A client that takes longer has hung [s]."""


def start_franka(host: str | None = None, **keys: Any) -> EmulatorProcess:
    """An FR3 with its hand, as a context manager; keys: see configs/emulate_franka.yaml.

    `.ask(command, ...)` does something to it, `.state()`, `.events()`, `.log("cycles", path)` say what it does.
    """
    return EmulatorProcess("franka", host=host or next_host(), **keys)


def start_panda(host: str | None = None, **keys: Any) -> EmulatorProcess:
    """A Panda with its hand; the same for the rest."""
    return EmulatorProcess("panda", host=host or next_host(), **keys)


class Client:
    """A program for one of the client libraries, running: sys.argv[1] is the robot's address.

    It reads words from `tell`, and prints JSON for `hear`.
    """

    def __init__(self, host: str, program: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", program, host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> Any:
        """The next thing that it prints; AssertionError with what it complains of if it ends before."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, complaint = self._process.communicate(timeout=PATIENCE)
            raise AssertionError(f"the client has ended ({self._process.returncode}):\n{complaint}")
        return json.loads(line)

    def tell(self, word: str = "") -> None:
        """Let it go on: it waits in `input()`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
