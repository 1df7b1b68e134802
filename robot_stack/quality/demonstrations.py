"""What of an episode is state and what is action, as numbers that can be compared, whatever robot recorded them.

State: the tool's pose, else the agent, else the joints; the gripper; the objects. If a row has none of these: all its
measured numbers. Rotations enter as two columns of their matrix, angles as cosine and sine, so that they do not wrap.
Action: what was sent (`target`) seen from where the robot was; else fields that are called action; else, as in
kinesthetic teaching, the way of the next moment. A target seen from the tool says what to do; in base coordinates it
would say mostly where the tool was, and two neighbours that do the same would differ.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store.episode import Episode
from robot_stack.types import Array

_BODY = ("pose", "agent", "q")  # the first of these that a row has
_COMMANDS = (("target.pose", "pose"), ("target.position", "agent"), ("target.q", "q"))
_FLOOR = {"m": 0.005, "px": 5.0, "rad": 0.02, "": 0.02, "1": 0.02}
"""A column that spreads less than this is not blown up to unit spread: it is noise."""
_AHEAD = 0.2  # where nothing was commanded, where the robot is so much later was the action [s]
_LARGEST = 64  # numbers a row in a field that is a measurement and not a picture


@dataclass(frozen=True)
class Demonstration:
    """States (T, d) and actions (T, a) in some rows (T,) of an episode, which has `rate` rows a second [Hz].

    body: how many of the first columns of the states are the robot's own, the rest is the scene.
    floors: how little of each column (d,) and (a,) is noise; see `Scale`.
    """

    id: str
    operator: str
    verdict: str
    rate: float
    rows: NDArray[np.int64]
    states: Array
    actions: Array
    body: int
    floors: tuple[Array, Array]

    def __len__(self) -> int:
        return len(self.states)

    def thinned(self, stride: int) -> "Demonstration":
        """Every `stride`-th row."""
        some = slice(None, None, stride)
        return replace(self, rows=self.rows[some], states=self.states[some].copy(), actions=self.actions[some].copy())


@dataclass(frozen=True)
class Scale:
    """Brings columns to zero mean and unit standard deviation: mean and deviation (d,)."""

    mean: Array
    deviation: Array

    @classmethod
    def fit(cls, values: Iterable[Array], floors: Array) -> "Scale":
        """The scale of rows (n, d), no deviation below its floor (d,)."""
        rows = np.concatenate(list(values))
        return cls(rows.mean(axis=0), np.maximum(rows.std(axis=0), floors))

    def __call__(self, values: Array) -> Array:
        return np.asarray((values - self.mean) / self.deviation)


def demonstration(episode: Episode) -> Demonstration:
    """States and actions of an episode; rows with numbers that are not finite are left out."""
    states, state_floors, body = _states(episode)
    actions, action_floors = _actions(episode, states, state_floors, body)
    finite = np.isfinite(states).all(axis=1) & np.isfinite(actions).all(axis=1)
    attrs = episode.attrs
    return Demonstration(
        id=episode.id,
        operator=attrs.get("operator", ""),
        verdict=attrs["verdict"],
        rate=attrs["rate"],
        rows=np.flatnonzero(finite),
        states=states[finite],
        actions=actions[finite],
        body=body,
        floors=(state_floors, action_floors),
    )


def normalized(demonstrations: Sequence[Demonstration]) -> list[Demonstration]:
    """The same with every column of states and actions scaled over all of them."""
    states = Scale.fit((d.states for d in demonstrations), demonstrations[0].floors[0])
    actions = Scale.fit((d.actions for d in demonstrations), demonstrations[0].floors[1])
    return [replace(d, states=states(d.states), actions=actions(d.actions)) for d in demonstrations]


def has_state(spec: Spec) -> bool:
    """Whether such rows have anything that could be a state."""
    return bool(_state_fields(spec))


def _state_fields(spec: Spec) -> list[Field]:
    body = next((spec[name] for name in _BODY if name in spec), None)
    if body is None:
        return [field for field in spec if _is_measured(field)]
    scene = [f for f in spec if f.name.startswith("objects.") and f.name != "objects.time"]
    return [body, *(spec[name] for name in ("grip", "block") if name in spec), *scene]


def _is_measured(field: Field) -> bool:
    """Whether a field is a small measurement: no picture, time, or command."""
    small = field.dtype[1] == "f" and np.prod(field.shape, dtype=int) <= _LARGEST
    command = field.name.startswith(("action", "requested", "proposed", "target", "next."))
    return bool(small and not command and field.name != "time" and not field.name.endswith((".time", "timestamp")))


def _states(episode: Episode) -> tuple[Array, Array, int]:
    fields = _state_fields(episode.spec)
    columns, floors = zip(*(_columns(f, episode[f.name]) for f in fields), strict=True)
    scene = [f.name == "block" or f.name.startswith("objects.") for f in fields]
    body = sum(values.shape[1] for values, is_scene in zip(columns, scene, strict=True) if not is_scene)
    return np.concatenate(columns, axis=1), np.concatenate(floors), body


def _actions(episode: Episode, states: Array, floors: Array, body: int) -> tuple[Array, Array]:
    spec = episode.spec
    columns: list[tuple[Array, Array]] = []
    for command, measured in _COMMANDS:
        if command in spec and measured in spec:
            columns = [_relative(spec[command], episode[command], episode[measured])]
            break
    else:
        columns = [_columns(f, episode[f.name]) for f in spec if f.name.startswith("action") and f.dtype[1] == "f"]
    if columns and "target.grip" in spec:
        columns.append(_columns(spec["target.grip"], episode["target.grip"]))
    if not columns:
        columns = [_way_ahead(states[:, :body], floors[:body], round(_AHEAD * episode.attrs["rate"]))]
    values, action_floors = zip(*columns, strict=True)
    return np.concatenate(values, axis=1), np.concatenate(action_floors)


def _way_ahead(body: Array, floors: Array, rows: int) -> tuple[Array, Array]:
    """Where the robot itself goes in the next `rows` rows, as in kinesthetic teaching; at the end it stays."""
    later = np.minimum(np.arange(len(body)) + max(1, rows), len(body) - 1)
    return body[later] - body, 0.2 * floors


def _relative(field: Field, command: Array, measured: Array) -> tuple[Array, Array]:
    """A command seen from where the robot is: metres and a rotation vector, or a plain difference."""
    if not _is_pose(field):
        return command - measured, np.full(command.shape[1], 0.2 * _FLOOR.get(field.unit, 0.0) + 1e-9)
    x, y, z, w = measured[:, 3:].T
    u, v, s, c = command[:, 3:].T
    turned = np.stack([w * u - x * c - y * s + z * v, w * v + x * s - y * c - z * u, w * s - x * v + y * u - z * c], 1)
    turned *= 2.0 * np.where(w * c + x * u + y * v + z * s < 0, -1.0, 1.0)[:, None]  # q and -q are one rotation
    return np.concatenate([command[:, :3] - measured[:, :3], turned], axis=1), np.array([0.001] * 3 + [0.005] * 3)


def _columns(field: Field, values: Array) -> tuple[Array, Array]:
    """A field's rows as columns without wraps (T, d), and what spread of each is noise (d,)."""
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    if _is_pose(field):
        return np.concatenate([values[:, :3], _rotation_columns(values[:, 3:])], axis=1), np.array(
            [0.005] * 3 + [0.05] * 6
        )
    units = field.unit.split(",")
    if len(units) != values.shape[1]:
        units = [field.unit] * values.shape[1]
    columns: list[Array] = []
    floors: list[float] = []
    for column, unit in zip(values.T, units, strict=True):
        wraps = unit == "rad" and len(set(units)) > 1  # an orientation, not a joint
        columns += [np.cos(column), np.sin(column)] if wraps else [column]
        floors += [0.05, 0.05] if wraps else [_FLOOR.get(unit, 1e-9)]
    return np.stack(columns, axis=1), np.array(floors)


def _is_pose(field: Field) -> bool:
    return field.shape == (7,) and field.unit == "m,1"


def _rotation_columns(quaternions: Array) -> Array:
    """First two columns of the rotation matrices (T, 6) of quaternions x y z w (T, 4); of all zeros: the identity's."""
    norm = np.linalg.norm(quaternions, axis=1, keepdims=True)
    x, y, z, w = np.where(norm > 0, quaternions / np.where(norm > 0, norm, 1.0), [0.0, 0.0, 0.0, 1.0]).T
    first = [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)]
    second = [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)]
    return np.stack([*first, *second], axis=1)
