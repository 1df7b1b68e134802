"""One step of an experiment at a time, each done once: what is in the folder already is not done again.

Every step is a verb of the command line with its own config: `train`, and `eval` on worlds that are kept between
evaluations, because making them takes longer than flying them.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from policies import checkpoint, train
from policies.evaluate import FIRST_SEED, fly_rollouts, summarise
from policies.experiment.arms import Arm
from policies.experiment.flights import create, demonstrate, deploy
from policies.experiment.gate import Rule
from policies.experiment.person import Flaws
from policies.pilot import Pilot
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose
from robot_stack.sim.metaworld import RATE, MetaWorld
from robot_stack.store import Store

AHEAD = 5
"""What came before a takeover is the reaction time and this many steps, in which the person made up its mind."""

STATES = 1_000
"""Start states of one seed and one round; those of evaluation begin at FIRST_SEED and are the same for all."""


@dataclass(frozen=True)
class Fit:
    """A trained policy. outcomes: success from each start state, without help. classes: as in the card."""

    name: str
    folder: Path
    outcomes: list[bool]
    classes: dict[str, dict[str, float]]


class Laboratory:
    """The steps of one task and one seed, in a folder of their own.

    config: of the experiment. worlds: of the task. stop: whether to end after the step in which it was requested.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        task: str,
        seed: int,
        worlds: Sequence[MetaWorld],
        stop: train.Stop,
        console: Console,
    ) -> None:
        self.config, self.task, self.seed = config, task, seed
        self.folder = Path(config["out"]) / task / f"seed-{seed}"
        self.rule = Rule(**config["gate"])
        self._worlds, self._stop, self._console = worlds, stop, console
        self._quiet = Console(quiet=True)

    def demonstrations(self) -> Path:
        """The store of what the person showed."""
        return self._store(
            "demonstrations",
            lambda store: demonstrate(
                self._worlds[0],
                self._states(0, STATES),
                self.config["demonstrations"][self.task],
                Flaws(**self.config["demonstrator"]),
                store,
                self._attrs(),
            ),
        )

    def deployment(self, fit: Fit, number: int) -> Path:
        """The store of round `number`, in which the person watched this policy."""
        return self._store(
            f"{fit.name}-deployed",
            lambda store: deploy(
                self._pilot(fit.folder),
                self._worlds,
                self._states(number, self.config["deployments"]),
                self.rule,
                Flaws(**self.config["operator"]),
                store,
                {**self._attrs(), "policy": fit.name, "round": number},
            ),
        )

    def fit(self, name: str, stores: Sequence[Path], arm: Arm) -> Fit:
        """Train on these stores, and fly from the start states of evaluation without help."""
        folder = self.folder / name
        file = folder / "eval.json"
        if not file.exists():
            began = time.perf_counter()
            train.train(self._training(folder, stores, arm), self._stop, self._quiet)
            self._go_on()
            trained = time.perf_counter()
            result = self._evaluate(folder)
            _write(file, result)
            took = f"trained in {trained - began:.0f} s, flown in {time.perf_counter() - trained:.0f} s"
            self._say(f"{name}: success {result['success']:.1%}, {took}")
        outcomes = [bool(outcome["success"]) for outcome in json.loads(file.read_text())["outcomes"]]
        return Fit(name, folder, outcomes, checkpoint.load(folder).card["classes"])

    def _store(self, name: str, fill: Callable[[Store], None]) -> Path:
        """A store that is there whole or not at all."""
        folder = self.folder / name
        if folder.exists():
            return folder
        partial = self.folder / f".{name}"
        shutil.rmtree(partial, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with create(partial, self._worlds[0], self.task) as store:
            fill(store)
        partial.rename(folder)
        self._go_on()
        return folder

    def _training(self, folder: Path, stores: Sequence[Path], arm: Arm) -> dict[str, Any]:
        pre = (self.rule.reaction + AHEAD) / RATE if arm.looks_back else 0.0
        choices = [f"task=metaworld_{self.task}", f"policy={self.config['policy']}", f"weights={arm.weights}"]
        keys = {"seed": self.seed, "pre": pre, "device": self.config["device"] or "null", **self.config["training"]}
        for part in ("net", "window"):
            keys |= {f"policy.{part}.{key}": value for key, value in self.config[part].items()}
        config = compose(CONFIGS, "train", [*choices, *(f"{key}={value}" for key, value in keys.items())])
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
        resume = str(folder) if any(folder.glob(f"{checkpoint.PREFIX}*")) else None
        return {**plain, "store": [str(store) for store in stores], "out": str(folder), "resume": resume}

    def _evaluate(self, folder: Path) -> dict[str, Any]:
        seeds = [FIRST_SEED + i for i in range(self.config["episodes"])]
        outcomes = sorted(fly_rollouts(self._pilot(folder), self._worlds, seeds), key=lambda outcome: outcome.seed)
        return {**summarise(outcomes), "outcomes": [asdict(outcome) for outcome in outcomes]}

    def _pilot(self, folder: Path) -> Pilot:
        pilot = Pilot(folder, device=self.config["device"], seed=self.seed, graph=False)
        pilot.check(self._worlds[0].station, f"task {self.task}")
        return pilot

    def _states(self, number: int, count: int) -> list[int]:
        first = STATES * (10 * self.seed + number)
        return list(range(first, first + count))

    def _attrs(self) -> dict[str, Any]:
        return {"task": self.task, "operator": "scripted"}

    def _go_on(self) -> None:
        if self._stop.requested:
            raise KeyboardInterrupt

    def _say(self, text: str) -> None:
        self._console.print(f"{self.task}, seed {self.seed}: {text}", highlight=False, soft_wrap=True)


def _write(file: Path, value: Mapping[str, Any]) -> None:
    partial = file.with_name(f".{file.name}")
    partial.write_text(json.dumps(value, indent=1))
    partial.replace(file)
