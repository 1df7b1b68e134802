"""`robot-stack bench train`: our trainer beside LeRobot's, with the same network, batch, horizon and data, in turn."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from deploy.bench import chosen, present, train_data, train_reward
from deploy.bench.figure import Figure, duration
from deploy.bench.store import machine
from deploy.bench.store_work import Say, ratio
from deploy.bench.train_trainer import Trainer
from robot_stack.types import RobotStackError

OURS = "policies.train"
PARTS = ("states", "pictures", "reward")
FASTER = {("states", "cpu"): 1.5, ("states", "cuda"): 3.0, ("pictures", "cuda"): 5.0}
"""Target of samples a second, ours over LeRobot's; pictures on a CPU have none, all time goes into the same ResNet."""
WAITS, STARTS = 0.02, 15.0
"""Targets: share of the time that is waited for data [1], from the start of the process to the first step [s]."""
SAME_SIZE = 0.02
"""Largest difference between the networks' parameters [1]."""
LEAST = 2
"""Steps that a turn has."""
CHANNELS = {"cpu": [32, 64, 128], "cuda": [256, 512, 1024]}
"""Of the U-Net: what `policy=diffusion` has, and what the paper has."""


def run(config: DictConfig) -> int:
    """The verb."""
    return present("train", config, measure)


def measure(config: DictConfig, console: Console) -> list[Figure]:
    """All figures of the parts that are wanted."""
    values: Any = OmegaConf.to_container(config, resolve=True)
    asked = chosen(values["only"], PARTS)
    values["device"] = values["device"] or device()
    console.print(machine())
    figures: list[Figure] = []
    for part in asked:
        with tempfile.TemporaryDirectory(prefix=f"bench-train-{part}-") as folder:
            say = lambda text, part=part: console.print(f"[dim]{part}: {text}[/]")  # noqa: E731  the part of this turn
            given = {
                "pictures": part == "pictures",
                "channels": values["channels"] or CHANNELS[values["device"]],
                "batch": values["picture_batch" if part == "pictures" else "batch"],
                "threads": values["threads"],
                "device": values["device"],
            }
            measured = train_reward.measure if part == "reward" else _speed
            figures += measured(values, given, Path(folder), say)
    console.print(machine())  # by its load one sees how alone this was
    return figures


def device() -> str:
    """cuda where there is a driver for it, else cpu; this process does not load torch."""
    return "cuda" if Path("/dev/nvidiactl").exists() else "cpu"


def _speed(config: Mapping[str, Any], given: dict[str, Any], folder: Path, say: Say) -> list[Figure]:
    """given: what both trainers are told, beside the data, which are made here."""
    say(f"pushing a T about: {config['episodes']} episodes of {config['rows']} rows, as a store and as LeRobot's")
    store, lerobot = train_data.make(folder, given["pictures"], config["episodes"], config["rows"])
    given |= {"store": str(store), "lerobot": str(lerobot)}
    started = {OURS: ("ours", 0), **{f"LeRobot, {n or 'no'} workers": ("lerobot", n) for n in config["workers"]}}
    with ExitStack() as stack:
        trainers: dict[str, Trainer] = {}
        for name, (who, workers) in started.items():
            say(f"starting {name}")
            trainers[name] = Trainer(who, folder / f"trainer-{len(trainers)}", {**given, "workers": workers})
            stack.callback(trainers[name].end)
            check_sizes(trainers[OURS].parameters, trainers[name].parameters)
        say(f"training networks of {trainers[OURS].parameters / 1e6:.2f} M parameters in turn")
        for _ in range(config["turns"]):
            for trainer in trainers.values():
                trainer.turn(config["seconds"], LEAST)
        return _figures(trainers)


def check_sizes(ours: int, theirs: int) -> None:
    """Raise RobotStackError unless two networks have as many parameters."""
    if abs(ours - theirs) > SAME_SIZE * theirs:
        raise RobotStackError(f"the networks are not of one size: {ours} parameters, LeRobot's has {theirs}")


def _figures(trainers: Mapping[str, Trainer]) -> list[Figure]:
    """Of each, and how much faster ours is than LeRobot's with whichever number of workers is faster here."""
    ours = trainers[OURS]
    part, where = "pictures" if ours.given["pictures"] else "states", ours.given["device"]
    what = f"{part}, {ours.parameters / 1e6:.2f} M parameters, batch {ours.given['batch']}, {where}"
    figures = []
    for name, trainer in trainers.items():
        is_ours = trainer is ours
        figures += [
            Figure(f"{what}: samples of {name}", {"": float(np.median(trainer.rates))}, "/s"),
            _share(f"{what}: waiting for data, {name}", float(np.median(trainer.waits)), WAITS if is_ours else None),
            Figure(f"{what}: a core's time for a sample, {name}", {"": float(np.median(trainer.costs))}, "ms"),
            Figure(f"{what}: memory, {name}", {"": trainer.memory}, "MB"),
            duration(f"{what}: first step, {name}", trainer.started, "s", STARTS if is_ours else None),
        ]
        if trainer.gpu_memory:
            figures.append(Figure(f"{what}: memory of the GPU, {name}", {"": trainer.gpu_memory}, "MB"))
    best = max((name for name in trainers if name != OURS), key=lambda name: float(np.median(trainers[name].rates)))
    least = FASTER.get((part, where))
    return [*figures, ratio(f"{what}: {OURS} / {best}", ours.rates, trainers[best].rates, least)]


def _share(what: str, share: float, limit: float | None) -> Figure:
    if limit is None:
        return Figure(what, {"": share}, "%")
    return Figure(what, {"": share}, "%", f"<= {100 * limit:g} %", share <= limit)
