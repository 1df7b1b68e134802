"""Diffusion Policy (Chi et al. 2023, arXiv:2303.04137): a chunk is denoised from noise, given what was seen.

Schedules and the DDIM update are those of `diffusers`. Trailing timesteps, so that sampling starts at pure noise
(Lin et al. 2023, arXiv:2305.08891); every estimate of the clean chunk is clipped to the limits of the data.
"""

from collections.abc import Callable, Sequence
from typing import Unpack

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Generator, Tensor, nn

from policies import Batch, Interface, Policy
from robot_stack.spec import Spec
from robot_stack.types import ConfigError

PREDICTIONS = {"noise": "epsilon", "sample": "sample"}
"""Our words, and those of diffusers."""


class Diffusion(Policy):
    """net: makes the network from (horizon, size, condition). levels: of noise in training. steps: of the sampler,
    unless told at call. prediction: what the network predicts, `noise` (convolutions) or `sample`, the clean chunk
    (perceptrons)."""

    def __init__(
        self,
        spec: Spec,
        net: Callable[[int, int, int], nn.Module],
        prediction: str = "noise",
        levels: int = 100,
        steps: int = 10,
        **interface: Unpack[Interface],
    ) -> None:
        super().__init__(spec, **interface)
        if prediction not in PREDICTIONS:
            raise ConfigError(f"prediction={prediction!r}: choose one of {', '.join(PREDICTIONS)}")
        self.net = net(self.window.horizon, self.targets.size, self.condition_size)
        self.prediction = prediction
        self.steps = steps
        self.scheduler = DDIMScheduler(
            num_train_timesteps=levels,
            beta_schedule="squaredcos_cap_v2",
            clip_sample=True,
            prediction_type=PREDICTIONS[prediction],
            timestep_spacing="trailing",
        )

    def loss(self, batch: Batch) -> Tensor:
        """Squared error of the predicted noise or clean chunk, mean over the network's dimensions (B, horizon)."""
        clean = self.encode(batch.action, batch.observe)
        noise = torch.randn_like(clean)
        level = torch.randint(self.scheduler.config.num_train_timesteps, (len(clean),), device=clean.device)
        noisy = self.scheduler.add_noise(clean, noise, level)
        predicted = self.net(noisy, level, self.condition(batch.observe))
        return (predicted - (noise if self.prediction == "noise" else clean)).square().mean(dim=-1)

    def act(
        self, history: dict[str, Tensor], steps: int | None = None, generators: Sequence[Generator] | None = None
    ) -> Tensor:
        """A chunk drawn for each history, with `steps` DDIM steps."""
        condition = self.condition(history)
        chunk = self.draw(condition, generators)
        self.scheduler.set_timesteps(steps or self.steps)
        for level in self.scheduler.timesteps:
            predicted = self.net(chunk, level.to(chunk.device).expand(len(chunk)), condition)
            chunk = self.scheduler.step(predicted, level, chunk).prev_sample
        return self.decode(chunk, history)
