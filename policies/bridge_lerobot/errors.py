"""The loss of a LeRobot policy, as fine as it is to be had.

Upstream reduces its losses to a number. Those of ACT and Diffusion Policy are computed here from upstream's own
modules before that, so that every step can be weighted; policies that take `reduction="none"` (SmolVLA, π0, …) give one
a window; of all others there is one a batch.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from policies.bridge_lerobot.features import ACTION

PICTURES = "observation.images"
Given = dict[str, Any]
"""A batch as LeRobot's processors leave it."""


def errors(policy: Any, given: Given) -> Tensor:
    """Of each step (B, steps), of each window (B,), or of the batch ()."""
    if policy.name in STEP_ERRORS:
        stacked = [given[key] for key in policy.config.image_features]
        return STEP_ERRORS[policy.name](policy, given, stacked)
    if "reduction" in inspect.signature(policy.forward).parameters:
        loss: Tensor = policy.forward(given, reduction="none")[0]
        return loss
    mean: Tensor = policy.forward(given)[0]
    return mean


def _act(policy: Any, given: Given, pictures: list[Tensor]) -> Tensor:
    """Absolute error, and the divergence of the latent that the actions were encoded to from the standard normal,
    which counts in each step of its window (Zhao et al. 2023, arXiv:2304.13705)."""
    if pictures:
        given = {**given, PICTURES: pictures}
    predicted, (mean, log_variance) = policy.model(given)
    wrong = (given[ACTION] - predicted).abs().mean(dim=-1)
    if mean is None:
        return wrong
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=-1)
    return wrong + policy.config.kl_weight * divergence[:, None]


def _diffusion(policy: Any, given: Given, pictures: list[Tensor]) -> Tensor:
    """Squared error of the predicted noise or clean chunk (Chi et al. 2023, arXiv:2303.04137)."""
    model, clean = policy.diffusion, given[ACTION]
    if pictures:
        given = {**given, PICTURES: torch.stack(pictures, dim=-4)}
    condition = model._prepare_global_conditioning(given)
    noise = torch.randn(clean.shape, device=clean.device)
    levels = model.noise_scheduler.config.num_train_timesteps
    level = torch.randint(0, levels, (len(clean),), device=clean.device)
    predicted = model.unet(model.noise_scheduler.add_noise(clean, noise, level), level, global_cond=condition)
    wanted = noise if policy.config.prediction_type == "epsilon" else clean
    return (predicted - wanted).square().mean(dim=-1)


STEP_ERRORS: dict[str, Callable[[Any, Given, list[Tensor]], Tensor]] = {"act": _act, "diffusion": _diffusion}
"""Type of a policy -> error of each step (B, steps)."""
