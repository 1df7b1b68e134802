"""In how many ways the task was solved: behaviour entropy.

Jia et al., Towards Diverse Behaviors (D3IL), ICLR 2024. A descriptor says of each successful episode which of `modes`
ways it went; H = -sum p log p with the logarithm to the base `modes`, so 0 is one way and 1 is all alike. With n
episodes the plain estimate is too low by about (K - 1) / (2 n) nats, K the ways seen: that is added (Miller, 1955),
and nothing is said above 1. High entropy is wide, not good: where one way is the wanted one, it is wrong. The
entropy of the demonstrations is the most that a policy that imitates them can reach.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import log

import numpy as np

from robot_stack.quality.motion import has_motion, motion
from robot_stack.store.episode import Episode

Descriptor = Callable[[Episode], Hashable]
"""Which way an episode went; None if it cannot be said. A task brings its own."""


def behaviour_entropy(ways: Iterable[Hashable], modes: int) -> float:
    """Entropy of the ways taken, one an episode, None left out, to the base `modes`, corrected; NaN for no episode."""
    counts = Counter(way for way in ways if way is not None)
    total = sum(counts.values())
    if not total:
        return float("nan")
    plain = -sum(n / total * log(n / total) for n in counts.values())
    return min(1.0, (plain + (len(counts) - 1) / (2 * total)) / log(modes))


def conditional_entropy(ways: Mapping[Hashable, Sequence[Hashable]], modes: int) -> float:
    """Mean entropy over contexts (start states) of the ways taken from each, those without a success left out."""
    entropies = [behaviour_entropy(taken, modes) for taken in ways.values() if len(taken)]
    return float(np.mean(entropies)) if entropies else float("nan")


def side(episode: Episode) -> str | None:
    """A descriptor for any task: past which side of the straight way from its start to its end an episode went.

    By the signed area in x and y between the path and the straight way: "left", "right", or "straight" where the path
    keeps within a tenth of that way's length on average. None for what does not move or ends where it began.
    """
    if not has_motion(episode.spec):
        return None
    path = motion(episode).positions[:, :2]
    path = path[np.isfinite(path).all(axis=1)]
    way = path[-1] - path[0] if len(path) else np.zeros(2)
    length = float(np.hypot(*way))
    travelled = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    if length < 0.1 * travelled or not travelled:
        return None
    offset = path - path[0]
    area = float(np.trapezoid(way[0] * offset[:, 1] - way[1] * offset[:, 0], offset @ way)) / length**2
    if abs(area) < 0.1 * length:
        return "straight"
    return "left" if area > 0 else "right"


SIDES = 3
"""Ways that `side` tells apart."""
