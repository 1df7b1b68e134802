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
    """Measured positions (T, d) of the part that moves, in `unit`, and the rate of the rows [Hz]."""

    field: str
    positions: Array
    unit: str
    rate: float

    @property
    def steps(self) -> Array:
        """Distance travelled to each row from the row before it (T,), 0 for the first."""
        return np.concatenate([[0.0], np.linalg.norm(np.diff(self.positions, axis=0), axis=1)])

    @property
    def is_still(self) -> NDArray[np.bool_]:
        """Rows (T,) reached by less than half a millimetre, half a pixel or a milliradian."""
        return np.asarray(self.steps < _STILL[self.unit])

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
    return Motion(name, episode[name][:, :columns], unit, episode.attrs["rate"])


def stretches(mask: NDArray[np.bool_], at_least: int) -> Iterator[tuple[int, int]]:
    """Runs of True in a mask (T,), `at_least` so many rows long: first row, row after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    for start, stop in edges.reshape(-1, 2).tolist():
        if stop - start >= at_least:
            yield start, stop
