"""The average of the weights over the last steps: what is evaluated and deployed."""

import copy

import torch

from policies import Policy


class Ema:
    """Exponential moving average with a warm-up: at update n, decay = 1 - (1 + n)^-power, at most `limit`.

    The counter `updates` belongs to the state: a run that resumes without it overwrites the average with one step.
    """

    def __init__(self, policy: Policy, power: float = 0.75, limit: float = 0.9999) -> None:
        self.policy = copy.deepcopy(policy).eval().requires_grad_(False)
        self.power = power
        self.limit = limit
        self.updates = 0

    def decay(self) -> float:
        """Share of the old average that the next update keeps."""
        return float(min(1.0 - (1.0 + self.updates) ** -self.power, self.limit))

    def update(self, policy: Policy) -> None:
        """Take one step of `policy` in."""
        new = 1.0 - self.decay()
        torch._foreach_lerp_(list(self.policy.parameters()), [p.detach() for p in policy.parameters()], new)
        self.updates += 1
