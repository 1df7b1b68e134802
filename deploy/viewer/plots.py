"""Curves of an episode, thinned on the server: in each stretch of rows the lowest and the highest value."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store.arrays import is_frame
from robot_stack.store.timing import SUFFIX, streams
from robot_stack.types import Array

ROLES: tuple[str, ...] = ("target", "requested", "proposed")
"""First words of fields that say what was sent, what was asked for, and what the policy would have done."""

SHOWN = ("measured", *ROLES)

MEASURED = {"position": "agent"}
"""Where the measured field is not named as its target is: PushT."""

AGES = "age"
"""The name of the curves of how old each stream is in its row [ms]."""

_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
_WRENCH = ("fx", "fy", "fz", "tx", "ty", "tz")


@dataclass(frozen=True)
class Quantity:
    """One thing that a panel each shows the components of. roles: measured, target, requested, proposed -> field."""

    name: str
    components: tuple[str, ...]
    units: tuple[str, ...]
    roles: dict[str, str]


def quantities(spec: Spec) -> list[Quantity]:
    """All that can be drawn of such rows: measured and target values of one thing together, then the streams' ages."""
    fields = {field.name: field for field in spec if _is_curve(field)}
    grouped: dict[str, dict[str, Field]] = {}
    for field in fields.values():
        first, _, rest = field.name.partition(".")
        name, role = (rest, first) if rest and first in ROLES else (field.name, "measured")
        grouped.setdefault(name, {})[role] = field
    for name, measured in MEASURED.items():
        if name in grouped and measured in grouped:
            grouped[name] = {**grouped.pop(measured), **grouped[name]}
    found = [_quantity(name, roles) for name, roles in grouped.items()]
    found.sort(key=lambda quantity: "target" not in quantity.roles)
    ages = tuple(streams(spec))
    return [*found, Quantity(AGES, ages, ("ms",) * len(ages), {"measured": AGES})] if ages else found


def values(columns: Any, spec: Spec, name: str) -> Array:
    """Rows (T, d) of a field, or of the streams' ages. columns: field name -> (T, *shape)."""
    if name == AGES:
        time = columns["time"]
        return np.stack([1e3 * (time - columns[field]) for field in streams(spec).values()], axis=1)
    column = columns[name]
    return np.asarray(column.reshape(len(column), -1), np.float64)


def thinned(rows: Array, start: int, stop: int, points: int) -> dict[str, Any]:
    """Rows start..stop of curves (T, d), in at most so many points.

    steps: first row of each point. low, high: d lists of the extremes of the rows that a point stands for; no `high`
    where each row is a point. A value that is no number is null.
    """
    size = -(-(stop - start) // points)
    steps = np.arange(start, stop, size)
    if size == 1:
        return {"steps": steps.tolist(), "low": _lists(rows[start:stop])}
    with np.errstate(invalid="ignore"):
        low = np.fmin.reduceat(rows[start:stop], steps - start)
        high = np.fmax.reduceat(rows[start:stop], steps - start)
    return {"steps": steps.tolist(), "low": _lists(low), "high": _lists(high)}


def numbers(values: Iterable[float]) -> list[float | None]:
    """For JSON, which has no NaN: seven digits are more than a plot shows."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values]


def _lists(rows: NDArray[Any]) -> list[list[float | None]]:
    return [numbers(column) for column in rows.T]


def _is_curve(field: Field) -> bool:
    hidden = field.name in ("time", "source", "mode") or field.name.endswith((SUFFIX, ".kind"))
    return not hidden and not is_frame(field)


def _quantity(name: str, roles: dict[str, Field]) -> Quantity:
    field = roles.get("measured", next(iter(roles.values())))
    shown = {role: roles[role].name for role in SHOWN if role in roles}
    count = int(np.prod(field.shape, dtype=int))
    return Quantity(name, _components(field, count), _units(field.unit, count), shown)


def _components(field: Field, count: int) -> tuple[str, ...]:
    if count == 1:
        return ("",)
    if count == 7 and "," in field.unit:
        return _POSE
    if field.unit == "N,Nm":
        return _WRENCH
    if "px" in field.unit and count > 2:
        return ("x", "y", "angle") if count == 3 else tuple(f"{'xy'[k % 2]}{k // 2 + 1}" for k in range(count))
    return ("x", "y") if field.unit == "px" else tuple(str(k + 1) for k in range(count))


def _units(unit: str, count: int) -> tuple[str, ...]:
    parts = ["" if part == "1" else part for part in unit.split(",")]
    if len(parts) == count:
        return tuple(parts)
    if len(parts) == 2:  # a position or a force, then an orientation or a torque
        return (parts[0],) * 3 + (parts[1],) * (count - 3)
    return (parts[0],) * count
