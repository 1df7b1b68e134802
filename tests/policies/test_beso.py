"""EDM's preconditioning, BESO's density and schedules, and samplers, against closed forms."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from policies import Window
from policies.beso import Beso, log_logistic, preconditioning
from policies.networks.mlp import MlpDenoiser
from policies.samplers import SAMPLERS, SCHEDULES, ancestral
from robot_stack.spec import Field, Spec
from robot_stack.types import ConfigError

SPEC = Spec([Field("x", (2,)), Field("y", (2,))])
WINDOW = Window(history=1, horizon=8, execute=4)


def made(net: Any = MlpDenoiser, **options: Any) -> Beso:
    return Beso(SPEC, net, observe=["x"], act=["y"], window=WINDOW, **options)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 80.0])
def test_what_the_network_sees_and_must_answer_has_unit_variance_at_every_level(sigma: float) -> None:
    generator = Generator().manual_seed(0)
    clean, noise = torch.randn(2, 200_000, generator=generator)
    clean = 0.5 * clean
    noisy = clean + sigma * noise
    skip, out, into = preconditioning(sigma)
    assert (into * noisy).var() == pytest.approx(1.0, rel=0.02)
    assert ((clean - skip * noisy) / out).var() == pytest.approx(1.0, rel=0.02)


def test_noise_levels_of_training_are_log_logistic_about_the_data_and_cut_at_both_ends() -> None:
    share = torch.linspace(0.0, 1.0, 10_001, dtype=torch.float64)
    levels = log_logistic(share, 0.005, 20.0)
    assert levels[0] == pytest.approx(0.005, rel=1e-3)
    assert levels[-1] == pytest.approx(20.0, rel=1e-3)
    assert levels[5000] == pytest.approx(0.5, rel=1e-2)
    assert (levels.diff() > 0.0).all()


class Oracle(nn.Module):
    """Answers so that the estimate is the clean chunk."""

    def __init__(self, clean: Tensor) -> None:
        super().__init__()
        self.clean = clean

    def forward(self, chunk: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        sigma = (level[0] / 12.5).exp()
        skip, out, into = preconditioning(sigma)
        return (self.clean - skip * chunk / into) / out


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "heun", "dpm++"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_perfect_network_brings_the_data_back(sampler: str, schedule: str, steps: int) -> None:
    clean = torch.rand(5, 8, 2, generator=Generator().manual_seed(0)) * 1.8 - 0.9
    policy = made(lambda h, d, c: Oracle(clean), sampler=sampler, schedule=schedule)
    chunk = policy.act({"x": torch.zeros(5, 1, 2)}, steps, [Generator().manual_seed(i) for i in range(5)])
    assert torch.allclose(chunk, clean, atol=1e-3)


@pytest.mark.parametrize(
    ("schedule", "levels"),
    [
        ("exponential", [20.0, 0.3162, 0.005, 0.0]),
        ("linear", [20.0, 10.0025, 0.005, 0.0]),
        ("karras", [20.0, ((20.0 ** (1 / 7) + 0.005 ** (1 / 7)) / 2) ** 7, 0.005, 0.0]),
    ],
)
def test_a_schedule_goes_from_the_largest_to_the_smallest_noise_and_to_none(schedule: str, levels: list[float]) -> None:
    assert SCHEDULES[schedule](0.005, 20.0, 3) == pytest.approx(levels, rel=1e-4)


@pytest.mark.parametrize(("sigma", "after"), [(20.0, 3.0), (1.0, 0.9), (0.5, 0.0)])
def test_an_ancestral_step_leaves_as_much_noise_as_its_level_says(sigma: float, after: float) -> None:
    """The noise that is left and the fresh noise are independent; together they are the posterior of DDPM, whose
    variance is after² (sigma² - after²) / sigma²."""
    fresh, down = ancestral(sigma, after)
    assert fresh**2 + down**2 == pytest.approx(after**2)
    assert fresh**2 == pytest.approx(after**2 * (sigma**2 - after**2) / sigma**2)


def of_gauss(spread: float, sigmas: list[float]) -> Callable[[Tensor, int], Tensor]:
    """The best estimate of normal data of this spread about zero."""
    return lambda chunk, step: chunk * spread**2 / (spread**2 + sigmas[step] ** 2)


@pytest.mark.parametrize(("sampler", "least"), [("ddim", 1.6), ("heun", 3.0), ("dpm++", 3.0)])
def test_twice_the_steps_make_a_sampler_as_much_better_as_its_order_says(sampler: str, least: float) -> None:
    """Of normal data the flow is known: chunk times spread / sqrt(spread² + sigma²)."""
    errors = []
    for steps in (40, 80):
        sigmas = [*SCHEDULES["exponential"](0.05, 5.0, steps + 1)[:-1]]
        clean = of_gauss(0.5, sigmas)
        chunk = SAMPLERS[sampler](clean, torch.ones(1, dtype=torch.float64), sigmas, lambda: torch.zeros(1))
        wanted = math.sqrt((0.5**2 + 0.05**2) / (0.5**2 + 5.0**2))
        errors.append(abs(chunk.item() - wanted))
    assert errors[0] / errors[1] > least


@pytest.mark.parametrize("sampler", ["ddpm", "jump"])
def test_what_draws_fresh_noise_keeps_the_spread_of_the_data(sampler: str) -> None:
    """`jump` is given jumps along the flow, not estimates."""
    generator = Generator().manual_seed(0)
    sigmas = [*SCHEDULES["exponential"](0.01, 20.0, 400)]
    jumps = [0.5 / math.sqrt(0.5**2 + sigma**2) for sigma in sigmas]
    clean = (lambda chunk, step: chunk * jumps[step]) if sampler == "jump" else of_gauss(0.5, sigmas)

    def draw() -> Tensor:
        return torch.randn(100_000, generator=generator)

    chunk = SAMPLERS[sampler](clean, draw() * 20.0, sigmas, draw)
    assert chunk.std() == pytest.approx(0.5, rel=0.03)


def test_noise_levels_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="noise needs 0 < low < high"):
        made(low=1.0, high=0.5)
    with pytest.raises(ConfigError, match="choose one of exponential, linear, karras"):
        made(schedule="cosine")


# --- guidance, which is the same for every policy that denoises ---


class Told(nn.Module):
    """Estimates the first number of its condition, everywhere."""

    calls = 0

    def forward(self, chunk: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        self.calls += 1
        sigma = (level[0] / 12.5).exp()
        skip, out, into = preconditioning(sigma)
        return (condition[:, :1, None].expand_as(chunk) - skip * chunk / into) / out


class Word(nn.Module):
    """A conditioner of one number: 0.4, or -0.2 untold."""

    size = 1

    def forward(self, history: dict[str, Tensor], count: int, told: bool) -> Tensor:
        return torch.full((count, 1), 0.4 if told else -0.2)

    def fit(self, observe: dict[str, Tensor]) -> None: ...


class Telling:
    """Makes a `Word`."""

    fields = ()

    def build(self, spec: Spec, images: object) -> Word:
        return Word()


def guided(guidance: float) -> tuple[Tensor, int]:
    """The chunk for what was told, and how often the network was asked for it."""
    net = Told()
    policy = made(lambda h, d, c: net, guidance=guidance, conditioning=Telling()).eval()
    policy.observation.normalize.set_limits(torch.full((2,), -1.0), torch.full((2,), 1.0))
    policy.condition = lambda history, told=True: policy.conditioning(history, 3, told)  # type: ignore[method-assign]
    return policy.act({"x": torch.zeros(3, 1, 2)}, 2), net.calls


@pytest.mark.parametrize(("guidance", "expected"), [(1.0, 0.4), (0.0, -0.2), (1.5, 0.7), (9.0, 1.0)])
def test_guidance_goes_from_untold_to_told_and_beyond_but_not_over_the_limits(guidance: float, expected: float) -> None:
    chunk, calls = guided(guidance)
    assert torch.allclose(chunk, torch.full_like(chunk, expected), atol=1e-5)
    assert calls == 2  # a step, told and untold together


def test_guidance_of_a_policy_that_is_told_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="told nothing"):
        made(guidance=1.5)
