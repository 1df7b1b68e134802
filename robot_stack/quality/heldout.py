"""How well actions of unseen demonstrations are predicted from seen ones: a figure that needs no training.

The error of a prediction from the NEIGHBOURS nearest states, in units of the variance of actions: 0 is perfect, 1 is no
better than always doing the mean. It trains no network and flies nothing. It is not a success rate: a policy that is
off by little everywhere can fail always, and one that takes another good way scores badly; validation error was found
to be a weak predictor of success (Lin et al., ICLR 2025; Mandlekar et al., CoRL 2021). It says whether demonstrations
still tell each other something. The loss of the policy itself, or its failures in simulation, is another `Score`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial import cKDTree

from robot_stack.quality.demonstrations import Demonstration

Score = Callable[[Sequence[Demonstration], Sequence[Demonstration]], float]
"""Loss, lower is better and above 0, after learning from the first, on the second: `score(train, held_out)`."""

NEIGHBOURS = 5
_MOST_ROWS = 2000  # held-out rows that are predicted


def action_error(train: Sequence[Demonstration], held_out: Sequence[Demonstration]) -> float:
    """Mean squared error of the actions (mean over columns) of held-out demonstrations; all `normalized` together."""
    states, actions = (np.concatenate([getattr(d, name) for d in train]) for name in ("states", "actions"))
    asked, wanted = (np.concatenate([getattr(d, name) for d in held_out]) for name in ("states", "actions"))
    stride = max(1, len(asked) // _MOST_ROWS)
    count = min(NEIGHBOURS, len(states))
    index = cKDTree(states).query(asked[::stride], count)[1].reshape(-1, count)
    return float(((actions[index].mean(axis=1) - wanted[::stride]) ** 2).mean())
