"""Numbers of the noise schedule and of the sampler against closed forms, and what a mean cannot do."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Generator, Tensor, nn

from policies import Batch, Policy, Window, checkpoint
from policies.bc import BehaviourCloning
from policies.beso import Beso
from policies.denoiser import Denoiser
from policies.diffusion import Diffusion, scheduler
from policies.flow import Flow
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
        noise = (chunk - a.sqrt() * self.clean) / (1.0 - a).sqrt()
        velocity = a.sqrt() * noise - (1.0 - a).sqrt() * self.clean
        return {"sample": self.clean, "noise": noise, "velocity": velocity}[self.prediction]


def alpha_bar(t: int, levels: int = 100) -> float:
    """Product of 1 - beta up to t of the squared cosine schedule (Nichol and Dhariwal 2021)."""

    def f(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    return math.prod(1.0 - min(1.0 - f((i + 1) / levels) / f(i / levels), 0.999) for i in range(t + 1))


def made(prediction: str, net: Any, **options: Any) -> Diffusion:
    return Diffusion(SPEC, net, prediction, observe=["x"], act=["y"], window=WINDOW, **options)


def test_the_noise_schedule_is_the_squared_cosine() -> None:
    assert np.allclose(scheduler(100).alphas_cumprod, [alpha_bar(t) for t in range(100)], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("steps", "first"), [(10, [99, 89, 79]), (4, [99, 74, 49]), (1, [99])])
def test_sampling_starts_at_the_last_level_whatever_the_number_of_steps(steps: int, first: list[int]) -> None:
    plan = made("sample", MlpDenoiser).plan(steps)
    assert list(plan.told[: len(first)]) == first
    assert len(plan.told) == steps == len(plan.sigmas) - 1
    assert plan.sigmas[0] == pytest.approx(math.sqrt(1.0 / alpha_bar(99) - 1.0), rel=1e-3)
    assert plan.sigmas[-1] == 0.0


def test_more_steps_than_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match="choose 1 to 100"):
        made("sample", MlpDenoiser).plan(101)


@pytest.mark.parametrize("prediction", ["noise", "sample", "velocity"])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_perfect_network_brings_the_data_back(prediction: str, steps: int) -> None:
    clean = torch.rand(5, 8, 2, generator=Generator().manual_seed(0)) * 1.8 - 0.9
    policy = made(prediction, lambda horizon, size, condition: Oracle(prediction, clean))
    chunk = policy.act({"x": torch.zeros(5, 1, 2)}, steps, [Generator().manual_seed(i) for i in range(5)])
    assert torch.allclose(chunk, clean, atol=2e-3)


THEIRS: dict[str, tuple[type[Any], dict[str, Any], dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {"clip_sample": True}, {"use_clipped_model_output": True}),
    "ddpm": (DDPMScheduler, {"clip_sample": True}, {}),
    "dpm++": (DPMSolverMultistepScheduler, {"thresholding": False}, {}),
}


@pytest.mark.parametrize("prediction", ["noise", "sample", "velocity"])
@pytest.mark.parametrize("sampler", THEIRS)
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of diffusers, with numpy 2
@pytest.mark.parametrize("steps", [4, 10, 20])
def test_each_sampler_is_that_of_diffusers(prediction: str, sampler: str, steps: int) -> None:
    """DPM-Solver++ has no limits there; they are set after each estimate, and it is given that."""
    torch.manual_seed(0)
    policy = made(prediction, lambda h, d, c: MlpDenoiser(h, d, c, width=32, blocks=1), sampler=sampler).eval()
    make, limits, step_with = THEIRS[sampler]
    words = {"noise": "epsilon", "sample": "sample", "velocity": "v_prediction"}
    theirs = make(
        num_train_timesteps=100,
        beta_schedule="squaredcos_cap_v2",
        timestep_spacing="trailing",
        prediction_type="sample" if sampler == "dpm++" else words[prediction],
        **limits,
    )
    theirs.set_timesteps(steps)
    drawn = Generator().manual_seed(7)
    chunk = torch.randn(8, 2, generator=drawn)[None]
    with torch.inference_mode():
        for level in theirs.timesteps:
            given = policy.net(chunk, level[None], torch.zeros(1, 2))
            if sampler == "dpm++":
                a = theirs.alphas_cumprod[level]
                sigma = float((1.0 / a - 1.0).sqrt())
                given = policy.estimate(chunk / a.sqrt(), sigma, level[None], torch.zeros(1, 2)).clamp(-1, 1)
            draws = {"generator": drawn} if sampler == "ddpm" else {}
            chunk = theirs.step(given, level, chunk, **draws, **step_with).prev_sample
        ours = policy.act({"x": torch.zeros(1, 1, 2)}, steps, [Generator().manual_seed(7)])
    assert torch.allclose(ours, chunk, atol=2e-3)


@pytest.mark.parametrize("key", ["prediction", "sampler"])
def test_an_unknown_choice_is_refused_with_those_there_are(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}='speed': choose one of "):
        made(**{"prediction": "sample", "net": MlpDenoiser, key: "speed"})


def test_the_sampler_may_be_changed_between_calls_and_a_misspelt_one_is_refused() -> None:
    policy = made("sample", MlpDenoiser)
    policy.sampler = "dpm++"
    with pytest.raises(ConfigError, match="choose one of ddim, ddpm, heun"):
        policy.sampler = "dpmpp"
    assert policy.sampler == "dpm++"


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


def seeds(count: int) -> list[Generator]:
    return [Generator().manual_seed(i) for i in range(count)]


def taught(policy: Policy, training: int, steps: int = 10) -> Tensor:
    """Train on the two routes, then propose 200 chunks."""
    clean = two_routes(2048)
    generator = Generator().manual_seed(1)
    policy.fit({"x": torch.zeros(2, 2)}, [batch_of(clean)])
    optimiser = torch.optim.AdamW(policy.parameters(), lr=2e-3)
    for _ in range(training):
        action = clean[torch.randint(2048, (128,), generator=generator)]
        optimiser.zero_grad()
        policy.loss(batch_of(action)).mean().backward()
        optimiser.step()
    with torch.inference_mode():
        return policy.eval().act({"x": torch.zeros(200, 1, 2)}, steps, seeds(200))


def perceptrons(horizon: int, size: int, condition: int) -> MlpDenoiser:
    return MlpDenoiser(horizon, size, condition, width=128, blocks=2)


GENERATIVE: dict[str, Callable[[], Denoiser]] = {
    "diffusion": lambda: made("sample", perceptrons),
    "beso": lambda: Beso(SPEC, perceptrons, observe=["x"], act=["y"], window=WINDOW),
    "flow": lambda: Flow(SPEC, perceptrons, observe=["x"], act=["y"], window=WINDOW),
}


def assert_takes_either_way(chunks: Tensor) -> None:
    middle = chunks[:, 3:5, 1].mean(dim=1)
    assert (middle.abs() > 0.5).float().mean() >= 0.85
    assert 0.35 <= (middle > 0).float().mean() <= 0.65


@pytest.mark.parametrize("name", GENERATIVE)
def test_a_generative_policy_takes_either_way(name: str) -> None:
    torch.manual_seed(0)
    assert_takes_either_way(taught(GENERATIVE[name](), 600))


@pytest.mark.parametrize("name", GENERATIVE)
def test_network_and_encoder_may_answer_in_half_precision(name: str) -> None:
    policy = GENERATIVE[name]().eval()
    seen = torch.zeros(1, 3, 2, dtype=torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        chunk = policy.sample(seen, lambda condition: policy.draw(condition, seeds(3)), 3)
    assert chunk.dtype == torch.float32
    assert torch.isfinite(chunk).all()


def test_the_mean_of_both_ways_hits_the_obstacle() -> None:
    torch.manual_seed(0)
    blind = BehaviourCloning(SPEC, lambda i, o: Mlp(i, o, 64, 2), observe=["x"], act=["y"], window=WINDOW)
    assert (taught(blind, 100)[:, 3:5, 1].abs() < 0.3).all()


TAUGHT = {
    "_target_": "policies.diffusion.Diffusion",
    "_partial_": True,
    "net": {"_target_": "policies.networks.mlp.MlpDenoiser", "_partial_": True, "width": 128, "blocks": 2},
    "prediction": "sample",
    "observe": ["x"],
    "act": ["y"],
    "window": {"_target_": "policies.Window", "history": 1, "horizon": 8, "execute": 4},
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a diffusion that takes either way."""
    torch.manual_seed(0)
    policy = checkpoint.build(TAUGHT, SPEC)
    taught(policy, 600)
    return checkpoint.save(tmp_path_factory.mktemp("run") / "step-0000600", policy, {"policy": TAUGHT}, {})


@pytest.mark.parametrize("method", ["consistency", "regression"])
def test_a_student_takes_either_way_in_one_step_where_its_teacher_hits_the_obstacle(method: str, teacher: Path) -> None:
    torch.manual_seed(0)
    own = {"_target_": "policies.consistency.DiffusionStudent", "teacher": str(teacher), "method": method}
    student = taught(checkpoint.build({**TAUGHT, **own, "teacher_steps": 8}, SPEC), 200, steps=1)
    flown = checkpoint.load(teacher).policy()
    with torch.inference_mode():
        hit, wanted = (flown.act({"x": torch.zeros(200, 1, 2)}, steps, seeds(200)) for steps in (1, 8))
    assert (hit[:, 3:5, 1].mean(dim=1).abs() > 0.5).float().mean() < 0.5
    assert (student[:, 3:5, 1].mean(dim=1).abs() > 0.5).float().mean() >= 0.85
    assert 0.3 <= (wanted[:, 3, 1] > 0).float().mean() <= 0.7  # its teacher goes both ways
    assert ((student[:, 3, 1] > 0) == (wanted[:, 3, 1] > 0)).float().mean() > 0.9  # the way the same noise leads to
