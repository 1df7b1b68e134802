"""Numbers out of decoded messages, by path."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.store.formats.ros.mapping import FieldMap
from robot_stack.types import Array, ConfigError, StoreError

QUATERNION = "geometry_msgs/msg/Quaternion"
NOT_NUMBERS = ("std_msgs/msg/Header", "builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration")
JOINT_NAMES = ("name", "joint_names")
"""Where messages have the names that `joints` asks for."""

_STEP = re.compile(r"(\w+)((?:\[\d*:?\d*\])*)")


class OtherJointsError(Exception):
    """A message without any of the joints: of another device that publishes on the same topic."""


class Extractor:
    """What one field takes out of each message of its topic."""

    def __init__(self, field: FieldMap) -> None:
        self._field = field
        self._paths = [_parse(path, field) for path in field.path]
        self.is_scalar = False
        self._size = -1
        self._names: list[str] = []
        self._places: list[int] = []
        self._factor: Array | None = None

    def __call__(self, message: Any) -> Array:
        """The numbers (n,); StoreError or ConfigError when they are not there, or fewer or more than before."""
        parts = [follow(message, steps) for steps in self._paths]
        if self._field.joints:
            return self._field.scale * self._by_joint(message, parts[0])
        values = np.concatenate([_numbers(part, self._field) for part in parts])
        if self._factor is None:
            self._begin(values, parts)
        if len(values) != self._size:
            raise StoreError(f"{self._field.name} has {len(values)} numbers here, {self._size} before")
        values = values * self._factor
        if self._field.quaternion == "wxyz":
            values[-4:] = values[[-3, -2, -1, -4]]
        return values

    def _begin(self, values: Array, parts: list[Any]) -> None:
        """How many numbers there are, and what each is multiplied by."""
        if self._field.quaternion and len(values) < 4:
            raise ConfigError(f"{self._field.name} has {len(values)} numbers, which is no quaternion")
        self._size = len(values)
        self.is_scalar = len(parts) == 1 and np.ndim(parts[0]) == 0 and not _fields(parts[0])
        self._factor = np.where(np.concatenate([_scalable(part) for part in parts]), self._field.scale, 1.0)
        if self._field.quaternion:
            self._factor[-4:] = 1.0

    def _by_joint(self, message: Any, values: Any) -> Array:
        name = next((name for name in JOINT_NAMES if hasattr(message, name)), None)
        if name is None:
            raise ConfigError(
                f"{self._field.name}: joints need names in the message, in {' or '.join(JOINT_NAMES)}; its fields: "
                f"{', '.join(_fields(message))}"
            )
        names = list(getattr(message, name))
        numbers = _numbers(values, self._field)
        if names != self._names:
            self._places, self._names = self._find(names), names
        if len(numbers) != len(names):
            raise StoreError(f"{self._field.name}: {len(numbers)} numbers for {len(names)} names")
        return numbers[self._places]

    def _find(self, names: list[str]) -> list[int]:
        """Where the joints are among the names of a message."""
        found = [joint for joint in self._field.joints if joint in names]
        if not found:
            raise OtherJointsError
        if missing := [joint for joint in self._field.joints if joint not in names]:
            raise StoreError(f"{self._field.name}: no {', '.join(missing)} here; there are: {', '.join(names)}")
        return [names.index(joint) for joint in self._field.joints]


def follow(message: Any, steps: list[str | int | slice]) -> Any:
    """What is at a path in a message; ConfigError lists what there would have been."""
    value = message
    for step in steps:
        if isinstance(step, str):
            if step not in _fields(value):
                there = ", ".join(_fields(value)) or "none, it is a value"
                raise ConfigError(f"no {step!r} in {_kind(value)}; its fields: {there}")
            value = getattr(value, step)
            continue
        if not isinstance(value, np.ndarray | list):
            raise ConfigError(f"[{step}] of {_kind(value)}, which is no list")
        try:
            value = value[step]
        except IndexError as error:
            raise StoreError(f"there is no number {step} in a list of {len(value)}") from error
    return value


def _parse(path: str, field: FieldMap) -> list[str | int | slice]:
    steps: list[str | int | slice] = []
    for part in path.split("."):
        found = _STEP.fullmatch(part)
        if not found:
            raise ConfigError(
                f"fields: {field.name}: cannot read the path {path!r}; as in pose.position.x or data[0:3]"
            )
        steps.append(found[1])
        for index in re.findall(r"\[(.*?)\]", found[2]):
            first, colon, last = index.partition(":")
            if not colon and not first:
                raise ConfigError(f"fields: {field.name}: [] in the path {path!r} has no number")
            steps.append(slice(int(first or 0), int(last) if last else None) if colon else int(first))
    return steps


def parse_path(path: str) -> list[str | int | slice]:
    """The steps of a path."""
    return _parse(path, FieldMap("path", ""))


def _numbers(value: Any, field: FieldMap) -> Array:
    """All numbers in a value (n,), those of a message in the order of its definition, without header and times."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        return value.astype(np.float64).reshape(-1)
    if isinstance(value, bool | int | float | np.generic):
        return np.array([float(value)])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return np.concatenate([np.zeros(0), *(_numbers(item, field) for item in value)])
    if isinstance(value, str) or value is None:
        raise ConfigError(f"{field.name}: {_kind(value)} is no number")
    return np.concatenate([np.zeros(0), *(_numbers(getattr(value, name), field) for name in _measures(value))])


def _scalable(value: Any) -> NDArray[np.bool_]:
    """Of each number in a value (n,), whether it has the unit of the field: those of a quaternion have none."""
    if not _fields(value):
        return np.ones(np.size(value), bool)
    if value.__msgtype__ == QUATERNION:
        return np.zeros(4, bool)
    return np.concatenate([np.zeros(0, bool), *(_scalable(getattr(value, name)) for name in _measures(value))])


def _measures(message: Any) -> list[str]:
    """The fields of a message that hold measurements."""
    there = _fields(message)
    return [name for name in there if getattr(getattr(message, name), "__msgtype__", "") not in NOT_NUMBERS]


def _fields(message: Any) -> list[str]:
    return [name for name in getattr(message, "__dataclass_fields__", ()) if name != "__msgtype__"]


def _kind(value: Any) -> str:
    return getattr(value, "__msgtype__", None) or {"str": "a text", "ndarray": "a list of numbers"}.get(
        type(value).__name__, type(value).__name__
    )
