"""`bench store`, part kills: a store that is killed at random instants, over and over, loses nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.bench.figure import Figure, count
from deploy.bench.store_work import Say
from robot_stack.progress import bar


def measure(config: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    """Work on a store, killed so many times; what was lost must be nothing."""
    from deploy.bench.kills import campaign

    kills = int(config["kills"])
    with bar("kill -9", kills) as progress:
        report = campaign(folder, kills, int(config["seed"]), progress.update)
    for problem in report.problems:
        say(problem)
    what = f"kills, {sum(report.kills.values())} of {kills}"
    return [
        count(f"{what}: what was lost or wrong", len(report.problems), 0),
        count(f"{what}: not done", kills - sum(report.kills.values()), 0),
        Figure(f"{what}: where they landed", {name: float(number) for name, number in report.kills.items()}, ""),
        count(f"{what}: episodes committed, and there", report.committed),
        count(f"{what}: episodes salvaged", report.salvaged),
    ]
