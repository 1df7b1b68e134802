"""`robot-stack policy import` and `robot-stack policy export`."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from policies import checkpoint
from policies.bridge_lerobot.adopt import adopt
from policies.bridge_lerobot.export import export
from robot_stack.store import Store
from robot_stack.types import ConfigError


def run_import(config: DictConfig) -> int:
    """A policy that LeRobot trained becomes a checkpoint of ours."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    folder = Path(plain["to"])
    if folder.exists():
        raise ConfigError(f"{folder} is there already: choose another name, or remove it first")
    store = Store.open(plain["store"])
    rate = float(store.station["rate"])
    names = {key: plain[key] for key in ("task", "observe", "act", "words")}
    print(adopt(plain["from"], folder / f"{checkpoint.PREFIX}{0:07d}", store.spec, rate=rate, **names))
    return 0


def run_export(config: DictConfig) -> int:
    """A checkpoint of ours becomes a folder that LeRobot opens."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    made = export(plain["checkpoint"], plain["to"], plain["places"])
    for key, fields in made.config.layout.items():
        print(f"{key}: {', '.join(fields)}")
    print(plain["to"])
    return 0
