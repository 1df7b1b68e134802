"""Actions as ways to go, instead of places to be: seen from where the robot is, or from the step before.

A pose is seen from the tool's own frame, T_now^-1 T_target, and not as a difference in the base's axes: what the hand
does to a thing in front of it is then the same numbers wherever both are, and nothing depends on where the base was put
(UMI: Chi et al. 2024, arXiv:2402.10329, which found such trajectories better than steps and than places). Other numbers
are subtracted. What nothing is said of stays as it is, such as the opening of a gripper.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from policies.actions import FieldVector, Targets, is_pose
from robot_stack.spec import Spec
from robot_stack.types import ConfigError


class Relative:
    """Each step of a chunk as seen from the newest measured row: a relative trajectory.

    relative_to: act field -> the observed field that it is seen from; act fields that a policy has not do not matter.
    """

    def __init__(self, relative_to: Mapping[str, str]) -> None:
        self._relative_to = dict(relative_to)

    def build(self, spec: Spec, observe: Sequence[str], act: Sequence[str]) -> Targets:
        """For these fields of `spec`. Raises ConfigError."""
        return Trajectory(spec.select(act), _origins(self._relative_to, spec, observe, act))


class Delta(Relative):
    """Each step of a chunk as seen from the step before, the first one from the newest measured row.

    Errors add up along the chunk; a rotation between two steps is small, so its numbers are scaled as others are.
    """

    def build(self, spec: Spec, observe: Sequence[str], act: Sequence[str]) -> Targets:
        """For these fields of `spec`. Raises ConfigError."""
        return Steps(spec.select(act), _origins(self._relative_to, spec, observe, act))


class Trajectory:
    """Targets of `spec`, those in `origins` as seen from the newest row of the field that it names."""

    def __init__(self, spec: Spec, origins: Mapping[str, str]) -> None:
        self._vector = FieldVector(spec)
        self._origins = dict(origins)
        self._poses = {field.name for field in spec if is_pose(field)}
        self.width = self._vector.width
        self.size = self._vector.size
        self.bounded = self._vector.bounded

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Physical numbers (..., width) -> act field name -> (..., *shape)."""
        return self._vector.split(vector)

    def encode(self, vector: Tensor, history: Mapping[str, Tensor]) -> Tensor:
        """Physical numbers (B, H, width) that follow `history` -> network numbers (B, H, size)."""
        parts = self._vector.split(vector)
        for name, origin in self._origins.items():
            before = self._before(parts[name], history[origin][:, -1:])
            parts[name] = seen_from(before, parts[name]) if name in self._poses else parts[name] - before
        return self._vector.encode(self._vector.join(parts, lead=2))

    def decode(self, vector: Tensor, history: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `encode`."""
        parts = self._vector.split(self._vector.decode(vector))
        for name, origin in self._origins.items():
            parts[name] = self._gone(parts[name], history[origin][:, -1:], name in self._poses)
        return self._vector.join(parts, lead=2)

    def _before(self, targets: Tensor, origin: Tensor) -> Tensor:
        """What each of the targets (B, H, *shape) is seen from; origin: (B, 1, *shape)."""
        return origin

    def _gone(self, ways: Tensor, origin: Tensor, is_pose: bool) -> Tensor:
        """Where the ways (B, H, *shape) end."""
        return compose(origin, ways) if is_pose else origin + ways


class Steps(Trajectory):
    """Targets of `spec`, those in `origins` as seen from the step before."""

    def __init__(self, spec: Spec, origins: Mapping[str, str]) -> None:
        super().__init__(spec, origins)
        self.bounded = self._vector.bounded & ~_columns_of(self._vector, origins)

    def _before(self, targets: Tensor, origin: Tensor) -> Tensor:
        return torch.cat([origin, targets[:, :-1]], dim=1)

    def _gone(self, ways: Tensor, origin: Tensor, is_pose: bool) -> Tensor:
        if not is_pose:
            return origin + ways.cumsum(dim=1)
        places = [origin]
        for way in ways.split(1, dim=1):
            places.append(compose(places[-1], way))
        return torch.cat(places[1:], dim=1)


def compose(a: Tensor, b: Tensor) -> Tensor:
    """a_from_c out of a_from_b and b_from_c, poses (..., 7) `x y z qx qy qz qw`."""
    return torch.cat([a[..., :3] + _rotate(a[..., 3:], b[..., :3]), _multiply(a[..., 3:], b[..., 3:])], dim=-1)


def seen_from(a: Tensor, b: Tensor) -> Tensor:
    """a_from_c out of world_from_a and world_from_c, poses (..., 7)."""
    back = torch.cat([-a[..., 3:6], a[..., 6:]], dim=-1)  # the inverse rotation
    return torch.cat([_rotate(back, b[..., :3] - a[..., :3]), _multiply(back, b[..., 3:])], dim=-1)


def _rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Vectors (..., 3) turned by quaternions (..., 4) that may have another length than one."""
    unit = normalize(quaternion, dim=-1)
    axis, real = unit[..., :3], unit[..., 3:]
    axis, vector = torch.broadcast_tensors(axis, vector)
    twice = 2.0 * torch.linalg.cross(axis, vector)
    return vector + real * twice + torch.linalg.cross(axis, twice)


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    """The rotation b, then a, as unit quaternions (..., 4)."""
    a, b = torch.broadcast_tensors(a, b)
    (u, s), (v, t) = a.split([3, 1], dim=-1), b.split([3, 1], dim=-1)
    axis = s * v + t * u + torch.linalg.cross(u, v)
    return normalize(torch.cat([axis, s * t - (u * v).sum(dim=-1, keepdim=True)], dim=-1), dim=-1)


def _origins(relative_to: Mapping[str, str], spec: Spec, observe: Sequence[str], act: Sequence[str]) -> dict[str, str]:
    """Those of `relative_to` that a policy has. Raises ConfigError where they cannot be subtracted, or are none."""
    origins = {name: origin for name, origin in relative_to.items() if name in act}
    if not origins:
        raise ConfigError(
            f"none of {', '.join(act)} is seen from anything: actions.relative_to knows {', '.join(relative_to)}; "
            "name the field that says where the robot is, or set actions=absolute"
        )
    for name, origin in origins.items():
        if origin not in observe:
            raise ConfigError(
                f"{name} is to be seen from {origin}, which the policy does not observe (it observes "
                f"{', '.join(observe)}); add it to policy.observe, or set actions=absolute"
            )
        there, here = ((spec[of].shape, spec[of].unit, spec[of].frame) for of in (name, origin))
        if there != here:
            raise ConfigError(f"{name} {there} cannot be seen from {origin} {here}: shape, unit and frame must agree")
    return origins


def _columns_of(vector: FieldVector, names: Mapping[str, str]) -> Tensor:
    """True for the network's numbers of these fields (size,)."""
    sizes = [9 if is_pose(field) else width for field, width in zip(vector.fields, vector.widths, strict=True)]
    return torch.cat([torch.full((size,), f.name in names) for f, size in zip(vector.fields, sizes, strict=True)])
