"""The pictures of a store's report, each one function from numbers to an inline SVG."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from deploy.report.figures import INK, MUTED, SERIES, svg
from robot_stack.store.info import StreamInfo
from robot_stack.types import Array

VERDICT_COLOURS = {"success": "#2fb380", "failure": "#e5604d", "unknown": "#9aa5b1"}
SOURCE_COLOURS = {"operator": "#f2a33a", "policy": "#4d8dff", "script": "#a77bf3", "nobody": "#cbd2d9"}
DRAWN = 150
"""Most paths in one picture; more are a blot."""


def durations(seconds: Mapping[str, Sequence[float]]) -> str:
    """How long episodes are, stacked by verdict. seconds: verdict -> durations [s]."""
    figure, axes = plt.subplots(figsize=(4.4, 2.3))
    everything = np.concatenate([np.asarray(values, float) for values in seconds.values()])
    bins = np.histogram_bin_edges(everything, bins=min(24, max(5, round(np.sqrt(len(everything)) * 1.5))))
    shown = [name for name in VERDICT_COLOURS if seconds.get(name)]
    axes.hist(
        [seconds[name] for name in shown],
        bins=bins,
        stacked=True,
        color=[VERDICT_COLOURS[name] for name in shown],
        label=shown,
        rwidth=0.92,
    )
    _whole_numbers(axes)
    axes.set_xlabel("duration [s]")
    axes.set_ylabel("episodes")
    axes.grid(axis="x", visible=False)
    _legend(axes, len(shown))
    return svg(figure)


def shares(rows: Mapping[str, Mapping[str, float]], colours: Mapping[str, str]) -> str:
    """Bars that each make up a whole. rows: what is divided -> part -> share."""
    figure, axes = plt.subplots(figsize=(7.2, 0.5 + 0.36 * len(rows)))
    parts = [part for part in colours if any(row.get(part) for row in rows.values())]
    left = np.zeros(len(rows))
    for part in parts:
        values = np.array([row.get(part, 0.0) for row in rows.values()])
        axes.barh(range(len(rows)), values, left=left, color=colours[part], height=0.62, label=part)
        for place, (start, value) in enumerate(zip(left, values, strict=True)):
            if value >= 0.06:
                axes.text(start + value / 2, place, f"{value:.0%}", ha="center", va="center", color=INK, fontsize=8)
        left += values
    axes.set_yticks(range(len(rows)), list(rows), color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.xaxis.set_visible(False)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.grid(visible=False)
    _legend(axes, len(parts))
    return svg(figure)


def ages(streams: Sequence[StreamInfo]) -> str:
    """How old each stream is in its rows: from the median to the 99th percentile [ms]."""
    figure, axes = plt.subplots(figsize=(4.4, 0.7 + 0.3 * len(streams)))
    for place, stream in enumerate(streams):
        low, high = 1e3 * stream.age_median, 1e3 * stream.age_p99
        axes.plot([low, high], [place, place], color=SERIES[0], linewidth=5, alpha=0.35, solid_capstyle="round")
        axes.plot(low, place, "o", color=SERIES[0], markersize=6)
    axes.set_yticks(range(len(streams)), [stream.name for stream in streams], color=INK)
    axes.invert_yaxis()
    axes.margins(y=0.15)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set_xlabel("age in the row [ms] (dot: median, bar: up to the 99th percentile)")
    axes.grid(axis="y", visible=False)
    return svg(figure)


def starts(points: Mapping[str, Array], unit: str) -> str:
    """Where things stood in the first row, seen from above. points: verdict -> (n, 2) [unit]."""
    figure, axes = plt.subplots(figsize=(3.9, 3.3))
    for name, colour in VERDICT_COLOURS.items():
        if len(points.get(name, ())):
            across, along = _seen(points[name], unit)
            label = f"{name} ({len(points[name])})"
            axes.plot(across, along, "o", color=colour, markersize=4.5, alpha=0.75, label=label)
    _from_above(axes, unit)
    _legend(axes, 3)
    return svg(figure)


def paths(lines: Mapping[str, Sequence[Array]], unit: str) -> str:
    """Ways of the tool, seen from above, over each other. lines: verdict -> (n, 2) [unit] each."""
    figure, axes = plt.subplots(figsize=(3.9, 3.3))
    total = sum(map(len, lines.values()))
    every = max(1, -(-total // DRAWN))
    alpha = float(np.clip(12.0 / max(1, total // every), 0.15, 0.8))
    for name, colour in VERDICT_COLOURS.items():
        for number, path in enumerate(lines.get(name, ())[::every]):
            across, along = _seen(path, unit)
            axes.plot(across, along, color=colour, linewidth=1.0, alpha=alpha)
            axes.plot(across[-1:], along[-1:], "o", color=colour, markersize=3.0, label="" if number else name)
    _from_above(axes, unit)
    for handle in _legend(axes, 3):
        handle.set_alpha(1.0)
    return svg(figure)


def spreads(figures: Mapping[str, NDArray[np.float64]]) -> str:
    """How figures of episodes are spread: a small histogram each. figures: title with unit -> values."""
    figure, panels = plt.subplots(1, len(figures), figsize=(2.4 * len(figures), 1.9), squeeze=False)
    for axes, (title, values) in zip(panels[0], figures.items(), strict=True):
        finite = values[np.isfinite(values)]
        axes.hist(finite, bins=min(20, max(5, round(np.sqrt(len(finite)) * 1.5))), color=SERIES[0], rwidth=0.9)
        axes.axvline(np.median(finite), color=INK, linewidth=1.0)
        axes.set_xlabel(title, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="x", visible=False)
        _whole_numbers(axes)
    panels[0, 0].set_ylabel("episodes", fontsize=8)
    figure.tight_layout(w_pad=1.4)
    return svg(figure)


def fractions(counts: Counter[str]) -> dict[str, float]:
    """Counts as shares of their sum."""
    total = max(1, sum(counts.values()))
    return {name: count / total for name, count in counts.items()}


def _seen(points: Array, unit: str) -> tuple[Array, Array]:
    """To the right and ahead, as somebody sees it who stands behind the robot; pixels as they are."""
    return (points[:, 0], points[:, 1]) if unit == "px" else (-points[:, 1], points[:, 0])


def _from_above(axes: Axes, unit: str) -> None:
    axes.set_aspect("equal", adjustable="datalim")
    if unit == "px":
        axes.invert_yaxis()
        axes.set_xlabel("right in the image [px]")
        axes.set_ylabel("down [px]")
    else:
        axes.set_xlabel(f"to the robot's right [{unit}]")
        axes.set_ylabel(f"ahead of it [{unit}]")


def _legend(axes: Axes, columns: int) -> list[Any]:
    legend = axes.legend(
        frameon=False, ncols=columns, fontsize=8, loc="lower left", bbox_to_anchor=(-0.02, 1.0), handlelength=1.2
    )
    return list(legend.legend_handles)


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.tick_params(axis="y", colors=MUTED)
