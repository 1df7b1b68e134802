"""How much memory this process may still take: of the machine, and of the container or batch job that it runs in."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def free_memory(root: Path = ROOT, own: Path = OWN) -> float:
    """[B]. A container or job is ended when it takes more than its control group may, however much the machine has.

    root, own: where the system lists control groups (version 2), and that of this process.
    """
    free = float(psutil.virtual_memory().available)
    for group in _groups(root, own):
        with suppress(OSError, ValueError):  # a group without a limit, or that is not to be seen from in here
            limit = int((group / "memory.max").read_text())
            kinds = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            used = int((group / "memory.current").read_text()) - int(kinds["inactive_file"])  # files make room at once
            free = min(free, max(0.0, limit - used))
    return free


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """The control group of this process and those above it: each may have a limit."""
    with suppress(OSError):
        names = [line[3:].strip("/") for line in own.read_text().splitlines() if line.startswith("0::")]
        for name in names:
            group = root / name
            yield from (group, *(above for above in group.parents if above.is_relative_to(root)))
