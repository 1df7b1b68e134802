"""Emulators for tests, each on a loopback address of its own, so that tests may run beside each other.

    with start_ur() as ur:
        subprocess.run([sys.executable, "-c", f"... RTDEControlInterface({ur.host!r}) ..."])
        ur.ask("pstop")

Client libraries that can crash belong into a process of their own: `run_client`.
"""

import itertools
import os
import subprocess
import sys
import textwrap
from typing import Any

from robot_stack.emulators.process import EmulatorProcess

_numbers = itertools.count(2)


def next_host() -> str:
    """A loopback address that no other emulator of this or another test process uses."""
    pid = os.getpid()
    return f"127.{1 + pid // 250 % 250}.{1 + pid % 250}.{next(_numbers)}"


def start_ur(host: str | None = None, **keys: Any) -> EmulatorProcess:
    """A UR5e with its gripper. keys: of configs/emulate_ur5e.yaml."""
    return EmulatorProcess("ur5e", host=host or next_host(), **keys)


def start_robotiq(host: str | None = None, **keys: Any) -> EmulatorProcess:
    """A gripper alone. keys: of configs/emulate_robotiq.yaml."""
    return EmulatorProcess("robotiq", host=host or next_host(), **keys)


def run_client(code: str, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own; `arguments` are its sys.argv[1:]."""
    program = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=timeout)
