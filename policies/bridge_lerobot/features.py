"""Which feature of LeRobot's each field of ours is, and what a policy of LeRobot's takes for numbers and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from policies.actions import ActionSpace, FieldVector, Targets, is_pose
from robot_stack.picture import IMAGE
from robot_stack.spec import Spec

STATE, ENVIRONMENT, ACTION = "observation.state", "observation.environment_state", "action"
IMAGES = "observation.images."
PADDED = "action_is_pad"

Layout = dict[str, tuple[str, ...]]
"""LeRobot's feature -> the fields in it, one after the other."""


def layout(spec: Spec) -> Layout:
    """Of the fields that a policy observes. Without a camera, the first field is the robot's own state and the others
    the environment's, since LeRobot's policies want one beside the other; a lone field is both."""
    cameras = [name for name in spec.fields if name.startswith(IMAGE)]
    numbers = tuple(name for name in spec.fields if name not in cameras)
    pictures: Layout = {IMAGES + name.removeprefix(IMAGE): (name,) for name in cameras}
    if pictures:
        return {STATE: numbers, **pictures} if numbers else pictures
    return {STATE: numbers[:1], ENVIRONMENT: numbers[1:] or numbers}


def feature(key: str, shape: Sequence[int]) -> dict[str, Any]:
    """What LeRobot's config says of a feature."""
    kinds = {STATE: "STATE", ENVIRONMENT: "ENV", ACTION: "ACTION"}
    return {"type": kinds.get(key, "VISUAL"), "shape": list(shape)}


class Pixels(nn.Flatten):
    """The encoder of a camera where LeRobot's policy has one of its own: the picture (N, 3, h, w) as (N, 3 h w)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()


class Raw(ActionSpace):
    """The target as it is stored, seven numbers a pose: what LeRobot's own training sees."""

    def build(self, spec: Spec, observe: Sequence[str], act: Sequence[str]) -> Targets:
        """For these fields of `spec`."""
        return _RawVector(spec.select(act))


class _RawVector(FieldVector):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.size = self.width
        self.bounded = torch.zeros(self.width, dtype=torch.bool)

    def encode(self, vector: Tensor, history: Mapping[str, Tensor] | None = None) -> Tensor:
        """As they are."""
        return vector

    def decode(self, vector: Tensor, history: Mapping[str, Tensor] | None = None) -> Tensor:
        """As they are, quaternions normalised."""
        parts = vector.split(self.widths, dim=-1)
        return torch.cat([_unit(p) if is_pose(f) else p for f, p in zip(self.fields, parts, strict=True)], dim=-1)


def _unit(pose: Tensor) -> Tensor:
    return torch.cat([pose[..., :3], nn.functional.normalize(pose[..., 3:], dim=-1)], dim=-1)
