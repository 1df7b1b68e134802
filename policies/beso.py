"""BESO, a policy by scores (Reuss et al. 2023, arXiv:2304.02532): a network that is told the noise level as a real
number, with the preconditioning of EDM (Karras et al. 2022, arXiv:2206.00364), so that sampler, levels and their number
are chosen when it acts; three steps do.

The noise goes up to 20 where BESO's goes to 1: it proposed one action a call, and the waypoints of a chunk are so alike
that their mean shines through noise of 1. On PushT, chunks of 16, that costs half of the reward (0.44 instead of 0.92).
"""

import math
from typing import Unpack

import torch
from torch import Tensor

from policies import Batch, Interface
from policies.denoiser import Denoiser, Net, Plan
from policies.samplers import SCHEDULES, one_of
from robot_stack.spec import Spec
from robot_stack.types import ConfigError

SIGMA_DATA = 0.5
"""Standard deviation of the network's numbers of a chunk, roughly; limits are [-1, 1]."""
LEVEL_SCALE = 50.0
"""EDM's ln(sigma) / 4 spans 2; a network's embedding of the level is made for the timesteps 0 to 99."""


class Beso(Denoiser):
    """low, high: smallest and largest noise [1]. schedule: how the levels lie between them when it acts:
    `exponential`, `linear` or `karras`."""

    def __init__(
        self,
        spec: Spec,
        net: Net,
        low: float = 0.005,
        high: float = 20.0,
        schedule: str = "exponential",
        sampler: str = "ddim",
        steps: int = 3,
        guidance: float = 1.0,
        **interface: Unpack[Interface],
    ) -> None:
        super().__init__(spec, net, sampler, steps, guidance, **interface)
        if not 0.0 < low < high:
            raise ConfigError(f"low={low}, high={high}: noise needs 0 < low < high")
        self.low, self.high = low, high
        self.schedule = one_of("schedule", schedule, SCHEDULES)

    def loss(self, batch: Batch) -> Tensor:
        """Squared error of the network's own output, which has unit variance at every level (B, horizon)."""
        clean = self.encode(batch.action, batch.observe)
        sigma = log_logistic(torch.rand(len(clean), 1, 1, device=clean.device), self.low, self.high)
        noisy = clean + sigma * torch.randn_like(clean)
        skip, out, into = preconditioning(sigma)
        predicted = self.net(into * noisy, told(sigma).flatten(), self.condition(batch.observe))
        return (predicted - (clean - skip * noisy) / out).square().mean(dim=-1)

    def plan(self, steps: int) -> Plan:
        """Levels from the largest to the smallest, then none."""
        return plan_of(SCHEDULES[self.schedule](self.low, self.high, steps))

    def estimate(self, chunk: Tensor, sigma: Tensor | float, level: Tensor, condition: Tensor) -> Tensor:
        """The clean chunk (B, H, D)."""
        skip, out, into = preconditioning(sigma)
        return skip * chunk + out * self.net(into * chunk, level, condition)


def preconditioning[T: (Tensor, float)](sigma: T) -> tuple[T, T, T]:
    """c_skip, c_out and c_in of EDM: clean = c_skip x + c_out F(c_in x)."""
    variance = sigma**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / variance, SIGMA_DATA * sigma * variance**-0.5, variance**-0.5


def told(sigma: Tensor) -> Tensor:
    """What the network is told of a noise level."""
    return sigma.log() * (LEVEL_SCALE / 4.0)


def plan_of(sigmas: tuple[float, ...]) -> Plan:
    """The plan of these levels, the last of which is zero."""
    return Plan(sigmas, tuple(LEVEL_SCALE * math.log(sigma) / 4.0 for sigma in sigmas[:-1]), sigmas[0])


def log_logistic(share: Tensor, low: float, high: float) -> Tensor:
    """Noise levels of a share of the density that BESO trains on: log-logistic about SIGMA_DATA, cut at both ends."""
    ends = [1.0 / (1.0 + math.exp(-math.log(sigma / SIGMA_DATA) / 0.5)) for sigma in (low, high)]
    return SIGMA_DATA * torch.logit(ends[0] + (ends[1] - ends[0]) * share).mul(0.5).exp()
