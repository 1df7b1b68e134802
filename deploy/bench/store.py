"""`robot-stack bench store`: the figures of the store, beside those of LeRobotDataset and of a zarr v2 buffer."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from deploy.bench import chosen, present
from deploy.bench.figure import Figure
from deploy.bench.store_work import Say
from robot_stack.types import StoreError

PARTS = ("record", "compact", "windows", "open", "align", "kills")
RESERVE = 2e9
"""Bytes of the disk that stay free."""

Measure = Callable[[Mapping[str, Any], Path, Say], list[Figure]]


def run(config: DictConfig) -> int:
    """The verb."""
    return present("store", config, measure)


def measure(config: DictConfig, console: Console) -> list[Figure]:
    """All figures of the parts that are wanted."""
    values: Any = OmegaConf.to_container(config, resolve=True)
    parts = wanted(values["only"])
    check_room(values, parts, shutil.disk_usage(tempfile.gettempdir()).free)
    console.print(machine())
    figures: list[Figure] = []
    for part in parts:
        function: Measure = import_module(f"deploy.bench.store_{part}").measure
        with tempfile.TemporaryDirectory(prefix=f"bench-store-{part}-") as folder:
            say = lambda text, part=part: console.print(f"[dim]{part}: {text}[/]")  # noqa: E731  the part of this turn
            figures += function(values, Path(folder), say)
    console.print(machine())  # by its load one sees how alone this was
    return figures


def wanted(only: list[str] | str | None) -> list[str]:
    """The parts to measure, in their order; ConfigError when there is no such part."""
    return chosen(only, PARTS)


def check_room(config: Mapping[str, Any], parts: list[str], free: float) -> None:
    """Raise StoreError when the disk has less room than the hungriest part needs. free: of the disk [B]."""
    need = max(room(config)[part] for part in parts) + RESERVE
    if free < need:
        raise StoreError(
            f"{tempfile.gettempdir()} has {free / 1e9:.1f} GB free, this bench needs {need / 1e9:.1f} GB: make room, "
            "say TMPDIR=<a folder of a larger disk>, or measure less with only=[…] and shorter durations"
        )


def room(config: Mapping[str, Any]) -> dict[str, float]:
    """What each part takes on the disk while it runs [B], for pictures that compress badly."""
    height, width = config["picture"]
    picture, small = 3.0 * height * width, 3.0 * config["small_picture"][0] * config["small_picture"][1]
    seconds = {"jpeg": config["record_seconds"], "raw": 2 * config["codec_seconds"] + 2 * config["rival_seconds"]}
    window_rows = config["window_episodes"] * config["window_rows"]
    return {
        "record": 3 * picture * (60 + 30 * (0.15 * seconds["jpeg"] * 2 + seconds["raw"] * 2)),
        "compact": picture * (60 + 3 * config["compact_rows"]),
        "windows": 2 * small * (60 + 4 * window_rows),
        "open": 4e5 * config["episodes"],
        "align": 0.0,
        "kills": 1e9,
    }


def machine() -> str:
    """What this was measured on, in words."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else "unknown processor"
    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / 2**30
    return f"{name}, {cores} cores, {memory:.0f} GiB; load {os.getloadavg()[0]:.1f}"
