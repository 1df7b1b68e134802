"""What the parts of `bench store` share: ratios, sizes, the page cache, and rivals in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.bench.figure import Figure
from deploy.worker import QUIET_THREADS
from robot_stack.types import RobotStackError

Say = Callable[[str], None]
"""Tells the person who waits what is going on."""


def ratio(what: str, ours: Sequence[float], theirs: Sequence[float], least: float | None = None) -> Figure:
    """How many times faster, of rates that were measured in turn: median of the pairs, smallest and largest."""
    pairs = np.asarray(ours) / np.asarray(theirs)
    values = {"median": float(np.median(pairs)), "min": float(pairs.min()), "max": float(pairs.max())}
    if least is None:
        return Figure(what, values, "x")
    return Figure(what, values, "x", f">= {least:g} x", values["median"] >= least)


def disk_bytes(path: Path) -> int:
    """Of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def forget(path: Path) -> None:
    """Have the system drop what it holds in memory of the files in a folder."""
    for file in path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)  # what is not on disk yet cannot be dropped
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def rival(task: str, folder: Path, module: str = "store_rivals", **given: Any) -> dict[str, Any]:
    """Run a task of a module of rivals in a process of its own, without network; return what it returns."""
    folder = folder / f"rival-{task}-{len(list(folder.glob('rival-*')))}"
    folder.mkdir()
    (folder / "given.json").write_text(json.dumps({"folder": str(folder), **given}))
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", f"deploy.bench.{module}", task, str(folder)]
    os.sync()  # what was written before is not to be paid for now
    done = subprocess.run(
        command,
        env={**os.environ, **QUIET_THREADS, **offline},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RobotStackError(f"{task} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result
