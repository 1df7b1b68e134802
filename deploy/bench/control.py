"""`robot-stack bench control`: the figures of the real arms' loop, through the real client library."""

import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from deploy.bench import chosen, present
from deploy.bench.control_cell import Bench, own_address
from deploy.bench.figure import Figure
from deploy.bench.stalls import Watch, watching
from deploy.bench.store import machine

PARTS = ("endurance", "rival", "latency", "chunk", "losses", "kills")


def run(config: DictConfig) -> int:
    """The verb."""
    return present("control", config, measure)


def measure(config: DictConfig, console: Console) -> list[Figure]:
    """All figures of the parts that are wanted."""
    config.robot.arm.host = own_address()
    values: Any = OmegaConf.to_container(config, resolve=True)
    parts = wanted(values["parts"])
    console.print(machine())
    figures: list[Figure] = []
    with watching() as watch, tempfile.TemporaryDirectory(prefix="bench-control-") as shared:
        for part in parts:
            function: Callable[[Bench], list[Figure]] = import_module(f"deploy.bench.control_{part}").measure
            with tempfile.TemporaryDirectory(prefix=f"bench-control-{part}-") as folder:
                say = lambda text, part=part: console.print(f"[dim]{part}: {text}[/]")  # noqa: E731  of this turn
                bench = Bench(values, Path(folder), Path(shared), watch, say)
                figures += _measured(part, function, bench, console)
        figures += _machine(watch)
    console.print(machine())  # by its load one sees how alone this was
    return figures


def _measured(part: str, function: Callable[[Bench], list[Figure]], bench: Bench, console: Console) -> list[Figure]:
    """The figures of a part, also printed at once; that it failed is one too: an hour's others are not lost with it."""
    try:
        figures = function(bench)
        for figure in figures:
            bench.say(f"{figure.what}: {figure} {figure.target}")
        return figures
    except Exception:
        console.print_exception()
        return [Figure(f"{part}: failed, see above", {"": 1.0}, "", "0", False)]


def wanted(parts: list[str] | str) -> list[str]:
    """The parts to measure, in their order; ConfigError when there is no such part."""
    return chosen(parts, PARTS, "parts")


def _machine(watch: Watch) -> list[Figure]:
    """What the machine did meanwhile."""
    stalls = watch.stalls()
    lengths = stalls[:, 2] - stalls[:, 1]
    longest = float(lengths.max()) if len(lengths) else 0.0
    return [
        Figure(
            "the machine stood still",
            {"times": float(len(lengths)), "longer than 4 ms": float((lengths > 0.004).sum())},
            "",
        ),
        Figure("the machine stood still: longest", {"": longest}, "ms"),
        Figure("watching the machine: CPU, of one core", {"": watch.cost()}, "%"),
    ]
