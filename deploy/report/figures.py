"""The pictures of the report, each one function from numbers to an inline SVG or PNG."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib

matplotlib.use("Agg")

import numpy as np
import simplejpeg
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from robot_stack.interventions import Label
from robot_stack.types import Image

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
LABEL_COLOURS = {
    Label.DEMONSTRATION: "#5b8def",
    Label.ROBOT: "#2fb380",
    Label.INTERVENTION: "#f2a33a",
    Label.PRE_INTERVENTION: "#e5604d",
    Label.IDLE: "#cbd2d9",
}
SERIES = ("#5b8def", "#2fb380", "#f2a33a", "#9b6dd7", "#e5604d")

plt.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "text.color": INK,
        "svg.hashsalt": "robot-stack",  # the same numbers make the same file
    }
)


def success_bars(names: Sequence[str], rates: Sequence[float], intervals: Sequence[tuple[float, float]]) -> str:
    """Success share of each policy with its 95 % interval; the names are read beside the bars."""
    figure, axes = plt.subplots(figsize=(7.2, 0.5 + 0.42 * len(names)))
    rows = np.arange(len(names))
    errors = np.array([[r - low, high - r] for r, (low, high) in zip(rates, intervals, strict=True)]).clip(0.0).T
    axes.barh(rows, rates, xerr=errors, color=[SERIES[i % len(SERIES)] for i in rows], height=0.6, capsize=3)
    axes.set_yticks(rows, names, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel("success on the same starts (bar: share, line: Wilson 95 % interval)")
    axes.grid(axis="y", visible=False)
    return svg(figure)


def learning_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Training loss (line) and validation loss (dots) of each run, log scale. curves: name -> step, loss, ... lists."""
    figure, axes = plt.subplots(figsize=(7.2, 2.8))
    for colour, (name, curve) in zip(SERIES, curves.items(), strict=False):
        axes.plot(curve["step"], curve["loss"], color=colour, linewidth=1.2, label=name)
        if curve.get("validation"):
            axes.plot(curve["validation_step"], curve["validation"], "o", color=colour, markersize=3.5)
    axes.set_yscale("log")
    axes.set_xlabel("optimiser step (line: training loss, dots: loss on held-out episodes)")
    axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return svg(figure)


def start_states(points: Mapping[str, NDArray[np.float64]]) -> str:
    """Where the object stood at the start, by group: name -> (n, 2) [m], seen from above."""
    figure, axes = plt.subplots(figsize=(3.6, 3.0))
    for (name, xy), colour, marker in zip(points.items(), SERIES, "o^sxd", strict=False):
        axes.plot(-xy[:, 1], xy[:, 0], marker, color=colour, markersize=4.5, alpha=0.8, label=f"{name} ({len(xy)})")
    axes.set_aspect("equal")
    axes.set_xlabel("to the robot's right [m]")
    axes.set_ylabel("ahead of it [m]")
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.25))
    return svg(figure)


def timelines(episodes: Mapping[str, NDArray[np.uint8]], rate: float) -> str:
    """Who flew when: a bar an episode, coloured by label. episodes: name -> (T,) labels. rate: rows a second [Hz]."""
    figure, axes = plt.subplots(figsize=(7.2, 0.8 + 0.2 * len(episodes)))
    for row, labels in enumerate(episodes.values()):
        for label, start, stop in _runs(labels):
            axes.barh(row, (stop - start) / rate, left=start / rate, color=LABEL_COLOURS[label], height=0.72)
    axes.set_yticks(range(len(episodes)), list(episodes), fontsize=7)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("time in the episode [s]")
    present = sorted({Label(int(v)) for labels in episodes.values() for v in np.unique(labels)})
    axes.legend(
        handles=[Patch(color=LABEL_COLOURS[label], label=label_name(label)) for label in present],
        frameon=False,
        ncols=len(present),
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
    )
    return svg(figure)


def film_strip(images: NDArray[np.uint8], labels: NDArray[np.uint8], rate: float, count: int = 10) -> str:
    """Frames of one episode (T, height, width, 3), evenly spaced, framed in the colour of who flew."""
    shown = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    cells = []
    for row in shown:
        label = Label(int(labels[row]))
        cells.append(
            f'<figure style="border-color:{LABEL_COLOURS[label]}"><img alt="" src="{jpeg_source(images[row])}">'
            f"<figcaption>{row / rate:.1f} s · {label_name(label)}</figcaption></figure>"
        )
    return f'<div class="strip">{"".join(cells)}</div>'


def label_name(label: Label) -> str:
    """The word that a person reads."""
    return label.name.lower().replace("_", "-")


def jpeg_source(image: Image) -> str:
    """A picture as a data URL."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def _runs(labels: NDArray[np.uint8]) -> list[tuple[Label, int, int]]:
    """Stretches of equal labels as (label, first row, row after the last)."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1), len(labels)]
    return [(Label(int(labels[a])), int(a), int(b)) for a, b in pairwise(edges)]


def svg(figure: Figure) -> str:
    """A finished picture as inline SVG; closes it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
