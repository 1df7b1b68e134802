"""Flow matching (Lipman et al. 2023, arXiv:2210.02747): noise at t = 0 moves along straight lines to data at t = 1.

Euler's method on such a line is DDIM with 1 - t for the noise level, so the sampler is the one that diffusion has.
"""

from typing import Unpack

import torch
from torch import Tensor

from policies import Batch, Interface
from policies.denoiser import Denoiser, Net, Plan
from policies.samplers import one_of
from robot_stack.spec import Spec

PREDICTIONS = ("sample", "velocity")
TIMES = ("uniform", "beta")
LEVEL_SCALE = 100.0
"""A network's embedding of the level is made for the timesteps 0 to 99."""


class Flow(Denoiser):
    """prediction: what the network predicts: `sample`, the clean chunk (perceptrons), or `velocity`, clean minus noise
    (convolutions, transformers). time: density of t in training: `uniform`, or `beta`, 1 - t by Beta(1.5, 1), which
    trains noisy chunks more often (Black et al. 2024, arXiv:2410.24164)."""

    samplers = ("ddim",)

    def __init__(
        self,
        spec: Spec,
        net: Net,
        prediction: str = "sample",
        time: str = "uniform",
        steps: int = 10,
        guidance: float = 1.0,
        **interface: Unpack[Interface],
    ) -> None:
        super().__init__(spec, net, "ddim", steps, guidance, **interface)
        self.prediction = one_of("prediction", prediction, PREDICTIONS)
        self.time = one_of("time", time, TIMES)

    def loss(self, batch: Batch) -> Tensor:
        """Squared error of what the network predicts, mean over its dimensions (B, horizon)."""
        clean = self.encode(batch.action, batch.observe)
        noise = torch.randn_like(clean)
        left = torch.rand(len(clean), 1, 1, device=clean.device)  # 1 - t
        if self.time == "beta":
            left = left ** (2.0 / 3.0)  # the inverse of Beta(1.5, 1)'s distribution function
        predicted = self.net(
            torch.lerp(clean, noise, left), (1.0 - left).flatten() * LEVEL_SCALE, self.condition(batch.observe)
        )
        return (predicted - (clean if self.prediction == "sample" else clean - noise)).square().mean(dim=-1)

    def plan(self, steps: int) -> Plan:
        """Even steps from t = 0 to 1."""
        left = tuple(1.0 - step / steps for step in range(steps + 1))
        return Plan(left, tuple(LEVEL_SCALE * (1.0 - sigma) for sigma in left[:-1]), 1.0)

    def estimate(self, chunk: Tensor, sigma: Tensor | float, level: Tensor, condition: Tensor) -> Tensor:
        """The clean chunk (B, H, D). sigma: 1 - t."""
        predicted = self.net(chunk, level, condition)
        return predicted if self.prediction == "sample" else chunk + sigma * predicted
