"""The choices that a config offers beside the policy: each can be made, in one word."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from policies import Policy, checkpoint
from robot_stack.configuration import compose
from robot_stack.spec import Field, Spec
from robot_stack.types import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
POSE = {"shape": (7,), "unit": "m,1", "frame": "base_from_tcp"}
SPEC = Spec(
    [
        Field("pose", **POSE),
        Field("grip", unit="m"),
        Field("objects.cube", **POSE),
        Field("image.front", (96, 128, 3), "u1"),
        Field("image.wrist", (96, 128, 3), "u1"),
        Field("requested.pose", **POSE),
        Field("requested.grip", unit="m"),
    ]
)


def choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONFIGS / group).glob("[!_]*.yaml"))


def built(*overrides: str) -> Policy:
    config = OmegaConf.to_container(compose(CONFIGS, "train", list(overrides)), resolve=True)
    return checkpoint.build(config["policy"], SPEC)


@pytest.mark.parametrize("encoder", choices("encoder"))
def test_every_encoder_reads_pictures_of_the_task(encoder: str) -> None:
    policy = built("policy=bc_images", f"encoder={encoder}", "encoder.features=5", "policy.observe=[grip,image.front]")
    pictures = torch.zeros(1, 2, 96, 128, 3, dtype=torch.uint8)
    with torch.inference_mode():
        rows = policy.eval().observation({"grip": torch.zeros(1, 2), "image.front": pictures})
    assert rows.shape == (1, 2, 1 + 5)


@pytest.mark.parametrize("told", choices("conditioning"))
def test_every_way_of_telling_can_be_chosen(told: str) -> None:
    assert (built("policy=bc", f"conditioning={told}").conditioning is None) == (told == "none")


@pytest.mark.parametrize("actions", choices("actions"))
def test_every_meaning_of_actions_can_be_chosen(actions: str) -> None:
    targets = built("policy=bc", f"actions={actions}").targets
    assert (targets.width, targets.size) == (8, 10)


@pytest.mark.parametrize(
    ("group", "more"),
    [
        *[("weights", choice) for choice in choices("weights")],
        *[("quality", choice) for choice in choices("quality")],
    ],
)
def test_every_way_of_weighing_can_be_made(group: str, more: str) -> None:
    needed = {"compatibility": ["quality.base=ann"], "attribute": ["quality.name=score"]}.get(more, [])
    config = compose(CONFIGS, "train", [f"{group}={more}", *needed])
    assert callable(instantiate(config[group])) or (group, more) == ("quality", "none")


def test_what_there_is_not_is_said_beside_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"no encoder 'resnet34'.*Did you mean resnet18\?.*dinov2"):
        built("policy=bc_images", "encoder=resnet34")
    with pytest.raises(ConfigError, match=r"needs quality\.base="):
        built("quality=compatibility")


def test_pictures_can_be_a_goal_only_for_a_policy_that_reads_them() -> None:
    assert built("policy=bc_images", "conditioning=goal", "conditioning.fields=[image.front]").conditioning is not None
    with pytest.raises(ConfigError, match=r"image\.front.*no image encoder"):
        built("policy=bc", "conditioning=goal", "conditioning.fields=[image.front]")


def test_a_goal_of_the_task_is_what_its_policy_sees() -> None:
    policy = built("policy=bc", "conditioning=goal")
    assert policy.conditioning is not None
    assert policy.conditioning.size == 9 + 1 + 9
