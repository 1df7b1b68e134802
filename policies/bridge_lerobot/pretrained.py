"""Reads a folder that LeRobot saved: `config.json`, `model.safetensors`, and the processors with their statistics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from robot_stack.types import CheckpointError

WEIGHTS, CONFIG, PROCESSORS = "model.safetensors", "config.json", ("policy_preprocessor", "policy_postprocessor")


@dataclass(frozen=True)
class Pretrained:
    """kind, settings, stats: as `LeRobotPolicy` takes them. weights: name -> tensor."""

    kind: str
    settings: dict[str, Any]
    stats: dict[str, dict[str, Any]]
    weights: Mapping[str, Tensor]


def read(folder: str | Path) -> Pretrained:
    """Raises CheckpointError unless the folder is whole."""
    folder = Path(folder)
    try:
        settings = json.loads((folder / CONFIG).read_text())
        kind = settings.pop("type")
        stats: dict[str, dict[str, Any]] = {}
        for name in PROCESSORS:
            stats |= _stats(folder, json.loads((folder / f"{name}.json").read_text()))
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder} is no policy that LeRobot saved: {error!r}. It needs {CONFIG}, {WEIGHTS} and "
            f"{' and '.join(f'{name}.json' for name in PROCESSORS)}; older ones are brought up to date by LeRobot's "
            "lerobot.processor.migrate_policy_normalization"
        ) from error
    if "pretrained_backbone_weights" in settings:
        settings["pretrained_backbone_weights"] = None  # they are among the weights
    return Pretrained(kind, settings, stats, weights)


def _stats(folder: Path, pipeline: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of the steps that normalise, saved as `<feature>.<name>` beside the pipeline."""
    found: dict[str, dict[str, Any]] = {}
    for step in pipeline["steps"]:
        if "normalizer" in step.get("registry_name", "") and "state_file" in step:
            for key, tensor in load_file(folder / step["state_file"]).items():
                feature, _, name = key.rpartition(".")
                found.setdefault(feature, {})[name] = tensor.tolist()
    return found
