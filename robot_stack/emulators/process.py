"""An emulator as a process of its own, for tests and rehearsals: started, asked, and ended with whoever started it."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from robot_stack.types import DeviceError

PATIENCE = 60.0
"""Longest wait for one answer [s]: a machine under load stalls, and building a scene for the first time takes long."""


class EmulatorProcess:
    """A running `robot-stack emulate KIND key=value ...`. It ends when this process does, however that comes about.

    host: the address that it serves. session: of the bus on which it shows its scene. admin: port of its back door.
    """

    def __init__(self, kind: str, **keys: Any) -> None:
        words = [
            f"{key}={json.dumps(value) if isinstance(value, list | bool) else value}" for key, value in keys.items()
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "robot_stack", "emulate", kind, "stdin_owner=true", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            raise DeviceError(f"the emulator of {kind} did not start (exit code {self._process.returncode}): see above")
        ready = json.loads(line)
        self.host: str = ready["host"]
        self.session: str = ready["session"]
        self.admin: int = ready["admin"]
        self.pid = self._process.pid
        self._socket = socket.create_connection(("127.0.0.1", ready["admin"]), PATIENCE)
        self._answers = self._socket.makefile("rb")

    def ask(self, command: str, **arguments: Any) -> Any:
        """Run one of the emulator's commands; DeviceError with its words if it refuses."""
        self._socket.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
        answer = json.loads(self._answers.readline() or '{"error": "the emulator has ended"}')
        if "error" in answer:
            raise DeviceError(f"emulator: {command}: {answer['error']}")
        return answer["ok"]

    def state(self) -> dict[str, Any]:
        """What the emulated controller is doing."""
        state: dict[str, Any] = self.ask("state")
        return state

    def events(self, since: float = 0.0) -> list[dict[str, Any]]:
        """What happened after `since` of `clock.now` [s], oldest first."""
        events: list[dict[str, Any]] = self.ask("events", since=since)
        return events

    def log(self, table: str, path: Path) -> NDArray[np.void]:
        """The newest rows of one of the emulator's tables, written to `path` (.npy): `cycles` or `commands`."""
        self.ask("save", table=table, path=str(path))
        rows: NDArray[np.void] = np.load(path)
        return rows

    def stop(self) -> int:
        """End it; return its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._answers.close()
        self._socket.close()
        self._process.stdin.close()
        try:
            code = self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
