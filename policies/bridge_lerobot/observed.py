"""What a policy of ours saw, as the features that a policy of LeRobot's takes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from policies import Policy
from policies.actions import FieldVector
from policies.bridge_lerobot.features import ENVIRONMENT, IMAGES, Layout
from robot_stack.picture import IMAGE


def blank(policy: Policy) -> dict[str, Tensor]:
    """A history of zeros, name -> (1, history, *shape)."""
    images, history = policy.observation.images, {}
    for name in policy.observes:
        is_picture = name.startswith(IMAGE) and images is not None
        shape = (*images.resolution, 3) if is_picture else policy.spec[name].shape
        dtype = torch.uint8 if is_picture else torch.float32
        history[name] = torch.zeros(1, policy.window.history, *shape, dtype=dtype)
    return history


def observed(policy: Policy, history: Mapping[str, Tensor], layout: Layout, raw: bool) -> dict[str, Tensor]:
    """Numbers (B, T, n) and pictures (B, T, 3, h, w), cropped; what it is told to do comes with the environment.

    raw: numbers as they are stored and pictures in [0, 1], as upstream trains; else both as our networks see them, in
    [-1, 1]. The encoders of `policy` are `Pixels`.
    """
    rows = policy.condition(history).unflatten(1, (policy.window.history, policy.row_size))
    numbers, pictures, told = rows.split(_widths(policy), dim=-1)
    parts = _numbers(policy.observation.vector, numbers, history, raw) | _pictures(policy, pictures, raw)
    given = {
        key: parts[names[0]] if key.startswith(IMAGES) else torch.cat([parts[name] for name in names], dim=-1)
        for key, names in layout.items()
    }
    if told.shape[-1]:
        given[ENVIRONMENT] = torch.cat([given[ENVIRONMENT], told], dim=-1) if ENVIRONMENT in given else told
    return given


def _widths(policy: Policy) -> list[int]:
    """Of a row: numbers, pictures, what it is told."""
    numbers, seen = policy.observation.vector.size, policy.observation.size
    return [numbers, seen - numbers, policy.row_size - seen]


def _numbers(vector: FieldVector, rows: Tensor, history: Mapping[str, Tensor], raw: bool) -> dict[str, Tensor]:
    if not vector.fields:
        return {}
    widths = vector.widths if raw else [FieldVector([field]).size for field in vector.fields]
    parts = (vector.join(history, lead=2) if raw else rows).split(widths, dim=-1)
    return {field.name: part for field, part in zip(vector.fields, parts, strict=True)}


def _pictures(policy: Policy, rows: Tensor, raw: bool) -> dict[str, Tensor]:
    images, cameras = policy.observation.images, list(policy.observation.encoders)
    if images is None or not cameras:
        return {}
    each = rows.unflatten(-1, (len(cameras), 3, *images.crop)).unbind(2)
    return {IMAGE + camera: (one + 1.0) / 2.0 if raw else one for camera, one in zip(cameras, each, strict=True)}
