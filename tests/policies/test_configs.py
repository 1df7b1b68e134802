"""The policies of the command line are the policies that there are."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from policies import Policy, checkpoint
from robot_stack.configuration import compose
from robot_stack.spec import Field, Spec

CONFIGS = Path(__file__).parents[2] / "configs"
OWN = sorted(
    file.stem
    for file in (CONFIGS / "policy").glob("[!_]*.yaml")
    if not file.stem.startswith(("lerobot", "consistency"))  # they want a LeRobot, and a teacher
)
PUSHT = Spec(
    [
        Field("agent", (2,), unit="px", frame="image"),
        Field("keypoints", (9, 2), unit="px", frame="image"),
        Field("image.top", (96, 96, 3), "u1"),
        Field("requested.position", (2,), unit="px", frame="image"),
    ]
)


def built(name: str) -> Policy:
    """Of its size, but without its numbers: those of the papers would take long."""
    config = OmegaConf.to_container(compose(CONFIGS, "train", ["task=pusht", f"policy={name}"]).policy, resolve=True)
    assert isinstance(config, dict)
    with torch.device("meta"):
        return checkpoint.build(config, PUSHT)


def parameters(name: str) -> int:
    return sum(weights.numel() for weights in built(name).parameters())


@pytest.mark.parametrize("name", OWN)
def test_every_policy_can_be_built_from_its_config(name: str) -> None:
    assert built(name).acts == ("requested.position",)


@pytest.mark.parametrize("name", [name for name in OWN if name.endswith("_paper")])
def test_a_policy_of_a_papers_size_is_larger_than_ours(name: str) -> None:
    ours = {"bc_lstm_paper": "bc_gru"}.get(name, name.removesuffix("_paper"))
    assert parameters(name) > 4 * parameters(ours)
