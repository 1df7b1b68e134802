"""Behaviour cloning with a mixture of Gaussians, as in robomimic (Mandlekar et al. 2021, arXiv:2108.03298) and Sirius
(Liu et al. 2022, arXiv:2211.08416): with a recurrent network, ten rows and one waypoint it is their BC-RNN-GMM.

The mixture is one of chunks, not of waypoints: a mode is a way to go, and a chunk that changed its mind at every
waypoint would go none. For a chunk of one waypoint both are the same.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Unpack

import torch
from torch import Generator, Tensor, nn

from policies import Batch, Interface, Policy
from robot_stack.spec import Spec


class Mixture(NamedTuple):
    """Modes of a chunk with a diagonal covariance. weight: log of each mode's share (B, K). mean, deviation: of each
    mode (B, K, H, D)."""

    weight: Tensor
    mean: Tensor
    deviation: Tensor

    def log_likelihood(self, chunk: Tensor) -> Tensor:
        """Of each step of a chunk (B, H, D), given the steps before it (B, H); its sum is that of the chunk.

        log p(a_1..a_h) - log p(a_1..a_h-1): the steps before say which modes are still meant.
        """
        z = (chunk[:, None] - self.mean) / self.deviation
        step = (-0.5 * z.square() - self.deviation.log() - 0.5 * math.log(2.0 * math.pi)).sum(dim=-1)  # (B, K, H)
        until = torch.logsumexp(self.weight[..., None] + step.cumsum(dim=-1), dim=1)  # (B, H)
        return torch.diff(until, prepend=torch.zeros_like(until[:, :1]), dim=1)


class GaussianMixture(Policy):
    """net: makes the network from (inputs, outputs), as `policies.networks.recurrent.Recurrent` does. modes: of the
    mixture. least: smallest standard deviation, in the network's units of action; also that of what is drawn.

    Means are not squeezed by a tanh as in robomimic: here the limits of the data are -1 and 1, which it never reaches.
    """

    def __init__(
        self,
        spec: Spec,
        net: Callable[[int, int], nn.Module],
        modes: int = 5,
        least: float = 1e-4,
        **interface: Unpack[Interface],
    ) -> None:
        super().__init__(spec, **interface)
        self.modes = modes
        self.least = least
        self.net = net(self.condition_size, modes * (1 + 2 * self.window.horizon * self.targets.size))

    def loss(self, batch: Batch) -> Tensor:
        """Negative log likelihood of each step, given those before it [nat] (B, horizon)."""
        return -self.mixture(batch.observe).log_likelihood(self.encode(batch.action, batch.observe))

    def act(
        self, history: dict[str, Tensor], steps: int | None = None, generators: Sequence[Generator] | None = None
    ) -> Tensor:
        """The mean of a mode that is drawn by its share, with next to no noise: robomimic's low-noise evaluation."""
        mixture = self.mixture(history)
        noise = self.draw(mixture.mean, generators)
        drawn = torch.special.ndtr(self.draw(mixture.mean, generators, (1,)))  # uniform in [0, 1] (B, 1)
        mode = (mixture.weight.exp().cumsum(dim=1)[:, :-1] < drawn).sum(dim=1)  # (B,)
        mean = mixture.mean[torch.arange(len(mode), device=mode.device), mode]
        return self.decode(mean + self.least * noise, history)

    def mixture(self, history: Mapping[str, Tensor]) -> Mixture:
        """What may be done next. In float32 whatever the precision of the rest: in bfloat16 a mean near one is off by
        forty times the least deviation."""
        condition = self.condition(history)
        with torch.autocast(condition.device.type, enabled=False):
            out = self.net(condition.float())  # (B, K + 2 K H D)
            weight, modes = out.split([self.modes, out.shape[1] - self.modes], dim=1)
            mean, spread = modes.view(len(out), self.modes, 2, self.window.horizon, self.targets.size).unbind(2)
            return Mixture(weight.log_softmax(dim=1), mean, nn.functional.softplus(spread) + self.least)
