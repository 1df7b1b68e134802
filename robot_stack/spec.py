"""The one schema: it lays out messages and rows, makes the store's arrays, checks data and sizes network heads."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robot_stack.types import SpecError

Record = np.ndarray[Any, np.dtype[np.void]]
"""One structured numpy value of shape (): a message on a topic, or a row of an episode. `record["q"]` is a view."""


@dataclass(frozen=True)
class Field:
    """One named quantity: its shape, numpy dtype, unit, and the frame it is expressed in (or 'a_from_b')."""

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = "f8"
    unit: str = ""
    frame: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype).str)


class Spec:
    """An ordered set of fields."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = {field.name: field for field in fields}
        self.dtype = np.dtype([(f.name, f.dtype, f.shape) for f in self], align=True)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields.values())

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __getitem__(self, name: str) -> Field:
        if name not in self.fields:
            raise SpecError(f"no field {name!r} here; there are: {', '.join(self.fields)}")
        return self.fields[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: "Spec") -> "Spec":
        return Spec([*self, *other])

    def select(self, names: Iterable[str]) -> "Spec":
        """The named fields only, in the given order."""
        return Spec(self[name] for name in names)

    def record(self, **values: Any) -> Record:
        """A zeroed record with the given fields set; '.' in field names is '__' in keywords."""
        record = np.zeros((), self.dtype)
        for name, value in values.items():
            record[name.replace("__", ".")] = value
        return record

    def difference(self, other: "Spec") -> list[str]:
        """What differs, a sentence a field, empty when equal: for messages that refuse a store or a checkpoint."""
        sentences = [f"{name} is missing" for name in self.fields if name not in other]
        sentences += [f"{name} is extra" for name in other.fields if name not in self]
        for field in self:
            if field.name in other and other[field.name] != field:
                sentences.append(f"{field.name} is {_describe(other[field.name])}, expected {_describe(field)}")
        return sentences

    def check(self, record: Record) -> None:
        """Raise SpecError unless `record` has this layout and no NaN or infinity in it."""
        if record.dtype != self.dtype:
            raise SpecError(f"record has fields {record.dtype.names}, expected {self.dtype.names}")
        for field in self:
            if field.dtype[1] == "f" and not np.isfinite(record[field.name]).all():
                raise SpecError(f"{field.name} has a value that is not finite: {record[field.name]}")

    def to_json(self) -> str:
        """A list of fields as JSON."""
        return json.dumps([asdict(field) for field in self])

    @classmethod
    def from_json(cls, text: str) -> "Spec":
        """The inverse of `to_json`."""
        return cls(Field(**field) for field in json.loads(text))


def _describe(field: Field) -> str:
    unit = f" [{field.unit}]" if field.unit else ""
    frame = f" in {field.frame}" if field.frame else ""
    return f"{np.dtype(field.dtype).name}{list(field.shape)}{unit}{frame}"
