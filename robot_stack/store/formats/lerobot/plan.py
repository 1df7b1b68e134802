"""Which feature of a LeRobotDataset each field of a store becomes when it is exported."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store.formats.lerobot.features import (
    ACTION,
    STATE,
    Column,
    Kind,
    choose,
    feature_name,
    field_name,
    flat_shape,
    is_picture,
)
from robot_stack.types import ConfigError

PICTURES = ("video", "image")
SMALLEST_VIDEO = 32
"""Pictures with a shorter side [px] are stored one by one: SVT-AV1 takes no smaller ones."""


@dataclass(frozen=True)
class Plan:
    """The features of an export. joined: `observation.state` and `action`, float32, of the named fields."""

    spec: Spec
    columns: list[Column]
    joined: dict[str, list[str]]

    @classmethod
    def make(
        cls,
        spec: Spec,
        state: Sequence[str] | None,
        action: Sequence[str] | None,
        pictures: str | None,
        known: dict[str, dict[str, Any]],
    ) -> "Plan":
        """state, action: fields that are joined to `observation.state` and `action`; None: those of our stations.

        pictures: one of PICTURES; None: as they were in the data set that was imported, else video.
        known: the features of that data set.
        """
        if pictures not in (None, *PICTURES):
            raise ConfigError(f"no pictures={pictures}; there are: {', '.join(PICTURES)}")
        chosen = {STATE: choose(spec, STATE, state), ACTION: choose(spec, ACTION, action)}
        joined = {feature: names for feature, names in chosen.items() if names and names != [feature]}
        before = {field_name(feature, is_camera=each["dtype"] in PICTURES): feature for feature, each in known.items()}
        columns = []
        for field in spec:
            feature = before.get(field.name) or feature_name(field)
            columns.append(Column(feature, field, _kind(field, pictures or known.get(feature, {}).get("dtype"))))
        columns = [_renamed(column) if column.feature in joined else column for column in columns]
        names = [column.feature for column in columns]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"two fields would both be {', '.join(twice)} in LeRobot: rename one of them")
        return cls(spec, columns, joined)

    @cached_property
    def numbers(self) -> list[Column]:
        """Features of numbers, without the joined ones."""
        return [column for column in self.columns if column.kind is Kind.NUMBERS]

    @cached_property
    def videos(self) -> list[Column]:
        """Features that are videos."""
        return [column for column in self.columns if column.kind is Kind.VIDEO]

    @cached_property
    def images(self) -> list[Column]:
        """Features that are pictures one by one."""
        return [column for column in self.columns if column.kind is Kind.IMAGE]

    @property
    def layout(self) -> dict[str, Any]:
        """For the sidecar: what leads back from the features to the fields."""
        return {"fields": {c.feature: c.field.name for c in self.columns}, "joined": self.joined}

    def join(self, feature: str, values: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """`observation.state` or `action` (n, width) of the rows whose fields are in `values`."""
        parts = [values[name] for name in self.joined[feature]]
        return np.concatenate([part.reshape(len(part), -1).astype(np.float32) for part in parts], axis=1)

    def features(self, known: dict[str, Any], names: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """`features` of info.json. known: as they were in the data set that was imported; names: of a field's axes."""
        found: dict[str, dict[str, Any]] = {}
        for feature, parts in self.joined.items():
            labels = [label for name in parts for label in _labels(self.spec[name], names)]
            found[feature] = {"dtype": "float32", "shape": [len(labels)], "names": labels}
        for column in self.columns:
            found[column.feature] = self._feature(column, known, names)
        return found

    @staticmethod
    def _feature(column: Column, known: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
        field = column.field
        if column.kind is not Kind.NUMBERS:
            height, width, channels = (*field.shape, 1)[:3]
            axes = {"shape": [height, width, channels], "names": ["height", "width", "channels"]}
            depth = {"info": {"is_depth_map": True, "depth_unit": "mm"}} if column.is_depth else {}
            return {"dtype": column.kind.value, **axes, **depth}
        before = known.get(column.feature, {})
        labels = before.get("names") if before.get("shape") == list(flat_shape(field)) else names.get(field.name)
        return {"dtype": np.dtype(field.dtype).name, "shape": list(flat_shape(field)), "names": labels}


def _kind(field: Field, pictures: str | None) -> Kind:
    if not is_picture(field):
        return Kind.NUMBERS
    depth = len(field.shape) == 2  # LeRobot's depth videos quantize, single pictures do not
    return Kind.IMAGE if depth or pictures == "image" or min(field.shape[:2]) < SMALLEST_VIDEO else Kind.VIDEO


def _renamed(column: Column) -> Column:
    """A field that is called `action` while another was chosen to be it."""
    return Column(f"row.{column.feature}", column.field, column.kind)


def _labels(field: Field, names: dict[str, Any]) -> list[str]:
    size = int(np.prod(field.shape, dtype=int))
    known = names.get(field.name)
    if isinstance(known, list) and len(known) == size:
        return [str(name) for name in known]
    return [field.name] if not field.shape else [f"{field.name}.{axis}" for axis in range(size)]
