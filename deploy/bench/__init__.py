"""`robot-stack bench`: the figures of the README, measured on this machine, from outside of what is measured."""

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from deploy.bench.figure import Figure
from robot_stack import terminal
from robot_stack.types import ConfigError


def present(name: str, config: DictConfig, measure: Callable[[DictConfig, Console], list[Figure]]) -> int:
    """Measure, print, and write the figures as JSON to `config.out` if asked to; 1 if one misses its target."""
    console = terminal.console()
    figures = measure(config, console)
    table = Table("what", "measured", "target", title=f"bench {name} on {len(os.sched_getaffinity(0))} cores")
    for figure in figures:
        colour = "" if figure.met is None else "green" if figure.met else "red"
        table.add_row(figure.what, f"[{colour}]{figure}[/]" if colour else str(figure), figure.target)
    console.print(table)
    if config.out is not None:
        machine = {"cores": len(os.sched_getaffinity(0)), "kernel": platform.release(), "system": platform.platform()}
        values = {figure.what: {"values": figure.values, "unit": figure.unit, "met": figure.met} for figure in figures}
        Path(config.out).write_text(json.dumps({"machine": machine, "figures": values}, indent=1))
    return int(any(figure.met is False for figure in figures))


def chosen(asked: Sequence[str] | str | None, parts: Iterable[str], key: str = "only") -> list[str]:
    """The parts that are asked for by `key`, in their order, all of them by default. Raises ConfigError for another."""
    names = list(parts)
    if not asked:
        return names
    wanted = [asked] if isinstance(asked, str) else asked
    if unknown := [part for part in wanted if part not in names]:
        raise ConfigError(f"no part {', '.join(unknown)} in {key}=[…]; there are: {', '.join(names)}")
    return [part for part in names if part in wanted]
