"""Two policies from the same start states: what the difference is, and whether it says anything.

`robot-stack compare A B` calls `run`. Each start is flown by both, so that easy and hard starts cancel out; the
interval of the mean difference is a paired bootstrap over starts. It says nothing of what another training seed would
have given: train several for that.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from policies import checkpoint
from policies.evaluate import evaluate
from policies.intervals import bootstrap_mean
from robot_stack.types import ConfigError


def run(config: DictConfig) -> int:
    """The verb `compare`."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    result = compare(plain, Console())
    if plain["out"] is not None:
        Path(plain["out"]).write_text(json.dumps(result, indent=1))
        print(plain["out"])
    return 0


def compare(config: Mapping[str, Any], console: Console) -> dict[str, Any]:
    """Fly both as configs/compare.yaml says, print a table, return all numbers. Raises ConfigError."""
    tasks = {name: checkpoint.load(config[name]).config["task"] for name in ("a", "b")}
    if tasks["a"]["name"] != tasks["b"]["name"]:
        raise ConfigError(
            f"{config['a']} was trained for {tasks['a']['name']}, {config['b']} for {tasks['b']['name']}: only "
            "policies for the same task can be compared"
        )
    results = {name: evaluate({**config, "checkpoint": config[name]}, console) for name in ("a", "b")}
    differences = paired(results["a"]["outcomes"], results["b"]["outcomes"])
    table = Table(
        "", "A", "B", "B - A", "95 % of the difference", title=f"{tasks['a']['name']}, {config['episodes']} starts"
    )
    for key, name in (("success", "success"), ("score", "mean score")):
        low, high = differences[f"{key}_95"]
        numbers = [f"{results[which][key]:.3f}" for which in ("a", "b")]
        table.add_row(name, *numbers, f"{differences[key]:+.3f}", f"[{low:+.3f}, {high:+.3f}]")
    console.print(table)
    console.print(sentence(differences))
    return {**{name: config[name] for name in ("a", "b")}, "difference": differences, "results": results}


def paired(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Second minus first, over the outcomes of the same start states: means with 95 % intervals; on how many starts
    only one of them succeeded, and how likely that is between equals (exact McNemar test, 1947)."""
    assert [one["seed"] for one in first] == [one["seed"] for one in second]
    result: dict[str, Any] = {}
    for key in ("success", "score"):
        difference = np.array([float(b[key]) - float(a[key]) for a, b in zip(first, second, strict=True)])
        result |= {key: float(difference.mean()), f"{key}_95": bootstrap_mean(difference.tolist())}
    only_b = sum(b["success"] and not a["success"] for a, b in zip(first, second, strict=True))
    only_a = sum(a["success"] and not b["success"] for a, b in zip(first, second, strict=True))
    chance = float(binomtest(only_b, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return {**result, "only_a": only_a, "only_b": only_b, "p": chance}


def sentence(differences: Mapping[str, Any]) -> str:
    """What the numbers allow to say."""
    low, high = differences["score_95"]
    verdict = "B is better" if low > 0.0 else "A is better" if high < 0.0 else "the difference says nothing either way"
    return (
        f"{verdict}. Only A succeeded from {differences['only_a']} starts, only B from {differences['only_b']} "
        f"(between equals, so unequal or more so with probability {differences['p']:.2g})."
    )
