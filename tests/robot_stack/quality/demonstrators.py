"""Demonstrators whose faults are known: the truth that figures of quality are held against."""

from pathlib import Path

import numpy as np

from robot_stack.quality.demonstrations import Demonstration
from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.types import Array

RATE = 10.0
SPEC = Spec(
    [
        Field("time", unit="s"),
        Field("pose", (7,), unit="m,1"),
        Field("grip", unit="m"),
        Field("target.pose", (7,), unit="m,1"),
        Field("target.grip", unit="m"),
    ]
)
WAY = np.array([[0, 0, 0.3], [0.3, 0, 0.3], [0.3, 0, 0.05], [0.3, 0.3, 0.3], [0.5, 0.3, 0.1]])
"""Corners of a task: over the object, down, over the place, down [m]."""


def demonstrated(states: Array, actions: Array | None = None, name: str = "ep", operator: str = "ada") -> Demonstration:
    """A demonstration of the robot alone; actions are the way to the next state unless given."""
    actions = np.diff(states, axis=0, append=states[-1:]) if actions is None else actions
    floors = np.full(states.shape[1], 1e-3), np.full(actions.shape[1], 1e-4)
    return Demonstration(
        name, operator, "success", RATE, np.arange(len(states)), states, actions, states.shape[1], floors
    )


def minimum_jerk(rows: int) -> Array:
    """0 to 1 as people reach (rows,)."""
    s = np.linspace(0, 1, rows)
    return 10 * s**3 - 15 * s**4 + 6 * s**5


def reach(corners: Array, rows: int) -> Array:
    """A path (rows, 3) from corner to corner."""
    legs = len(corners) - 1
    each = np.diff(np.linspace(0, rows, legs + 1).astype(int))
    return np.concatenate(
        [a + minimum_jerk(n)[:, None] * (b - a) for a, b, n in zip(corners[:-1], corners[1:], each, strict=True)]
    )


def task(rng: np.random.Generator, rows: int | None = None) -> Array:
    """One person's go at the task (rows, 3): 8 to 14 s, a centimetre off at each corner, a hand that shakes."""
    corners = WAY + rng.normal(0, 0.01, WAY.shape)
    path = reach(corners, rows or int(rng.integers(80, 140)))
    return path + rng.normal(0, 0.002, path.shape)


def with_detour(path: Array, at: float, rows: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The path with a way to a place far off and back, begun at a share of it; which rows (T,) are the detour."""
    begin, leg = int(len(path) * at), rows // 3
    away = np.array([0.1, 0.5, 0.5]) + rng.normal(0, 0.01, 3)
    out = path[begin] + minimum_jerk(leg)[:, None] * (away - path[begin])
    detour = np.concatenate([out, np.tile(away, (leg, 1)), out[::-1]]) + rng.normal(0, 0.002, (3 * leg, 3))
    mask = np.zeros(len(path) + len(detour), bool)
    mask[begin : begin + len(detour)] = True
    return np.concatenate([path[:begin], detour, path[begin:]]), mask


def follow(rng: np.random.Generator, rows: int, noise: float = 0.0, gain: float = -1.0) -> Demonstration:
    """States (rows, 2) anywhere, each answered by gain * state and noise that is recorded in the action."""
    states = rng.uniform(-1, 1, (rows, 2))
    return demonstrated(states, gain * states + rng.normal(0, noise, states.shape) if noise else gain * states)


def store_of(path: Path, paths: list[Array], operators: list[str] | None = None, verdict: str = "success") -> Store:
    """A store with an episode for each path (T, 3) of the tool; targets are where it is next."""
    with Store.create(path, SPEC, {"name": "cell", "rate": RATE}) as store:
        for number, positions in enumerate(paths):
            writer = store.writer({"kind": "collect", "operator": operators[number] if operators else "ada"})
            for step, position in enumerate(positions):
                row = SPEC.record(time=step / RATE, grip=0.08 * (step < len(positions) / 2))
                row["pose"] = [*position, 0, 0, 0, 1]
                row["target.pose"] = [*positions[min(step + 1, len(positions) - 1)], 0, 0, 0, 1]
                writer.append(row)
            writer.commit(verdict)
    return Store.open(path)
