"""`robot-stack experiment sirius`: do weights by who flew help, on the same data? configs/experiment_sirius.yaml."""

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from policies import checkpoint
from policies.experiment import report
from policies.experiment.arms import chosen
from policies.experiment.laboratory import Laboratory
from policies.experiment.plot import draw
from policies.experiment.rounds import Course, run_rounds
from policies.train import Stop, stop_at_interrupt
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose
from robot_stack.sim.metaworld import MetaWorld
from robot_stack.types import ConfigError

GROWS = ("tasks", "arms", "seeds")
"""Keys that may change from run to run in the same folder: what is there is kept, what is missing is added."""


def run(config: DictConfig) -> int:
    """The verb `experiment sirius`."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    with stop_at_interrupt() as stop:
        print(experiment(plain, stop, Console()))
    return 0


def experiment(config: dict[str, Any], stop: Stop, console: Console) -> Path:
    """Run, or go on with, what the config says; write result.json, result.md and result.png; return the second."""
    out = Path(config["out"])
    arms = chosen(config["arms"])
    _check(config, out)
    torch.set_num_threads(1)
    courses: dict[str, list[dict[str, Course]]] = {task: [] for task in config["tasks"]}
    for seed in range(config["seeds"]):  # seed by seed, so that a run that is cut short says something of every task
        for task in config["tasks"]:
            laboratory = Laboratory(config, task, seed, _worlds(task, config["parallel"]), stop, console)
            courses[task].append(run_rounds(laboratory, arms, config["rounds"], config["data"] == "shared"))
        tasks = {task: report.summarise_task(each) for task, each in courses.items()}
        file = _write(out, {"config": config, "rule": report.RULE, "seeds": seed + 1, "tasks": tasks})
    console.print(file.read_text(), highlight=False, soft_wrap=True, markup=False)
    return file


def _write(out: Path, result: report.Result) -> Path:
    (out / "result.json").write_text(json.dumps(result, indent=1))
    (out / "result.md").write_text(report.markdown(result))
    draw(result, out / "result.png")
    return out / "result.md"


def _worlds(task: str, count: int) -> list[MetaWorld]:
    """As `robot-stack eval` would make them."""
    made = compose(CONFIGS, "train", [f"task=metaworld_{task}"])
    rollout = checkpoint.rollout({"task": OmegaConf.to_container(made.task, resolve=True)})
    return [rollout(cameras={}) for _ in range(count)]


def _check(config: dict[str, Any], out: Path) -> None:
    """Raise ConfigError unless the config can be run, in a folder that is new or of the same experiment."""
    if config["data"] not in ("per_arm", "shared"):
        raise ConfigError(f"data={config['data']}: it is per_arm or shared")
    if not 1 <= config["seeds"] <= 10 or not 1 <= config["rounds"] <= 9:
        raise ConfigError("seeds must be 1..10 and rounds 1..9: more would share start states")
    if unknown := [task for task in config["tasks"] if task not in config["demonstrations"]]:
        raise ConfigError(f"no task {', '.join(unknown)}; there are: {', '.join(config['demonstrations'])}")
    compose(CONFIGS, "train", [f"policy={config['policy']}"])  # refuses one that there is not
    out.mkdir(parents=True, exist_ok=True)
    file = out / "config.json"
    fixed = {key: value for key, value in config.items() if key not in (*GROWS, "out")}
    if not file.exists():
        file.write_text(json.dumps(fixed, indent=1))
    elif differing := [key for key, value in json.loads(file.read_text()).items() if fixed.get(key) != value]:
        raise ConfigError(f"{out} holds an experiment with other {', '.join(differing)}: choose another out=…")
