"""How the robot moved in an episode, whatever robot it was."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Spec
from robot_stack.store.episode import Episode
from robot_stack.types import Array

_FIELDS = {"pose": ("m", 3), "agent": ("px", 2), "q": ("rad", None)}  # the first of these that a row has, its columns
_STILL = {"m": 0.0005, "px": 0.5, "rad": 0.001}
_LARGE = {"m": 0.02, "px": 20.0, "rad": 0.1}


@dataclass(frozen=True)
class Motion:
    """Measured positions (T, d) of the part that moves, in `unit`, and the rate of the rows [Hz].

    turns: how far the part turns to each row from the row before it (T,) [rad]; None for what cannot turn.
    """

    field: str
    positions: Array
    unit: str
    rate: float
    turns: Array | None = None

    @property
    def steps(self) -> Array:
        """Distance travelled to each row from the row before it (T,), 0 for the first."""
        return np.concatenate([[0.0], np.linalg.norm(np.diff(self.positions, axis=0), axis=1)])

    @property
    def is_still(self) -> NDArray[np.bool_]:
        """Rows (T,) reached by less than half a millimetre, half a pixel or a milliradian, and without turning."""
        still = self.steps < _STILL[self.unit]
        return np.asarray(still if self.turns is None else still & (self.turns < _STILL["rad"]))

    @property
    def large_step(self) -> float:
        """A step that only a fast robot makes: 2 cm, 20 px or 0.1 rad."""
        return _LARGE[self.unit]


def has_motion(spec: Spec) -> bool:
    """Whether `motion` finds something to follow in such rows."""
    return any(name in spec for name in _FIELDS)


def motion(episode: Episode) -> Motion:
    """Motion of the tool, else of the agent, else of the joints."""
    name = next(name for name in _FIELDS if name in episode.spec)
    unit, columns = _FIELDS[name]
    values = episode[name]
    turned = turns(values[:, 3:]) if name == "pose" else None
    return Motion(name, values[:, :columns], unit, episode.attrs["rate"], turned)


def turns(quaternions: Array) -> Array:
    """Angle between each quaternion (T, 4) and the one before it (T,) [rad]; q and -q are one rotation."""
    lengths = np.linalg.norm(quaternions.astype(np.float64), axis=1)
    scaled = quaternions / np.where(lengths > 0, lengths, 1.0)[:, None]
    cosine = np.abs(np.sum(scaled[1:] * scaled[:-1], axis=1))
    known = (lengths[1:] > 0) & (lengths[:-1] > 0)  # an import may have a position and no rotation
    return np.concatenate([[0.0], np.where(known, 2.0 * np.arccos(np.minimum(cosine, 1.0)), 0.0)])


def stretches(mask: NDArray[np.bool_], at_least: int) -> Iterator[tuple[int, int]]:
    """Runs of True in a mask (T,), `at_least` so many rows long: first row, row after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    for start, stop in edges.reshape(-1, 2).tolist():
        if stop - start >= at_least:
            yield start, stop
