"""When a watching person takes over, and when it lets go: the rule of a scripted supervisor.

It objects when policy and expert have differed for some steps, or when nothing has moved for long. Its hands come a
reaction time later: what the policy does meanwhile is what Sirius calls pre-intervention. Without that delay there is
nothing bad in it, and weighting it down cannot help.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from robot_stack.types import Array


@dataclass(frozen=True)
class Rule:
    """All in control steps, but for distances.

    apart: how far actions are from each other to differ [1]. objects_after: steps of differing, in a row. stuck_after:
    steps in which the hand stays within `stuck_within` [m]. reaction: from objecting to flying. agrees_after: steps of
    not differing, in a row, after which it lets go. budget: of a takeover; it lets go then, whatever happens.
    """

    apart: float = 0.8
    objects_after: int = 5
    stuck_after: int = 30
    stuck_within: float = 0.005
    reaction: int = 10
    agrees_after: int = 10
    budget: int = 60


class Gate:
    """Who flies, step by step, in one attempt."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.flies = False
        self._differs = self._agrees = self._flown = 0
        self._reacts: int | None = None  # steps until a person who objected has the robot in hand
        self._places: deque[Array] = deque(maxlen=rule.stuck_after)

    def step(self, proposed: Array, wanted: Array, hand: Array) -> bool:
        """Whether the person flies this step. proposed, wanted: actions of policy and expert; hand: where it is [m]."""
        differs = bool(np.linalg.norm(proposed - wanted) > self.rule.apart)
        self._differs = self._differs + 1 if differs else 0
        self._agrees = 0 if differs else self._agrees + 1
        self._places.append(hand)
        if self.flies:
            self._hold_on()
        else:
            self._watch()
        return self.flies

    def _hold_on(self) -> None:
        self._flown += 1
        if self._agrees >= self.rule.agrees_after or self._flown >= self.rule.budget:
            self.flies = False
            self._differs = 0
            self._places.clear()

    def _watch(self) -> None:
        if self._reacts is None and (self._differs >= self.rule.objects_after or self._stuck()):
            self._reacts = self.rule.reaction
        if self._reacts == 0:
            self.flies, self._reacts = True, None
            self._agrees = self._flown = 0
        elif self._reacts is not None:
            self._reacts -= 1

    def _stuck(self) -> bool:
        if len(self._places) < self.rule.stuck_after:
            return False
        return bool(np.linalg.norm(self._places[-1] - np.array(self._places), axis=1).max() < self.rule.stuck_within)
