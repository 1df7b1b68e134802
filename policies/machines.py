"""The processes and devices that a run learns on: one, several GPUs, several nodes (started by `torchrun`)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState

from robot_stack.types import ConfigError, RobotStackError

PRECISIONS = {"float32": "no", "bfloat16": "bf16"}
"""Our words, and those of accelerate."""
SPENT = ("out of memory", "can't allocate memory", "cannot allocate memory")


def start(config: Mapping[str, Any]) -> Accelerator:
    """As `config.device` and `config.precision` say, and as many processes as `torchrun` started."""
    if config["precision"] not in PRECISIONS:
        raise ConfigError(f"precision={config['precision']!r}: choose one of {', '.join(PRECISIONS)}")
    if config["device"] == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda, but PyTorch finds no GPU here; `robot-stack doctor` says more, device=cpu runs")
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run of this process may have set it otherwise
    return Accelerator(
        cpu=config["device"] == "cpu",
        mixed_precision=PRECISIONS[config["precision"]],
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],  # dropped goals, unused heads
    )


def end(machines: Accelerator) -> None:
    """All processes of a run end together: one whose partner has gone may be aborted while it ends."""
    if machines.num_processes > 1:
        machines.wait_for_everyone()
        machines.end_training()


@contextmanager
def out_of_memory(config: Mapping[str, Any]) -> Iterator[None]:
    """Say what to change when memory ends, instead of where in PyTorch it did."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RobotStackError) or not _is_spent(error):
            raise
        pictures = f", keep pictures out of it (memory=0, now {config['memory']:g} GB)" * bool(
            config["policy"].get("images")
        )
        raise RobotStackError(
            f"out of memory with batch={config['batch']}, accumulate={config['accumulate']}: double accumulate, which "
            f"learns the same from half as many windows at once{pictures}, or take a smaller network. PyTorch said: "
            f"{str(error).splitlines()[0] if str(error) else 'MemoryError'}"
        ) from error


def _is_spent(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in SPENT)
