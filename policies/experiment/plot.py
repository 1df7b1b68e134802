"""What came out, as one picture: success of each arm, and its difference to uniform, with 95 % intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from policies.experiment.arms import ARMS, UNIFORM

BASE = "base"
COLOURS = dict(zip([BASE, *ARMS], ("#b0b0b0", "#4c4c4c", "#0072b2", "#d55e00", "#e69f00", "#009e73"), strict=True))
"""Told apart by the colour-blind too (Okabe and Ito 2008)."""


def draw(result: Mapping[str, Any], file: Path) -> None:
    """Write the picture of the last round: a column a task, success above, difference to uniform below."""
    tasks = result["tasks"]
    figure = Figure(figsize=(1.5 + 3.4 * len(tasks), 5.6), dpi=110, layout="constrained")
    axes = figure.subplots(2, len(tasks), squeeze=False, sharey="row")
    for column, (task, figures) in enumerate(tasks.items()):
        arms = {name: numbers[-1] for name, numbers in figures["arms"].items()}
        _success(axes[0, column], arms, figures["base"])
        _difference(axes[1, column], {name: arm for name, arm in arms.items() if name != UNIFORM})
        axes[0, column].set_title(task.replace("_", " "))
    axes[0, 0].set_ylabel("success without help [%]")
    axes[1, 0].set_ylabel("minus uniform [points]")
    config = result["config"]
    figure.suptitle(
        f"{config['policy']}, round {config['rounds']}: {result['seeds']} seeds (dots) × {config['episodes']} "
        "attempts, 95 % intervals",
        fontsize=11,
    )
    figure.savefig(file)


def _success(axes: Axes, arms: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    shown = {BASE: base, **arms}
    for place, (name, of) in enumerate(shown.items()):
        _bar(axes, place, of["success"], of["success_of_seeds"], COLOURS[name])
    _label(axes, list(shown))
    axes.set_ylim(0.0, 100.0)


def _difference(axes: Axes, arms: Mapping[str, Any]) -> None:
    axes.axhline(0.0, color="black", linewidth=0.8)
    for place, (name, of) in enumerate(arms.items()):
        _bar(axes, place, of["difference"], of["difference_of_seeds"], COLOURS[name])
    _label(axes, list(arms))


def _bar(axes: Axes, place: int, of: Mapping[str, float], seeds: Sequence[float], colour: str) -> None:
    mean, low, high = (100.0 * of[key] for key in ("mean", "low", "high"))
    axes.bar(place, mean, color=colour, alpha=0.45, width=0.7)
    axes.errorbar(place, mean, [[mean - low], [high - mean]], color=colour, capsize=4, linewidth=1.8)
    axes.plot([place + 0.22] * len(seeds), [100.0 * seed for seed in seeds], ".", color="black", markersize=4)


def _label(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], fontsize=8)
    axes.grid(axis="y", linewidth=0.4)
    axes.set_axisbelow(True)
