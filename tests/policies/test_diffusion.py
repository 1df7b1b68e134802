"""Numbers of the noise schedule and of the sampler against closed forms, and what a mean cannot do."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from policies import Batch, Policy, Window
from policies.bc import BehaviourCloning
from policies.diffusion import Diffusion
from policies.networks.mlp import Mlp, MlpDenoiser
from policies.networks.unet1d import UNet1d
from robot_stack.spec import Field, Spec
from robot_stack.types import ConfigError

SPEC = Spec([Field("x", (2,)), Field("y", (2,))])
WINDOW = Window(history=1, horizon=8, execute=4)


class Oracle(nn.Module):
    """Knows the clean chunk, and so what the noise is."""

    def __init__(self, prediction: str, clean: Tensor) -> None:
        super().__init__()
        self.prediction, self.clean = prediction, clean

    def forward(self, chunk: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        a = torch.tensor([alpha_bar(int(t)) for t in timestep], dtype=torch.float32)[:, None, None]
        return self.clean if self.prediction == "sample" else (chunk - a.sqrt() * self.clean) / (1.0 - a).sqrt()


def alpha_bar(t: int, levels: int = 100) -> float:
    """Product of 1 - beta up to t of the squared cosine schedule (Nichol and Dhariwal 2021)."""

    def f(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    return math.prod(1.0 - min(1.0 - f((i + 1) / levels) / f(i / levels), 0.999) for i in range(t + 1))


def made(prediction: str, net: Any) -> Diffusion:
    return Diffusion(SPEC, net, prediction, observe=["x"], act=["y"], window=WINDOW)


def test_the_noise_schedule_is_the_squared_cosine() -> None:
    schedule = made("sample", MlpDenoiser).scheduler.alphas_cumprod
    assert np.allclose(schedule, [alpha_bar(t) for t in range(100)], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("steps", "first"), [(10, [99, 89, 79]), (4, [99, 74, 49]), (1, [99])])
def test_sampling_starts_at_the_last_level_whatever_the_number_of_steps(steps: int, first: list[int]) -> None:
    scheduler = made("sample", MlpDenoiser).scheduler
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps.tolist()[: len(first)] == first
    assert len(scheduler.timesteps) == steps


@pytest.mark.parametrize("prediction", ["noise", "sample"])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_perfect_network_brings_the_data_back(prediction: str, steps: int) -> None:
    clean = torch.rand(5, 8, 2, generator=Generator().manual_seed(0)) * 1.8 - 0.9
    policy = made(prediction, lambda horizon, size, condition: Oracle(prediction, clean))
    chunk = policy.act({"x": torch.zeros(5, 1, 2)}, steps, [Generator().manual_seed(i) for i in range(5)])
    assert torch.allclose(chunk, clean, atol=2e-3)


def test_each_step_is_that_of_ddim() -> None:
    """x' = sqrt(a') x0 + sqrt(1 - a') noise, with x0 clipped and the noise that belongs to it (Song et al. 2021)."""
    torch.manual_seed(0)
    policy = made("noise", lambda h, d, c: UNet1d(h, d, c, channels=(8, 16))).eval()
    condition = torch.zeros(1, 2)
    x = torch.randn(8, 2, generator=Generator().manual_seed(7))[None]
    with torch.inference_mode():
        for level, after in [(99, 74), (74, 49), (49, 24), (24, -1)]:
            a, b = alpha_bar(level), alpha_bar(after) if after >= 0 else 1.0
            noise = policy.net(x, torch.tensor([level]), condition)
            clean = ((x - math.sqrt(1 - a) * noise) / math.sqrt(a)).clamp(-1, 1)
            x = math.sqrt(b) * clean + math.sqrt(1 - b) * noise
        ours = policy.act({"x": torch.zeros(1, 1, 2)}, 4, [Generator().manual_seed(7)])
    assert torch.allclose(ours, x, atol=1e-4)


def test_an_unknown_prediction_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="choose one of noise, sample"):
        made("velocity", MlpDenoiser)


def test_a_horizon_that_the_levels_cannot_halve_is_refused() -> None:
    with pytest.raises(ConfigError, match="divides by 4"):
        UNet1d(6, 2, 2, channels=(8, 16, 32))


# --- two ways round an obstacle: what a generative policy is for ---


def two_routes(count: int) -> Tensor:
    """Chunks that pass an obstacle at the origin above or below, equally often (count, 8, 2)."""
    generator = Generator().manual_seed(0)
    side = torch.randint(2, (count, 1), generator=generator) * 2.0 - 1.0
    along = torch.linspace(-1.0, 1.0, 8).expand(count, 8)
    height = side * (1.0 - along.square()) * (0.8 + 0.2 * torch.rand(count, 1, generator=generator))
    return torch.stack([along, height], dim=-1)


def batch_of(action: Tensor) -> Batch:
    """Windows of these actions, before which nothing is seen."""
    ones = torch.ones(action.shape[:2])
    return Batch({"x": torch.zeros(len(action), 1, 2)}, action, ones > 0, ones)


def taught(policy: Policy, steps: int) -> Tensor:
    """Train on the two routes, then propose 200 chunks."""
    clean = two_routes(2048)
    generator = Generator().manual_seed(1)
    policy.fit({"x": torch.zeros(2, 2)}, [batch_of(clean)])
    optimiser = torch.optim.AdamW(policy.parameters(), lr=2e-3)
    for _ in range(steps):
        action = clean[torch.randint(2048, (128,), generator=generator)]
        optimiser.zero_grad()
        policy.loss(batch_of(action)).mean().backward()
        optimiser.step()
    with torch.inference_mode():
        return policy.eval().act({"x": torch.zeros(200, 1, 2)}, 10, [Generator().manual_seed(i) for i in range(200)])


def test_diffusion_takes_either_way_and_the_mean_of_both_hits_the_obstacle() -> None:
    torch.manual_seed(0)
    generative = taught(made("sample", lambda h, d, c: MlpDenoiser(h, d, c, width=128, blocks=2)), 600)
    blind = BehaviourCloning(SPEC, lambda i, o: Mlp(i, o, 64, 2), observe=["x"], act=["y"], window=WINDOW)
    mean = taught(blind, 100)
    middle = generative[:, 3:5, 1].mean(dim=1)
    assert (middle.abs() > 0.5).float().mean() >= 0.85
    assert 0.35 <= (middle > 0).float().mean() <= 0.65
    assert (mean[:, 3:5, 1].abs() < 0.3).all()
