"""The training loop, for every policy. It reads from top to bottom in the order in which things happen.

`robot-stack train` calls `run`. The state of a run is its step, the weights, their average with its counter, AdamW's
moments, and what was the best so far; learning rate, order of the data and noise are functions of the step. All of it
is in each checkpoint, so that an interrupted run that resumes ends with the same bits as one that was not interrupted.

The same file runs on several GPUs and nodes: `torchrun --nproc-per-node 4 .venv/bin/robot-stack train …`. A step then
learns from the same windows as on one, each process from its share of them.
"""

import json
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import Tensor, nn

from policies import Batch, Policy, checkpoint, ranges
from policies.best import Best
from policies.card import card_of, measure_latency
from policies.dataset import Dataset, load_dataset
from policies.ema import Ema
from policies.machines import end, out_of_memory, start
from policies.rollouts import fly_in_training
from policies.tracking import Tracker
from policies.windows import Order
from robot_stack.progress import bar
from robot_stack.store.provenance import learned_from, read_records
from robot_stack.types import CheckpointError, ConfigError, RobotStackError

CURVE = "curve.jsonl"
"""The learning curve, in the folder of the run: a JSON object a line."""
RANGES: ranges.Ranges = {
    **dict.fromkeys(("steps", "batch", "accumulate", "log_every", "validate_every", "checkpoint_every"), (1, math.inf)),
    **dict.fromkeys(("rollout_every", "keep", "threads"), (1, math.inf)),
    **dict.fromkeys(("pre", "warmup", "weight_decay", "ema_power", "rollouts", "patience"), (0, math.inf)),
    "validation": (0, 0.9),
    "seed": (0, 2**31 - 1),
}
"""Of keys of the config."""
SCHEDULES = ("cosine", "constant")
"""Of the learning rate after its warm-up."""


@dataclass
class Stop:
    """Whether somebody asked to end the run after this step."""

    requested: bool = False


def run(config: DictConfig) -> int:
    """The verb `train`: exit code 0, or 130 after Ctrl-C, with a checkpoint to resume from either way."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    with stop_at_interrupt() as stop:
        folder = train(plain, stop, Console())
    if stop.requested:
        print(f"interrupted; go on with: robot-stack train resume={folder.parent}")
    print(folder)
    return 130 if stop.requested else 0


def objective(config: DictConfig) -> float:
    """One run of `train --multirun`: how good its best checkpoint is, larger is better, for a sweeper that searches."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    numbers = checkpoint.training_numbers(train(plain, Stop(), Console()))
    worths = numbers["best"]["worths"]
    return float(worths[0]) if worths else -float(numbers["curve"][-1]["loss"])


def train(config: Mapping[str, Any], stop: Stop, console: Console) -> Path:
    """Train as configs/train.yaml says; return the folder of the last checkpoint. Raises ConfigError, StoreError."""
    resumed = checkpoint.newest(config["resume"]) if config["resume"] else None
    if resumed is not None:
        config = {**_config_of(resumed), "out": str(resumed.parent)}  # wherever it was moved to
    torch.set_num_threads(config["threads"])
    torch.manual_seed(config["seed"])  # of the weights
    machines = start(config)
    _check(config)
    folder = Path(config["out"])
    if machines.is_main_process:
        _check_free(folder, resumed)
    console = console if machines.is_main_process else Console(quiet=True)

    with out_of_memory(config):
        with machines.main_process_first():  # it fills the cache of pictures, the others find them there
            data = load_dataset(config, instantiate(config["weights"], _convert_="all"), machines.device)
        data.describe(console)
        policy = checkpoint.build(config["policy"], data.spec).to(machines.device)
        if resumed is None:
            policy.fit(data.training.observe, data.training.numbers())
        data.foresee(policy.future)
        state = State(policy, config, data, machines)
        if resumed is not None:
            state.restore(resumed)
        order = Order(len(data.training), config["batch"], config["seed"])
        state.check_shares(order.batch)
        if state.unjudged:  # it was killed while it was flown
            state.judge(folder)
        console.print(
            f"{type(policy).__name__}: {state.size / 1e6:.2f} M parameters on {machines.device}; {len(data.training)} "
            f"windows, {order.batches} batches of {order.batch} an epoch, {config['steps'] / order.batches:.0f} epochs"
        )
        with bar("train", config["steps"]) as progress, Tracker(config, machines) as tracker:
            while not state.finished and not state.stops(stop):
                loss = state.learn(order(state.step), order(state.step + 1))
                if state.due("log_every") or state.due("checkpoint_every"):  # to look is to wait for the GPU
                    number = state.look(loss)
                if state.due("log_every"):
                    state.log(number)
                    state.judge(folder)
                    tracker.log(state.curve[-1])
                if state.step % 10 == 0 or state.finished:
                    progress.update(state.step, state.note())
                if state.due("checkpoint_every") and not state.finished:
                    state.save(folder)
        if state.best.exhausted and state.step < config["steps"]:
            console.print(
                f"no better for {config['patience']} times: ended at step {state.step}; the best is {folder}/best"
            )
        saved = state.save(folder)
        if machines.is_main_process and not stop.requested:
            latency = measure_latency(state.ema.policy, data.training, machines.device)
            checkpoint.rewrite_card(saved, checkpoint.load(saved).card | {"latency": latency})
    end(machines)
    return saved


class Objective(nn.Module):
    """What is made small: the one reduction of every policy's error. A module, so that gradients are shared."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, batch: Batch, count: Tensor) -> Tensor:
        """The weighted loss (). count: of the valid steps of the whole batch, of which this one may be a part ()."""
        return weighted(self.policy.loss(batch), batch, count)


def weighted(errors: Tensor, batch: Batch, count: Tensor | None = None) -> Tensor:
    """Error (B, H) times weight, mean over the valid steps. Weights are one on average in the data, so the batch is not
    divided by its own weights: that would raise rare classes in small batches."""
    return (errors * batch.weight * batch.valid).sum() / (batch.valid.sum() if count is None else count)


class State:
    """Everything of a run that changes, and how it is saved."""

    def __init__(self, policy: Policy, config: Mapping[str, Any], data: Dataset, machines: Accelerator) -> None:
        self.policy, self.config, self.data, self.machines = policy.train(), config, data, machines
        self.ema = Ema(policy, config["ema_power"])
        self.optimiser = torch.optim.AdamW(
            policy.parameters(), lr=config["rate"], weight_decay=config["weight_decay"], betas=(0.95, 0.999), fused=True
        )
        objective = Objective(policy)
        self.objective = machines.prepare(torch.compile(objective) if config["compile"] else objective)
        self.best = Best(config["keep"], config["patience"])
        self.step = 0
        self.seconds = 0.0  # of training, without validation and saving
        self.waited = 0.0  # of them, until the data were there [s]
        self.curve: list[dict[str, float]] = []
        self.share = 0  # windows that are learned from at once
        self.size = sum(p.numel() for p in policy.parameters())

    @property
    def finished(self) -> bool:
        """All steps made, or no better for too long."""
        return self.step >= self.config["steps"] or self.best.exhausted

    def due(self, key: str) -> bool:
        """Whether it is time for what `key` says, as it is after the last step."""
        every = self.config[key]
        return every > 0 and (self.step % every == 0 or self.step == self.config["steps"])

    def stops(self, stop: Stop) -> bool:
        """Whether somebody asked one of the processes to stop: all stop after the same step, or they wait for ever."""
        if self.machines.num_processes > 1:
            asked = torch.tensor(float(stop.requested), device=self.machines.device)
            stop.requested = bool(self.machines.reduce(asked, "sum"))
        return stop.requested

    def check_shares(self, batch: int) -> None:
        """Raise ConfigError unless a batch can be cut into equal shares."""
        shares = self.machines.num_processes * self.config["accumulate"]
        if batch % shares:
            most = f" of at most {batch}, as many windows as there are" * (batch < self.config["batch"])
            raise ConfigError(
                f"a batch of {batch} windows cannot be cut into {shares} equal shares ({self.machines.num_processes} "
                f"processes, accumulate={self.config['accumulate']}); set batch to a multiple of {shares}{most}"
            )
        self.share = batch // shares

    def learn(self, index: Tensor, following: Tensor) -> Tensor:
        """One step of gradient descent on the windows `index` (B,); returns the weighted loss. `following` (B,) are
        wanted next."""
        began = time.perf_counter()
        rank, processes, parts = self.machines.process_index, self.machines.num_processes, self.config["accumulate"]
        seed_step(self.config["seed"], self.step, rank)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        for part in range(parts):
            self.data.training.expect(following[rank::processes][part::parts])
        count = self.data.training.valid(index).sum().clamp(min=1) / processes  # whose gradients are averaged
        loss = torch.zeros((), device=self.machines.device)
        for part in range(parts):
            asked = time.perf_counter()
            batch = self.data.training.batch(index[rank::processes][part::parts])
            self.waited += time.perf_counter() - asked
            last = part == parts - 1
            with nullcontext() if last else self.machines.no_sync(self.objective):
                share = self.objective(batch, count)
                self.machines.backward(share)
            loss += share.detach()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config["clip"])
        self.optimiser.step()
        self.ema.update(self.policy)
        self.step += 1
        self.seconds += time.perf_counter() - began
        return loss

    @torch.no_grad()
    def validate(self) -> float | None:
        """Unweighted loss of the averaged weights on the held-out episodes, with the same noise every time."""
        windows = self.data.validation
        if windows is None:
            return None
        with torch.random.fork_rng():
            torch.manual_seed(0)
            total, count = 0.0, 0.0
            for index in torch.arange(len(windows)).split(self.share):
                batch = windows.batch(index)
                total += float((self.ema.policy.loss(batch) * batch.valid).sum())
                count += float(batch.valid.sum())
        return total / count

    def look(self, loss: Tensor) -> float:
        """The loss as a number. Raises RobotStackError if the run diverged."""
        began = time.perf_counter()
        number = loss.item()
        self.seconds += time.perf_counter() - began  # on a GPU the steps since the last look were only queued
        if not math.isfinite(number):
            raise RobotStackError(_diverged(self.step, Path(self.config["out"])))
        return number

    def log(self, loss: float) -> None:
        """One point of the learning curve."""
        point = {"step": self.step, "seconds": round(self.seconds, 3), "loss": loss}
        point["rate"] = learning_rate(self.step - 1, self.config)
        if self.due("validate_every") and (held_out := self.validate()) is not None:
            point["validation"] = held_out
        self.curve.append(point)

    def judge(self, folder: Path) -> None:
        """Keep the averaged weights if they are among the best: by flights in simulation where the config asks for
        them, else by the validation loss."""
        point = self.curve[-1]
        if self.config["rollouts"]:
            if not self.due("rollout_every"):
                return
            if self.machines.is_main_process:
                self.save(folder)
                point["score"] = fly_in_training(folder, self.config)
            self.machines.wait_for_everyone()
        worth = point.get("score", -point["validation"] if "validation" in point else None)
        if worth is not None and self.machines.is_main_process:
            self.best.offer(folder, worth, self._save_policy)
        if self.machines.num_processes > 1:
            counted = float(self.best.since) if self.machines.is_main_process else 0.0  # the others hold a copy of it
            self.best.since = int(self.machines.reduce(torch.tensor(counted, device=self.machines.device)))

    def note(self) -> str:
        """For the progress bar."""
        said = [f"loss {self.curve[-1]['loss']:.4f}"] if self.curve else []
        for key, name in (("validation", "held out"), ("score", "score")):
            if known := [point[key] for point in self.curve if key in point]:
                said.append(f"{name} {known[-1]:.4f}")
        return "  ".join([*said, f"{self.step / max(self.seconds, 1e-9):.1f} steps/s"])

    @property
    def unjudged(self) -> bool:
        """Whether the flights that are due in this step have not been made."""
        due = self.config["rollouts"] > 0 and self.step > 0 and self.due("rollout_every")
        return due and "score" not in self.curve[-1]

    def save(self, folder: Path) -> Path:
        """Write the checkpoint of this step and the curve; the one before goes when this one is whole. Raises
        RobotStackError instead if the run diverged."""
        saved = folder / f"{checkpoint.PREFIX}{self.step:07d}"
        if not self.machines.is_main_process:
            return saved
        if not all(bool(weights.isfinite().all()) for weights in self.policy.parameters()):
            raise RobotStackError(_diverged(self.step, folder))
        older = list(folder.glob(f"{checkpoint.PREFIX}*[0-9]"))
        numbers = {
            "config": self.config,
            "step": self.step,
            "seconds": self.seconds,
            "waited": self.waited,
            "updates": self.ema.updates,
            "best": self.best.state(),
            "curve": self.curve,
        }
        self._save_policy(saved, (numbers, self._tensors()))
        lines = "".join(json.dumps(point) + "\n" for point in self.curve)
        partial = folder / f".{CURVE}"
        partial.write_text(lines)
        partial.replace(folder / CURVE)
        for path in older:
            if path != saved:
                checkpoint.remove(path)
        return saved

    def restore(self, saved: Path) -> None:
        """Take everything back from a checkpoint of this run."""
        numbers, tensors = checkpoint.training_numbers(saved), checkpoint.training_tensors(saved)
        if learned_from(read_records(checkpoint.load(saved).card)) != learned_from(self.data.stores):
            raise CheckpointError(
                f"the store changed since {saved} was trained; `robot-stack data verify checkpoint={saved}` says what; "
                "start a new run, with another out=…"
            )
        self.step, self.seconds, self.waited = numbers["step"], numbers["seconds"], numbers["waited"]
        self.curve = numbers["curve"]
        self.best.restore(numbers["best"])
        self.ema.updates = numbers["updates"]
        checkpoint.load_weights(self.ema.policy, saved / "model.safetensors")
        self.policy.load_state_dict(_under("policy.", tensors))
        _restore_optimiser(self.optimiser, _under("optimiser.", tensors))

    def _save_policy(
        self, folder: Path, training: tuple[Mapping[str, Any], Mapping[str, Tensor]] | None = None
    ) -> None:
        """Write the averaged weights, to act; with `training`, to be trained further."""
        config = {"policy": self.config["policy"], "task": self.config["task"]}
        card = card_of(self.config, self.data, self.curve)
        card |= {"step": self.step, "seconds": round(self.seconds, 1), "parameters": self.size}
        card |= {"waited": round(self.waited / max(self.seconds, 1e-9), 4)}
        checkpoint.save(folder, self.ema.policy, config, card, training)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"policy.{name}": tensor for name, tensor in self.policy.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in moments.items()}
        return tensors


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make all that is drawn in a step a function of the step, and different in each process."""
    torch.manual_seed((seed * 1_000_003 + step) * 4096 + rank)


def learning_rate(step: int, config: Mapping[str, Any]) -> float:
    """Linear warm-up, then half a cosine down to zero after the last step; or the same to the end (`constant`)."""
    warmup, steps, peak = config["warmup"], config["steps"], float(config["rate"])
    if step < warmup:
        return peak * (step + 1) / warmup
    if config["schedule"] == "constant":
        return peak
    return float(peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


@contextmanager
def stop_at_interrupt() -> Iterator[Stop]:
    """Ctrl-C asks to stop after the step, since a state between two steps cannot be resumed; twice stops at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(*_: object) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _config_of(saved: Path) -> dict[str, Any]:
    """The config of the run that made a checkpoint. Raises CheckpointError if this version cannot go on with it."""
    numbers = checkpoint.training_numbers(saved)
    if "best" not in numbers:
        raise CheckpointError(f"{saved} was made by an older version, which drew its noise otherwise; train again")
    config: dict[str, Any] = numbers["config"]
    return config


def _check(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for what would be found out late, or never."""
    ranges.check(config, RANGES)
    if config["rate"] <= 0.0 or config["clip"] <= 0.0:
        raise ConfigError(f"rate={config['rate']}, clip={config['clip']}: expected more than 0")
    if not config["out"]:
        raise ConfigError("out=null: expected the folder of the run")
    if config["schedule"] not in SCHEDULES:
        raise ConfigError(f"schedule={config['schedule']!r}: choose one of {', '.join(SCHEDULES)}")
    wanted = {"validate_every": config["validation"] > 0.0, "rollout_every": config["rollouts"] > 0}
    for key, is_wanted in wanted.items():
        if is_wanted and config[key] % config["log_every"]:
            raise ConfigError(f"{key}={config[key]} is no multiple of log_every={config['log_every']}: set one of them")


def _check_free(folder: Path, resumed: Path | None) -> None:
    """Raise ConfigError unless a run can be written to a folder, which holds none yet."""
    if resumed is None and any(folder.glob(f"{checkpoint.PREFIX}*")):
        raise ConfigError(f"{folder} holds a training run; resume={folder} goes on with it, out=… starts another")
    checkpoint.check_writable(folder)
    checkpoint.sweep(folder)


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, moment = name.split(".")
        moments.setdefault(int(index), {})[moment] = tensor
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _diverged(step: int, folder: Path) -> str:
    return (
        f"the loss is not finite at step {step}: the run diverged. Lower rate=…, raise warmup=…, or look at the data "
        f"with `robot-stack data check`; the last good checkpoint, if there is one, is in {folder}"
    )
