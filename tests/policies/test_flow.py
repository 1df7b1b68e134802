"""Flow matching against closed forms: the sign of its time is silent when it is wrong."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from policies import Batch, Window
from policies.flow import LEVEL_SCALE, Flow
from policies.networks.mlp import MlpDenoiser
from robot_stack.spec import Field, Spec
from robot_stack.types import ConfigError

SPEC = Spec([Field("x", (2,)), Field("y", (2,))])
WINDOW = Window(history=1, horizon=8, execute=4)
CLEAN = torch.rand(5, 8, 2, generator=Generator().manual_seed(0)) * 1.8 - 0.9


def made(net: Any = MlpDenoiser, **options: Any) -> Flow:
    return Flow(SPEC, net, observe=["x"], act=["y"], window=WINDOW, **options)


class Oracle(nn.Module):
    """The exact velocity towards known chunks, or the chunks. asked: the times that it was told."""

    def __init__(self, prediction: str) -> None:
        super().__init__()
        self.prediction = prediction
        self.asked: list[float] = []

    def forward(self, chunk: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        t = level[:, None, None] / LEVEL_SCALE
        self.asked.append(float(t[0]))
        return CLEAN if self.prediction == "sample" else (CLEAN - chunk) / (1.0 - t)


@pytest.mark.parametrize("prediction", ["sample", "velocity"])
@pytest.mark.parametrize("steps", [1, 4])
def test_exact_answers_bring_the_data_back_in_any_number_of_steps(prediction: str, steps: int) -> None:
    policy = made(lambda h, d, c: Oracle(prediction), prediction=prediction)
    chunk = policy.act({"x": torch.zeros(5, 1, 2)}, steps, [Generator().manual_seed(i) for i in range(5)])
    assert torch.allclose(chunk, CLEAN, atol=1e-5)


def test_time_goes_from_noise_at_zero_towards_data_at_one() -> None:
    oracle = Oracle("sample")
    made(lambda h, d, c: oracle).act({"x": torch.zeros(5, 1, 2)}, 4)
    assert oracle.asked == pytest.approx([0.0, 0.25, 0.5, 0.75])


def test_each_step_is_that_of_euler() -> None:
    torch.manual_seed(0)
    policy = made(lambda h, d, c: MlpDenoiser(h, d, c, width=32, blocks=1), prediction="velocity").eval()
    x = torch.randn(8, 2, generator=Generator().manual_seed(7))[None]
    with torch.inference_mode():
        for t in (0.0, 0.25, 0.5, 0.75):
            velocity = policy.net(x, torch.tensor([t * LEVEL_SCALE]), torch.zeros(1, 2))
            end = (x + (1.0 - t) * velocity).clamp(-1.0, 1.0)  # of the line, within the limits of the data
            x = x + (end - x) / (1.0 - t) / 4.0
        ours = policy.act({"x": torch.zeros(1, 1, 2)}, 4, [Generator().manual_seed(7)])
    assert torch.allclose(ours, x, atol=1e-5)


@pytest.mark.parametrize("prediction", ["sample", "velocity"])
def test_the_loss_of_exact_answers_is_zero(prediction: str) -> None:
    policy = made(lambda h, d, c: Oracle(prediction), prediction=prediction)
    ones = torch.ones(5, 8)
    loss = policy.loss(Batch({"x": torch.zeros(5, 1, 2)}, CLEAN, ones > 0, ones))
    assert loss.shape == (5, 8)
    assert torch.allclose(loss, torch.zeros(5, 8), atol=1e-4)


@pytest.mark.parametrize(("time", "mean"), [("uniform", 0.5), ("beta", 0.4)])
def test_times_of_training_are_uniform_or_mostly_noisy(time: str, mean: float) -> None:
    """1 - t by Beta(1.5, 1) has a mean of 0.6."""

    class Listener(nn.Module):
        def forward(self, chunk: Tensor, level: Tensor, condition: Tensor) -> Tensor:
            self.level = level
            return chunk

    torch.manual_seed(0)
    policy, ones = made(lambda h, d, c: Listener(), time=time), torch.ones(20_000, 8)
    policy.loss(Batch({"x": torch.zeros(20_000, 1, 2)}, torch.zeros(20_000, 8, 2), ones > 0, ones))
    assert policy.net.level.mean() / LEVEL_SCALE == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize(("key", "known"), [("prediction", "sample, velocity"), ("time", "uniform, beta")])
def test_an_unknown_choice_is_refused_with_those_there_are(key: str, known: str) -> None:
    with pytest.raises(ConfigError, match=f"choose one of {known}"):
        made(**{key: "noise"})
