"""What a feature of a LeRobotDataset is called and how it looks as a field of a row, and the way back.

`observation.images.front` is `image.front`; every other feature keeps its name, so a policy trains on an imported set
with `policy.observe=[observation.state] policy.act=[action]`. A feature of shape [1] is a single number on disk, here
and there. Text becomes its number in a list of the episode's texts, kept as attribute `texts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from robot_stack.spec import Field, Spec
from robot_stack.store.formats.lerobot.layout import INDICES
from robot_stack.types import ConfigError

IMAGES = "observation.images."
STATE = "observation.state"
ACTION = "action"

_ONE_IMAGE = ("observation.image", "image.camera")  # data sets of one camera: lerobot/pusht
_STATES: tuple[tuple[str, ...], ...] = ((STATE,), ("q", "grip"), ("pose", "grip"), ("agent",), ("state",))
_ACTIONS: tuple[tuple[str, ...], ...] = (
    (ACTION,),
    ("target.q", "target.grip"),
    ("target.pose", "target.grip"),
    ("target.position",),
)
_RESERVED = {*INDICES, "task"}
_MOST_DIMENSIONS = 5  # of `datasets.Array5D`


class Kind(Enum):
    """How a feature is stored."""

    NUMBERS = "numbers"
    TEXT = "text"
    VIDEO = "video"
    IMAGE = "image"


@dataclass(frozen=True)
class Column:
    """A feature and the field it is in a row."""

    feature: str
    field: Field
    kind: Kind

    @property
    def is_depth(self) -> bool:
        """Whether its pictures are depths in 16 bit rather than colours."""
        return self.kind in (Kind.VIDEO, Kind.IMAGE) and self.field.dtype == "<u2"


def field_name(feature: str, is_camera: bool) -> str:
    """The name of the field that a feature becomes. is_camera: it is pictures."""
    if not is_camera:
        return feature
    if feature == _ONE_IMAGE[0]:
        return _ONE_IMAGE[1]
    name = feature.removeprefix(IMAGES).removeprefix("observation.")
    return name if name.startswith("image.") else f"image.{name}"


def feature_name(field: Field) -> str:
    """The name of the feature that a field becomes, where no sidecar or import gave it another."""
    if is_picture(field):
        return IMAGES + field.name.removeprefix("image.")
    if field.name in _RESERVED:
        return f"row.{field.name}"
    return field.name.replace("image", "camera")  # LeRobot takes every name with "image" in it for pictures


def is_picture(field: Field) -> bool:
    """Whether a field is pictures: colours (h, w, 3) in 8 bit, or depths (h, w) in 16 bit."""
    large = int(np.prod(field.shape, dtype=int)) * np.dtype(field.dtype).itemsize >= 4096
    colour = len(field.shape) == 3 and field.shape[-1] == 3 and field.dtype == "|u1"
    return large and (colour or (len(field.shape) == 2 and field.dtype == "<u2"))


def is_depth_map(feature: dict[str, Any]) -> bool:
    """Whether the pictures of a feature are depths."""
    info = {**(feature.get("video_info") or {}), **(feature.get("info") or {})}
    return bool(info.get("is_depth_map") or info.get("video.is_depth_map"))


def flat_shape(field: Field) -> tuple[int, ...]:
    """A field's shape as a feature: [1] for a single number, one dimension for more than LeRobot's five."""
    if len(field.shape) > _MOST_DIMENSIONS:
        return (int(np.prod(field.shape)),)
    return field.shape or (1,)


def choose(spec: Spec, feature: str, wanted: Sequence[str] | None) -> list[str]:
    """The fields that are concatenated to `observation.state` or `action`; by default those of our stations."""
    if wanted is not None:
        names = [spec[name].name for name in wanted]
        if bad := [name for name in names if is_picture(spec[name])]:
            raise ConfigError(f"{', '.join(bad)} cannot be part of {feature}: it is pictures; choose fields of numbers")
        return names
    candidates = _STATES if feature == STATE else _ACTIONS
    first = next((names for names in candidates if names[0] in spec), ())
    return [name for name in first if name in spec]
