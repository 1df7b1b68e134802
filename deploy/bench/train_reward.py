"""What reward each trainer's policy gets on PushT against the time it was trained for: on the same demonstrations, at
the same time, each on a core of its own."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.bench import train_data
from deploy.bench.figure import Figure
from deploy.bench.store_work import Say, rival
from deploy.bench.train_trainer import PATIENCE, WARM, last_words, notes, start
from robot_stack.clock import now
from robot_stack.types import ConfigError, RobotStackError

NAMES = {"ours": "policies.train", "lerobot": "LeRobot"}
CHECKPOINTS = 4
"""At the end and evenly before."""

_Processes = Mapping[str, subprocess.Popen[bytes]]
_LOOK = 0.1  # between two looks at the trainers [s]


def measure(config: Mapping[str, Any], given: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    """given: what both are told. How many steps fit in `config.minutes` is measured first, so that both learning rates
    have come down at the end."""
    if config["store"] is None:
        raise ConfigError(
            "the part reward needs demonstrations of PushT: store=…, which `robot-stack data import` makes"
        )
    say("writing the demonstrations as LeRobot's data set")
    told = {
        **given,
        "store": str(Path(config["store"]).absolute()),
        "lerobot": str(train_data.renamed(Path(config["store"]), folder)),
        "observe": train_data.OBSERVED,
        "act": train_data.ACTED,
        "workers": 0,
    }
    say(f"seeing for {config['seconds']:g} s how fast both are at once")
    with _both(folder / "probe", dict.fromkeys(NAMES, told)) as processes:
        rates = _speeds(folder / "probe", processes, config["seconds"])
    every = {who: max(1, round(60.0 * config["minutes"] * rate / CHECKPOINTS)) for who, rate in rates.items()}
    each = ", ".join(f"{name} {CHECKPOINTS * every[who]} steps" for who, name in NAMES.items())
    say(f"training both for {config['minutes']:g} minutes: {each}")
    began = now()
    ends = {who: {**told, "steps": CHECKPOINTS * every[who], "every": every[who]} for who in NAMES}
    with _both(folder / "trained", ends) as processes:
        while _alive(folder / "trained", processes):
            time.sleep(_LOOK)
    say(f"flying {CHECKPOINTS} checkpoints of each from {config['starts']} starts")
    flown = rival("flown", folder, "train_reward_rivals", trained=str(folder / "trained"), starts=config["starts"])
    figures = []
    for who, name in NAMES.items():
        steps = notes(folder / "trained" / who)
        for number, scores in enumerate(flown["scores"][who], start=1):
            minutes = (steps[number * every[who] - 1][0] - began) / 60.0
            figures.append(Figure(f"reward after {minutes:.1f} min of {name}", scores, ""))
    return [*figures, Figure("reward at the end, ours - LeRobot's from the same starts", flown["difference"], "")]


@contextmanager
def _both(folder: Path, told: Mapping[str, Mapping[str, Any]]) -> Iterator[_Processes]:
    """Two trainers at once, in folders of their own; killed at the end if they still run."""
    folder.mkdir()
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for who, given in told.items():
            processes[who] = start(who, folder / who, given)
        yield processes
    finally:
        for process in processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _speeds(folder: Path, processes: _Processes, seconds: float) -> dict[str, float]:
    """Steps a second of each, once both are warm [1/s]."""
    _wait(folder, processes, dict.fromkeys(processes, WARM))
    first = {who: len(notes(folder / who)) for who in processes}
    time.sleep(seconds)
    _wait(folder, processes, {who: count + 1 for who, count in first.items()})
    made = {who: notes(folder / who)[first[who] - 1 :] for who in processes}
    return {who: (len(steps) - 1) / (steps[-1][0] - steps[0][0]) for who, steps in made.items()}


def _wait(folder: Path, processes: _Processes, steps: Mapping[str, int]) -> None:
    """Until each has made so many steps."""
    until = now() + PATIENCE
    while any(len(notes(folder / who)) < count for who, count in steps.items()):
        if len(_alive(folder, processes)) < len(processes) or now() > until:
            raise RobotStackError(f"the trainers did not come to steps {steps} in {PATIENCE:g} s")
        time.sleep(_LOOK)


def _alive(folder: Path, processes: _Processes) -> list[str]:
    """Who still trains. Raises RobotStackError if one has failed."""
    for who, process in processes.items():
        if process.poll():
            raise RobotStackError(f"the trainer {who} failed:\n{last_words(folder / who)}")
    return [who for who, process in processes.items() if process.poll() is None]
