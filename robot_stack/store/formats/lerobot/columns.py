"""Finds which field each feature of a LeRobotDataset becomes, by what its first file and first pictures look like."""

from typing import TYPE_CHECKING

import numpy as np

from robot_stack.spec import Field
from robot_stack.store.formats.lerobot import rows as lerobot_rows
from robot_stack.store.formats.lerobot import table as lerobot_table
from robot_stack.store.formats.lerobot import video as lerobot_video
from robot_stack.store.formats.lerobot.features import Column, Kind, field_name, is_depth_map
from robot_stack.store.formats.lerobot.layout import INDICES, Layout
from robot_stack.store.formats.lerobot.rows import Span
from robot_stack.store.formats.lerobot.video import ShiftedError
from robot_stack.types import StoreError

if TYPE_CHECKING:
    import pyarrow as pa


class Finder:
    """first: rows of the first episode. numbers: of all episodes. warnings: columns that no feature names."""

    def __init__(self, layout: Layout, first: Span, numbers: list[int]) -> None:
        self._layout, self._first, self._numbers = layout, first, numbers
        schema = lerobot_rows.schema(first.path)
        self._types: dict[str, pa.DataType] = dict(zip(schema.names, schema.types, strict=True))
        if lost := [name for name in INDICES[:3] if name not in self._types]:
            raise StoreError(
                f"{first.path} has no column {', '.join(lost)}: every LeRobotDataset has; was it converted?"
            )
        strange = [name for name in self._types if name not in {*layout.features, *INDICES}]
        self.warnings = (
            [f"{', '.join(strange)} is in data and not in info.json: left out, as LeRobot does"] if strange else []
        )

    def columns(self, skipped: set[str]) -> list[Column]:
        """Every feature but the skipped ones."""
        return [self._column(name) for name in self._layout.features if name not in skipped]

    def _column(self, name: str) -> Column:
        feature = self._layout.features[name]
        if feature["dtype"] == "video":
            return self._video(name)
        if name not in self._types:
            raise StoreError(
                f"info.json lists {name!r}, and {self._first.path} has no such column: {', '.join(self._types)}"
            )
        if feature["dtype"] == "image":
            return self._image(name)
        dtype = lerobot_rows.number_type(self._types[name])
        if dtype is None:
            return Column(name, Field(name, (), "i4", unit="text"), Kind.TEXT)
        shape = tuple(feature["shape"])
        return Column(name, Field(name, () if shape == (1,) else shape, dtype), Kind.NUMBERS)

    def _image(self, name: str) -> Column:
        value = next(lerobot_rows.read_blocks(self._first, [name])).column(0)[0].as_py()
        picture = lerobot_table.decode(self._layout.root, value, f"{name} of {self._layout.root.name}")
        return Column(name, _picture_field(name, picture.shape, picture.dtype.str), Kind.IMAGE)

    def _video(self, name: str) -> Column:
        reasons = []
        for number in self._numbers:
            if clip := self._layout.clip(name, number):
                try:
                    height, width = lerobot_video.size(clip)
                except ShiftedError as error:
                    reasons.append(str(error))
                    continue
                if is_depth_map(self._layout.features[name]):
                    return Column(name, _picture_field(name, (height, width), "u2"), Kind.VIDEO)
                return Column(name, _picture_field(name, (height, width, 3), "u1"), Kind.VIDEO)
        reason = why(reasons) or "meta/ names none"
        raise StoreError(
            f"no video of {name} in {self._layout.root} can be opened: {reason}; copy or download videos/ too"
        )


def why(reasons: list[str]) -> str:
    """The first reasons, each once; '' without any."""
    return "; ".join(list(dict.fromkeys(reasons))[:3])


def _picture_field(name: str, shape: tuple[int, ...], dtype: str) -> Field:
    return Field(field_name(name, is_camera=True), shape, dtype, unit="mm" if np.dtype(dtype) == np.uint16 else "")
