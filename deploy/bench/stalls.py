"""When the machine itself stood still: on each core a clock that is read every two milliseconds, before all else.

A hypervisor that takes a core away delays everything on it, also what has the highest priority. What these clocks did
not see in time was not to be had by any program; all other delays are made by what runs here.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from robot_stack.clock import now
from robot_stack.realtime import real_time

PRIORITY = 90
"""Ahead of control (60) and of the emulated controllers (70)."""
PERIOD = 0.002
"""Between two readings [s]. What is shorter than a stall that this is sure to see counts as made by us."""
NOTICED = 0.0005
"""A reading that is later than this is a stall [s]."""
STARTING = 10.0
"""The clocks run after this long [s]."""

Stalls = NDArray[np.float64]
"""(n, 3): core, last reading before, first reading after [s]."""


class Watch:
    """Clocks that are being read. Ask it when what is measured is over."""

    def __init__(self, folder: Path) -> None:
        self._files = [folder / f"core-{core}" for core in sorted(os.sched_getaffinity(0))]
        self._clocks = [
            subprocess.Popen([sys.executable, "-m", "deploy.bench.stalls", file.name.removeprefix("core-"), str(file)])
            for file in self._files
        ]
        deadline = now() + STARTING
        while now() < deadline and not all(file.exists() for file in self._files):
            time.sleep(0.01)
        self._since, self._cpu = now(), self._used()

    def stalls(self) -> Stalls:
        """All that there were so far."""
        lines = [line.split() for file in self._files for line in file.read_text().splitlines()]
        return np.array(lines, float).reshape(-1, 3)

    def cost(self) -> float:
        """What the clocks take of one core, 0..1."""
        return (self._used() - self._cpu) / (now() - self._since)

    def _used(self) -> float:
        times = [psutil.Process(clock.pid).cpu_times() for clock in self._clocks]
        return float(sum(one.user + one.system for one in times))

    def close(self) -> None:
        """Read the clocks no longer."""
        for clock in self._clocks:
            clock.kill()
            clock.wait()


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch every core that this process may use."""
    with tempfile.TemporaryDirectory(prefix="bench-stalls-") as folder:
        watch = Watch(Path(folder))
        try:
            yield watch
        finally:
            watch.close()


def main() -> None:
    """One clock. Arguments: the core, and the file that its stalls are written to."""
    core, path = int(sys.argv[1]), sys.argv[2]
    os.sched_setaffinity(0, {core})
    parent = os.getppid()
    with open(path, "w", buffering=1) as file:
        real_time(PRIORITY)
        last = now()
        while os.getppid() == parent:
            time.sleep(PERIOD)
            if now() - last > PERIOD + NOTICED:
                file.write(f"{core} {last:.6f} {now():.6f}\n")
            last = now()


if __name__ == "__main__":
    main()
