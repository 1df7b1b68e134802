"""`robot-stack bench inference`: how long one chunk takes, beside LeRobot's DiffusionPolicy with the same weights."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from deploy.bench import chosen, present
from deploy.bench.figure import Figure, distribution
from deploy.bench.store import machine
from deploy.bench.store_work import Say, rival
from deploy.bench.train import CHANNELS, device

PARTS = ("lerobot", "policies")
FASTER = {"cpu": 0.5, "cuda": 0.25}
"""Target of our time over LeRobot's."""
FEW_STEPS = 0.2
"""Target of the time of policies that make few steps, over that of 16 steps through the same network."""
POLICIES = (
    ("bc", None),
    ("diffusion", 10),
    ("diffusion", 16),
    ("diffusion_mlp", 10),
    ("diffusion_mlp", 16),
    ("beso_unet", 3),
    ("beso", 3),
    ("flow", 10),
    ("consistency_unet", 1),
    ("consistency_unet", 2),
    ("consistency", 1),
    ("consistency", 2),
)
"""Config and steps."""
COMPARED = (
    ("beso_unet 3", "diffusion 16"),
    ("consistency_unet 1", "diffusion 16"),
    ("consistency_unet 2", "diffusion 16"),
    ("beso 3", "diffusion_mlp 16"),
    ("consistency 1", "diffusion_mlp 16"),
    ("consistency 2", "diffusion_mlp 16"),
)
"""Of one network: with few steps, and with 16."""

Rounds = Sequence[Sequence[float]]


def run(config: DictConfig) -> int:
    """The verb."""
    return present("inference", config, measure)


def measure(config: DictConfig, console: Console) -> list[Figure]:
    """All figures of the parts that are wanted."""
    values: Any = OmegaConf.to_container(config, resolve=True)
    asked = chosen(values["only"], PARTS)
    values["device"] = values["device"] or device()
    values["channels"] = values["channels"] or CHANNELS[values["device"]]
    parts = {"lerobot": _beside_lerobot, "policies": _policies}
    console.print(machine())
    figures: list[Figure] = []
    for part in asked:
        with tempfile.TemporaryDirectory(prefix=f"bench-inference-{part}-") as folder:
            say = lambda text, part=part: console.print(f"[dim]{part}: {text}[/]")  # noqa: E731  the part of this turn
            figures += parts[part](values, Path(folder), say)
    console.print(machine())  # by its load one sees how alone this was
    return figures


def _beside_lerobot(config: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    say(f"copying the weights of ours, then {config['rounds']} times {config['calls']} chunks of each in turn")
    how = {key: config[key] for key in ("channels", "steps", "calls", "rounds", "threads", "device")}
    done = rival("beside_lerobot", folder, "inference_rivals", **how)
    ours, theirs = done["times"]["ours"], done["times"]["lerobot"]
    what = f"{done['parameters'] / 1e6:.2f} M parameters, {config['steps']} steps, {config['device']}"
    return [
        distribution(f"a chunk by the pilot, {what}", np.concatenate(ours).tolist(), "ms"),
        distribution(f"a chunk by LeRobot, {what}", np.concatenate(theirs).tolist(), "ms"),
        share(f"pilot / LeRobot, {what}", ours, theirs, FASTER[config["device"]]),
    ]


def _policies(config: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    say(f"policies as their configs build them, {config['rounds']} times {config['calls']} chunks of each in turn")
    how = {key: config[key] for key in ("calls", "rounds", "threads", "device")}
    times = rival("all_of_ours", folder, "inference_rivals", policies=POLICIES, **how)["times"]
    for name in dict.fromkeys(name for name, _ in POLICIES):
        if not any(each.split()[0] == name for each in times):
            say(f"there is no policy={name} here")
    figures = [
        distribution(f"a chunk of policy={name}{' steps' * (' ' in name)}", np.concatenate(rounds).tolist(), "ms")
        for name, rounds in times.items()
    ]
    for few, many in COMPARED:
        if few in times and many in times:
            figures.append(share(f"{few} steps / {many} steps", times[few], times[many], FEW_STEPS))
    return figures


def share(what: str, ours: Rounds, theirs: Rounds, most: float) -> Figure:
    """Of two times that were measured in turn: median of the rounds' medians, smallest and largest."""
    pairs = np.array([np.median(a) / np.median(b) for a, b in zip(ours, theirs, strict=True)])
    values = {"median": float(np.median(pairs)), "min": float(pairs.min()), "max": float(pairs.max())}
    return Figure(what, values, "x", f"<= {most:g} x", values["median"] <= most)
