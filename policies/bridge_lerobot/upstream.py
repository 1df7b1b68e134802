"""Makes LeRobot's policies by its own factory, and says in our words what is missing or refused."""

import dataclasses
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import draccus
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.processor import DeviceProcessorStep
from torch import nn

from robot_stack.types import ConfigError

Stats = Mapping[str, Mapping[str, Any]]
"""LeRobot's statistics of a data set: feature -> mean, std, min, max, … -> numbers."""


def settings_of(kind: str) -> set[str]:
    """Names of the settings that a policy type has."""
    known = PreTrainedConfig.get_known_choices()
    if kind not in known:
        close = get_close_matches(kind, known)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(f"LeRobot has no policy {kind!r}.{meant} There are: {', '.join(sorted(known))}.")
    return {field.name for field in dataclasses.fields(known[kind])}


def configure(kind: str, settings: Mapping[str, Any]) -> PreTrainedConfig:
    """The config of a policy type; ConfigError for what upstream refuses."""
    if unknown := sorted(settings.keys() - settings_of(kind)):
        valid = ", ".join(sorted(settings_of(kind)))
        raise ConfigError(f"LeRobot's {kind} has no setting {', '.join(unknown)}; there are: {valid}")
    try:
        config: PreTrainedConfig = draccus.decode(
            PreTrainedConfig.get_choice_class(kind), {**settings, "device": "cpu", "push_to_hub": False}
        )
        config.validate_features()
    except (draccus.ParsingError, ValueError, NotImplementedError) as error:
        raise ConfigError(
            f"LeRobot's {kind} refuses its settings: {error}; see policy.settings, policy.window"
        ) from error
    return config


def make(config: PreTrainedConfig) -> nn.Module:
    """The policy with fresh weights."""
    try:
        made: nn.Module = get_policy_class(config.type)(config)
    except ImportError as error:
        raise ConfigError(f"LeRobot's {config.type} wants a package that is not installed: {error}") from error
    return made


def processors(config: PreTrainedConfig, stats: Stats | None) -> tuple[Any, Any]:
    """What comes before and after the policy; tensors stay on the device where they are."""
    tensors = {key: {name: torch.tensor(v) for name, v in one.items()} for key, one in (stats or {}).items()}
    try:
        before, after = make_pre_post_processors(config, dataset_stats=tensors or None)
    except ImportError as error:
        raise ConfigError(f"LeRobot's {config.type} wants a package that is not installed: {error}") from error
    for pipeline in (before, after):
        pipeline.steps = [step for step in pipeline.steps if not isinstance(step, DeviceProcessorStep)]
    return before, after
