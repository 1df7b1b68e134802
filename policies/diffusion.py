"""Diffusion Policy (Chi et al. 2023, arXiv:2303.04137): a chunk is denoised from noise, given what was seen.

Schedule and timesteps are those of `diffusers`; so are the samplers' numbers, without its work in every step.
Trailing timesteps, so that sampling starts at pure noise (Lin et al. 2023, arXiv:2305.08891).
"""

from functools import lru_cache
from typing import Unpack

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from policies import Batch, Interface
from policies.denoiser import Denoiser, Net, Plan
from policies.samplers import one_of
from robot_stack.spec import Spec
from robot_stack.types import ConfigError

PREDICTIONS = ("noise", "sample", "velocity")


class Diffusion(Denoiser):
    """levels: of noise in training. prediction: what the network predicts: `noise` (convolutions, transformers),
    `sample`, the clean chunk (perceptrons, which fail with the others), or `velocity`, a mix of the two that is well
    conditioned at every level (Salimans and Ho 2022, arXiv:2202.00512)."""

    def __init__(
        self,
        spec: Spec,
        net: Net,
        prediction: str = "noise",
        levels: int = 100,
        sampler: str = "ddim",
        steps: int = 10,
        guidance: float = 1.0,
        **interface: Unpack[Interface],
    ) -> None:
        super().__init__(spec, net, sampler, steps, guidance, **interface)
        self.prediction = one_of("prediction", prediction, PREDICTIONS)
        self.levels = levels

    def loss(self, batch: Batch) -> Tensor:
        """Squared error of what the network predicts, mean over its dimensions (B, horizon)."""
        clean = self.encode(batch.action, batch.observe)
        noise = torch.randn_like(clean)
        level = torch.randint(self.levels, (len(clean),), device=clean.device)
        schedule = scheduler(self.levels)
        noisy = schedule.add_noise(clean, noise, level)
        predicted = self.net(noisy, level, self.condition(batch.observe))
        if self.prediction == "velocity":
            wanted = schedule.get_velocity(clean, noise, level)
        else:
            wanted = noise if self.prediction == "noise" else clean
        return (predicted - wanted).square().mean(dim=-1)

    def plan(self, steps: int) -> Plan:
        """Timesteps that are evenly spaced and end at the last level."""
        return _plan(self.levels, steps)

    def estimate(self, chunk: Tensor, sigma: Tensor | float, level: Tensor, condition: Tensor) -> Tensor:
        """The clean chunk (B, H, D); the network sees it scaled to unit variance, as in training."""
        shrink = (1.0 + sigma**2) ** -0.5  # square root of alpha bar
        predicted = self.net(chunk * shrink, level, condition)
        if self.prediction == "sample":
            return predicted
        if self.prediction == "noise":
            return chunk - sigma * predicted
        return shrink * (shrink * chunk - sigma * predicted)


@lru_cache
def scheduler(levels: int) -> DDIMScheduler:
    """The squared cosine schedule (Nichol and Dhariwal 2021, arXiv:2102.09672)."""
    return DDIMScheduler(
        num_train_timesteps=levels, beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing", clip_sample=True
    )


@lru_cache
def _plan(levels: int, steps: int) -> Plan:
    if not 1 <= steps <= levels:
        raise ConfigError(f"steps={steps}: this policy knows {levels} levels of noise; choose 1 to {levels}")
    schedule = scheduler(levels)
    schedule.set_timesteps(steps)
    timesteps = schedule.timesteps.tolist()
    sigmas = [float((1.0 / alpha - 1.0) ** 0.5) for alpha in schedule.alphas_cumprod.double()[timesteps]]
    return Plan((*sigmas, 0.0), tuple(map(float, timesteps)), (1.0 + sigmas[0] ** 2) ** 0.5)
