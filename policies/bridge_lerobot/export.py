"""Writes a checkpoint of ours as a folder that LeRobot opens.

    export("runs/pusht", "pusht_lerobot", {"observation.state": ["agent"], "observation.image": ["image.top"]})
    lerobot-eval --policy.discover_packages_path=policies.bridge_lerobot --policy.path=pusht_lerobot --env.type=pusht

Its features are those of `robot-stack data export format=lerobot state=[…] action=[…]` with the fields that the policy
observes and proposes, in their order.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policies import Policy, checkpoint
from policies.actions import FieldVector
from policies.bridge_lerobot.configuration_robot_stack import RobotStackConfig
from policies.bridge_lerobot.features import ACTION, feature, layout
from policies.bridge_lerobot.modeling_robot_stack import RobotStackPolicy
from policies.bridge_lerobot.processor_robot_stack import make_robot_stack_pre_post_processors
from robot_stack.picture import IMAGE
from robot_stack.spec import Spec
from robot_stack.types import ConfigError


def export(path: str | Path, folder: str | Path, places: Mapping[str, Sequence[str]] | None = None) -> RobotStackPolicy:
    """Write the checkpoint at `path` to `folder`, which is not there yet, and return the policy.

    places: LeRobot's feature -> the fields in it, such as `{"observation.image": ["image.top"]}`; None: `layout`.
    """
    folder = Path(folder)
    if folder.exists():
        raise ConfigError(f"{folder} is there already: choose another name, or remove it first")
    loaded = checkpoint.load(path)
    policy = loaded.policy()
    config = _config(
        loaded.spec, loaded.config["policy"], policy, places or layout(loaded.spec.select(policy.observes))
    )
    made = RobotStackPolicy(config)
    made.policy.load_state_dict(policy.state_dict())
    made.eval().save_pretrained(folder)
    for pipeline in make_robot_stack_pre_post_processors(config):
        pipeline.save_pretrained(folder)
    return made


def _config(
    spec: Spec, config: Mapping[str, Any], policy: Policy, places: Mapping[str, Sequence[str]]
) -> RobotStackConfig:
    if missing := set(policy.observes) - {name for names in places.values() for name in names}:
        raise ConfigError(f"places leaves out {', '.join(sorted(missing))}, which the policy observes")
    return RobotStackConfig(
        spec=spec.to_json(),
        policy=json.dumps(config),
        layout={key: list(names) for key, names in places.items()},
        n_obs_steps=policy.window.history,
        horizon=policy.window.horizon,
        n_action_steps=policy.window.execute,
        input_features={key: feature(key, _shape(spec, names)) for key, names in places.items()},
        output_features={ACTION: feature(ACTION, (policy.targets.width,))},
        device="cpu",
        push_to_hub=False,
    )


def _shape(spec: Spec, names: Sequence[str]) -> tuple[int, ...]:
    if names[0].startswith(IMAGE):
        height, width, channels = spec[names[0]].shape
        return channels, height, width
    return (FieldVector(spec.select(names)).width,)
