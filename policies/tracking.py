"""The learning curve, where others look at theirs: TensorBoard, Weights & Biases, trackio, or none."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from robot_stack.types import ConfigError

TRACKERS = ("tensorboard", "wandb", "trackio")
PROJECT = "robot-stack"


class Tracker:
    """As `config.tracker` says; its files are in the folder of the run."""

    def __init__(self, config: Mapping[str, Any], machines: Accelerator) -> None:
        self._config = config
        self._tracker: GeneralTracker | None = None
        name = config["tracker"]
        if name is not None and name not in TRACKERS:
            raise ConfigError(f"tracker={name!r}: choose one of {', '.join(TRACKERS)}, or null")
        if name is not None and find_spec(name) is None:
            raise ConfigError(f"tracker={name} needs its package: uv pip install {name}; tracker=null goes without")
        if name is not None and machines.is_main_process:
            self._tracker = _made(name, Path(config["out"]))

    def __enter__(self) -> Self:
        if self._tracker is not None:
            self._tracker.start()
            self._tracker.store_init_configuration(_flat(self._config))
        return self

    def log(self, point: Mapping[str, float]) -> None:
        """One point of the learning curve; its `step` is the place on the axis."""
        if self._tracker is not None:
            self._tracker.log({key: value for key, value in point.items() if key != "step"}, step=int(point["step"]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tracker is not None:
            self._tracker.finish()


def _made(name: str, folder: Path) -> GeneralTracker:
    made = LOGGER_TYPE_TO_CLASS[name]
    if name == "tensorboard":
        return made(run_name="tensorboard", logging_dir=str(folder))
    return made(run_name=PROJECT, **({"dir": str(folder), "name": folder.name} if name == "wandb" else {}))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, int | float | str | bool]:
    """A nested config as one table; lists as texts."""
    flat: dict[str, int | float | str | bool] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = value if isinstance(value, int | float | str | bool) else str(value)
    return flat
