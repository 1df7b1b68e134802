"""The training loop, for every policy. It reads from top to bottom in the order in which things happen.

`robot-stack train` calls `run`. The state of a run is its step, the weights, their average with its counter, AdamW's
moments and the random generators; learning rate and order of the data are functions of the step. All of it is in each
checkpoint, so that an interrupted run that resumes ends with the same bits as one that was not interrupted.
"""

import json
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import Tensor

from policies import Batch, Policy, checkpoint
from policies.dataset import Dataset, load_dataset
from policies.ema import Ema
from policies.windows import Order
from robot_stack.progress import bar
from robot_stack.store.provenance import learned_from, read_records
from robot_stack.types import CheckpointError, ConfigError, RobotStackError

CURVE = "curve.jsonl"
"""The learning curve, in the folder of the run: a JSON object a line."""


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


def train(config: Mapping[str, Any], stop: Stop, console: Console) -> Path:
    """Train as configs/train.yaml says; return the folder of the last checkpoint. Raises ConfigError, StoreError."""
    resumed = checkpoint.newest(config["resume"]) if config["resume"] else None
    if resumed is not None:
        config = checkpoint.load_training(resumed)[0]["config"]
    torch.set_num_threads(config["threads"])
    torch.manual_seed(config["seed"])
    device = torch.device(config["device"] or ("cuda" if torch.cuda.is_available() else "cpu"))
    folder = Path(config["out"])
    if resumed is None and any(folder.glob(f"{checkpoint.PREFIX}*")):
        raise ConfigError(f"{folder} holds a training run; resume={folder} goes on with it, out=… starts another")
    checkpoint.check_writable(folder)

    data = load_dataset(config, instantiate(config["weights"], _convert_="all"), device)
    data.describe(console)
    policy = checkpoint.build(config["policy"], data.spec).to(device)
    policy.fit(data.training.observe, data.training.numbers())
    state = State(policy, config, data)
    if resumed is not None:
        state.restore(resumed)
    order = Order(len(data.training), config["batch"], config["seed"])
    console.print(
        f"{type(policy).__name__}: {state.size / 1e6:.2f} M parameters on {device}; {len(data.training)} windows, "
        f"{order.batches} batches of {order.batch} an epoch, {config['steps'] / order.batches:.0f} epochs"
    )

    with bar("train", config["steps"]) as progress:
        while state.step < config["steps"] and not stop.requested:
            data.training.expect(order(state.step + 1))
            loss = state.learn(data.training.batch(order(state.step)))
            if state.step % config["log_every"] == 0 or state.step == config["steps"]:
                if not math.isfinite(loss := loss.item()):
                    raise RobotStackError(_diverged(state.step, folder))
                validated = state.step % config["validate_every"] == 0 or state.step == config["steps"]
                state.log(loss, state.validate() if validated else None)
            if state.step % 10 == 0 or state.step == config["steps"]:
                progress.update(state.step, state.note())
            if state.step % config["checkpoint_every"] == 0 and state.step < config["steps"]:
                state.save(folder)
    return state.save(folder)


class State:
    """Everything of a run that changes, and how it is saved."""

    def __init__(self, policy: Policy, config: Mapping[str, Any], data: Dataset) -> None:
        self.policy, self.config, self.data = policy.train(), config, data
        self.ema = Ema(policy, config["ema_power"])
        self.optimiser = torch.optim.AdamW(
            policy.parameters(), lr=config["rate"], weight_decay=config["weight_decay"], betas=(0.95, 0.999), fused=True
        )
        self.step = 0
        self.seconds = 0.0  # of training, without validation and saving
        self.curve: list[dict[str, float]] = []
        self.size = sum(p.numel() for p in policy.parameters())

    def learn(self, batch: Batch) -> Tensor:
        """One step of gradient descent; returns the weighted loss."""
        began = time.perf_counter()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        with torch.autocast(batch.action.device.type, torch.bfloat16, enabled=self.config["precision"] == "bfloat16"):
            loss = weighted(self.policy.loss(batch), batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config["clip"])
        self.optimiser.step()
        self.ema.update(self.policy)
        if loss.is_cuda:
            torch.cuda.synchronize()  # the step is only queued until here
        self.step += 1
        self.seconds += time.perf_counter() - began
        return loss.detach()

    @torch.no_grad()
    def validate(self) -> float | None:
        """Unweighted loss of the averaged weights on the held-out episodes, with the same noise every time."""
        windows = self.data.validation
        if windows is None:
            return None
        with torch.random.fork_rng():
            torch.manual_seed(0)
            total, count = 0.0, 0.0
            for index in torch.arange(len(windows)).split(256):
                batch = windows.batch(index)
                total += float((self.ema.policy.loss(batch) * batch.valid).sum())
                count += float(batch.valid.sum())
        return total / count

    def log(self, loss: float, validation: float | None) -> None:
        """One point of the learning curve."""
        point = {"step": self.step, "seconds": round(self.seconds, 3), "loss": loss}
        self.curve.append(point if validation is None else {**point, "validation": validation})

    def note(self) -> str:
        """For the progress bar."""
        losses = f"loss {self.curve[-1]['loss']:.4f}  " if self.curve else ""
        held_out = [point["validation"] for point in self.curve if "validation" in point]
        validation = f"held out {held_out[-1]:.4f}  " if held_out else ""
        return f"{losses}{validation}{self.step / max(self.seconds, 1e-9):.1f} steps/s"

    def save(self, folder: Path) -> Path:
        """Write the checkpoint of this step and the curve; the one before goes when this one is whole."""
        older = list(folder.glob(f"{checkpoint.PREFIX}*[0-9]"))
        saved = folder / f"{checkpoint.PREFIX}{self.step:07d}"
        training = {"config": self.config, "step": self.step, "seconds": self.seconds, "updates": self.ema.updates}
        config = {"policy": self.config["policy"], "task": self.config["task"]}
        numbers = {**training, "curve": self.curve}
        checkpoint.save(saved, self.ema.policy, config, self._card(), (numbers, self._tensors()))
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
        numbers, tensors = checkpoint.load_training(saved)
        if learned_from(read_records(checkpoint.load(saved).card)) != learned_from(self.data.stores):
            raise CheckpointError(
                f"the store changed since {saved} was trained; `robot-stack data verify checkpoint={saved}` says what; "
                "start a new run, with another out=…"
            )
        self.step, self.seconds, self.curve = numbers["step"], numbers["seconds"], numbers["curve"]
        self.ema.updates = numbers["updates"]
        checkpoint.load_weights(self.ema.policy, saved / "model.safetensors")
        self.policy.load_state_dict(_under("policy.", tensors))
        _restore_optimiser(self.optimiser, _under("optimiser.", tensors))
        torch.set_rng_state(tensors["generator.cpu"])
        if "generator.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["generator.cuda"])

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"policy.{name}": tensor for name, tensor in self.policy.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in moments.items()}
        tensors["generator.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["generator.cuda"] = torch.cuda.get_rng_state()
        return tensors

    def _card(self) -> dict[str, Any]:
        last = self.curve[-1] if self.curve else {}
        return {
            "task": self.config["task"]["name"],
            "stores": self.data.stores,
            "rate": self.data.rate,
            "classes": self.data.classes,
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "parameters": self.size,
            "loss": last.get("loss"),
            "validation": next((p["validation"] for p in reversed(self.curve) if "validation" in p), None),
            "software": {"torch": torch.__version__, "robot-stack": version("robot-stack")},
            "threads": self.config["threads"],
        }


def weighted(errors: Tensor, batch: Batch) -> Tensor:
    """The one reduction: error (B, H) times weight, mean over the valid steps. Weights are one on average in the data,
    so the batch is not divided by its own weights: that would raise rare classes in small batches."""
    return (errors * batch.weight * batch.valid).sum() / batch.valid.sum()


def learning_rate(step: int, config: Mapping[str, Any]) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    warmup, steps, peak = config["warmup"], config["steps"], float(config["rate"])
    if step < warmup:
        return peak * (step + 1) / warmup
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
