"""Fields of a row side by side as one vector, and as the numbers that a network sees.

A pose is seven numbers outside and nine inside: position and the first two columns of the rotation, because that
representation is continuous (Zhou et al. 2019, arXiv:1812.07035) and q and -q are the same there. All else passes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from robot_stack.spec import Field, Spec

POSE_UNIT = "m,1"


def is_pose(field: Field) -> bool:
    """True for `x y z [m], qx qy qz qw`."""
    return field.shape == (7,) and field.unit == POSE_UNIT


class ActionSpace(Protocol):
    """What the network's numbers of an action mean."""

    def build(self, spec: Spec, observe: Sequence[str], act: Sequence[str]) -> "Targets":
        """For these fields of `spec`. Raises ConfigError."""
        ...


class Targets(Protocol):
    """The act fields side by side: `width` physical numbers, `size` network numbers. bounded: as in `FieldVector`."""

    width: int
    size: int
    bounded: Tensor

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Physical numbers (..., width) -> act field name -> (..., *shape)."""
        ...

    def encode(self, vector: Tensor, history: Mapping[str, Tensor]) -> Tensor:
        """Physical numbers (B, H, width) that follow `history` -> network numbers (B, H, size)."""
        ...

    def decode(self, vector: Tensor, history: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `encode`."""
        ...


class Absolute:
    """The target itself, in the frame in which it is stored."""

    def build(self, spec: Spec, observe: Sequence[str], act: Sequence[str]) -> Targets:
        """For these fields of `spec`."""
        return FieldVector(spec.select(act))


class FieldVector:
    """The fields of `spec` as one vector: `width` physical numbers, `size` network numbers.

    bounded: (size,) True where the network's number lies in [-1, 1] by its nature (rotations) and needs no scaling.
    """

    def __init__(self, spec: Spec) -> None:
        self.fields = tuple(spec)
        self.widths = [math.prod(field.shape) for field in self.fields]
        self.width = sum(self.widths)
        bounded: list[bool] = []
        for field, width in zip(self.fields, self.widths, strict=True):
            bounded += [False] * 3 + [True] * 6 if is_pose(field) else [False] * width
        self.size = len(bounded)
        self.bounded = torch.tensor(bounded, dtype=torch.bool)

    def join(self, values: Mapping[str, Tensor], lead: int) -> Tensor:
        """Named values (*lead dimensions, *shape) side by side (*lead dimensions, width)."""
        return torch.cat([values[f.name].reshape(*values[f.name].shape[:lead], -1) for f in self.fields], dim=-1)

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """The inverse of `join`."""
        parts = vector.split(self.widths, dim=-1)
        return {f.name: part.reshape(*part.shape[:-1], *f.shape) for f, part in zip(self.fields, parts, strict=True)}

    def encode(self, vector: Tensor, history: Mapping[str, Tensor] | None = None) -> Tensor:
        """Physical numbers (..., width) -> network numbers (..., size), whatever came before."""
        parts = vector.split(self.widths, dim=-1)
        return torch.cat([pose_to_9(p) if is_pose(f) else p for f, p in zip(self.fields, parts, strict=True)], dim=-1)

    def decode(self, vector: Tensor, history: Mapping[str, Tensor] | None = None) -> Tensor:
        """Network numbers (..., size) -> physical numbers (..., width)."""
        parts = vector.split([9 if is_pose(f) else w for f, w in zip(self.fields, self.widths, strict=True)], dim=-1)
        return torch.cat([pose_from_9(p) if is_pose(f) else p for f, p in zip(self.fields, parts, strict=True)], dim=-1)


def pose_to_9(pose: Tensor) -> Tensor:
    """(..., 7) position and quaternion -> (..., 9) position and the first two columns of the rotation."""
    x, y, z, w = torch.nn.functional.normalize(pose[..., 3:], dim=-1).unbind(-1)
    first = [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)]
    second = [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)]
    return torch.cat([pose[..., :3], torch.stack(first + second, dim=-1)], dim=-1)


def pose_from_9(vector: Tensor) -> Tensor:
    """The inverse of `pose_to_9`, after making the two columns orthonormal (Gram-Schmidt)."""
    first = torch.nn.functional.normalize(vector[..., 3:6], dim=-1)
    second = vector[..., 6:9]
    second = torch.nn.functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    rotation = torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
    return torch.cat([vector[..., :3], _quaternion(rotation)], dim=-1)


def _quaternion(rotation: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) as `qx qy qz qw`, by the largest of four candidates (Shepperd 1978)."""
    m = [[rotation[..., i, j] for j in range(3)] for i in range(3)]
    squares = torch.stack(  # 4 qx², 4 qy², 4 qz², 4 qw²
        [
            1 + m[0][0] - m[1][1] - m[2][2],
            1 - m[0][0] + m[1][1] - m[2][2],
            1 - m[0][0] - m[1][1] + m[2][2],
            1 + m[0][0] + m[1][1] + m[2][2],
        ],
        dim=-1,
    )
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    xw, yw, zw = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    candidates = torch.stack(
        [
            torch.stack([squares[..., 0], xy, xz, xw], dim=-1),
            torch.stack([xy, squares[..., 1], yz, yw], dim=-1),
            torch.stack([xz, yz, squares[..., 2], zw], dim=-1),
            torch.stack([xw, yw, zw, squares[..., 3]], dim=-1),
        ],
        dim=-2,
    )
    best = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    return torch.nn.functional.normalize(candidates.gather(-2, best).squeeze(-2), dim=-1)
