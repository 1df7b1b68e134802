"""What classes and stores make up of the data, and of the loss: shown before every training."""

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from policies.weights import Labels
from robot_stack.interventions import Label
from robot_stack.types import Array

Shares = dict[str, dict[str, float]]
"""By name: `share` of the steps that count, and their `weight` on average."""


def share(labels: Labels, weights: Array, inside: NDArray[np.bool_]) -> dict[str, float]:
    """Of the steps `inside` (N,), which may be none."""
    counted = labels != Label.IDLE
    some = inside & counted
    return {
        "share": float(some.sum() / max(1, counted.sum())),
        "weight": float(weights[some].mean()) if some.any() else 0.0,
    }


def table(name: str, shares: Shares, title: str) -> Table:
    """A line each. name: of what the lines are."""
    shown = Table(name, "share of steps", "weight", "share of loss", title=title)
    for line, row in shares.items():
        shown.add_row(line, f"{row['share']:.1%}", f"{row['weight']:.3g}", f"{row['share'] * row['weight']:.1%}")
    return shown
