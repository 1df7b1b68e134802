"""A policy in training is flown now and then, from start states that `eval` does not use unless it is told to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

FIRST = 500_000
"""Number of the first start state: what a checkpoint is chosen on is not what it is judged on."""


def fly_in_training(folder: Path, config: Mapping[str, Any]) -> float:
    """The mean score of the run's newest checkpoint."""
    from policies.evaluate import evaluate  # brings the simulators, which few runs need

    flight = {
        "checkpoint": str(folder),
        "episodes": config["rollouts"],
        "first": FIRST,
        "parallel": 25,
        "workers": 1,
        "steps": None,
        "threads": config["threads"],
        "device": config["device"],
    }
    return float(evaluate(flight, Console(quiet=True))["score"])
