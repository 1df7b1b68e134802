"""How good and how broad demonstrations are: trajectory quality TQ and state-action coverage SACo.

Schweighofer et al., A Dataset Perspective on Offline Reinforcement Learning, CoLLAs 2022:

    TQ   = (mean return - return of a random policy) / (return of the best policy - return of a random policy)
    SACo = unique (state, action) pairs of the data / unique pairs of a reference of the same size

For manipulation the return is success, so TQ is the success rate between that of a random and of the best policy. In
ten and more continuous dimensions every pair is unique and the published SACo says nothing: counted here are cells of
where the tool is (2 cm or 20 px), whether the fingers are open, and roughly where the objects are (10 cm or 100 px).
The reference is the union of all demonstrations given. An operator with more rows visits more cells: compare equals.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from robot_stack.quality.motion import has_motion, motion
from robot_stack.store.episode import Episode
from robot_stack.types import Array

_CELL = {"m": 0.02, "px": 20.0, "rad": 0.2}
"""Edge of a cell of the tool, the agent, or the joints; objects have cells five times as long."""

Cells = frozenset[tuple[int, ...]]


def trajectory_quality(verdicts: Iterable[str], random: float = 0.0, best: float = 1.0) -> float:
    """TQ of episodes by verdict, those of unknown success left out; NaN if none is known.

    random, best: success rates of a policy that acts at random and of the best there is.
    """
    known = [verdict == "success" for verdict in verdicts if verdict in ("success", "failure")]
    return (float(np.mean(known)) - random) / (best - random) if known else float("nan")


def union(cells: Iterable[Cells]) -> Cells:
    """The cells that any of some episodes visits."""
    return frozenset().union(*cells)


def coverage_share(cells: Cells, reference: Cells) -> float:
    """SACo: cells visited over those of the reference; NaN if that has none."""
    return len(cells) / len(reference) if reference else float("nan")


def visited(episode: Episode) -> Cells:
    """The cells that an episode visits; none where nothing is known to move."""
    if not has_motion(episode.spec):
        return frozenset()
    moved = motion(episode)
    columns = [_binned(moved.positions, _CELL[moved.unit])]
    if "grip" in episode.spec:
        opening = episode["grip"].reshape(len(episode), -1)
        columns.append(_binned(opening, max(float(opening.max()) / 2, 1e-9)).clip(0, 1))
    for name in _objects(episode):
        columns.append(_binned(episode[name][:, :2], 5 * _CELL[moved.unit]))
    cells = np.concatenate(columns, axis=1)
    return frozenset(map(tuple, np.unique(cells, axis=0).tolist()))


def _objects(episode: Episode) -> Sequence[str]:
    names = [name for name in episode.spec.fields if name.startswith("objects.") and name != "objects.time"]
    return names or [name for name in ("block",) if name in episode.spec]


def _binned(values: Array, width: float) -> NDArray[np.int64]:
    return np.floor(np.nan_to_num(values) / width).astype(np.int64)
