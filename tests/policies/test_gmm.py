"""The mixture of Gaussians over chunks, against torch's own distributions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from policies import Policy, checkpoint
from policies.gmm import GaussianMixture, Mixture
from policies.networks.recurrent import Recurrent
from policies.windows import Windows
from robot_stack.spec import Spec
from robot_stack.store import Store
from robot_stack.types import ConfigError

B, K, H, D = 4, 3, 5, 2


def random_mixture(horizon: int = H) -> tuple[Mixture, Tensor]:
    generator = Generator().manual_seed(0)
    weight = torch.randn(B, K, generator=generator).log_softmax(dim=1)
    mean = torch.randn(B, K, horizon, D, generator=generator)
    deviation = 0.1 + torch.rand(B, K, horizon, D, generator=generator)
    return Mixture(weight, mean, deviation), torch.randn(B, horizon, D, generator=generator)


def reference(mixture: Mixture, steps: int) -> MixtureSameFamily:
    """Of the first steps of a chunk."""
    modes = Independent(Normal(mixture.mean[:, :, :steps], mixture.deviation[:, :, :steps]), 2)
    return MixtureSameFamily(Categorical(logits=mixture.weight), modes)


@pytest.mark.parametrize("steps", range(1, H + 1))
def test_the_steps_of_a_chunk_add_up_to_its_likelihood(steps: int) -> None:
    mixture, chunk = random_mixture()
    ours = mixture.log_likelihood(chunk)
    assert ours.shape == (B, H)
    expected = reference(mixture, steps).log_prob(chunk[:, :steps])
    assert torch.allclose(ours[:, :steps].sum(dim=1), expected, atol=1e-4)


def test_what_comes_after_the_end_does_not_change_the_steps_before_it() -> None:
    mixture, chunk = random_mixture()
    before = mixture.log_likelihood(chunk)
    chunk[:, 3:] += 10.0
    assert torch.equal(before[:, :3], mixture.log_likelihood(chunk)[:, :3])


Made = tuple[GaussianMixture, Windows]


@pytest.fixture
def policy(
    request: pytest.FixtureRequest, config_of: Callable[[str], dict[str, Any]], store: Store, spec: Spec
) -> Made:
    """On numbers, or what a test asks for, and all windows that it may learn from."""
    torch.manual_seed(0)
    config = config_of(getattr(request, "param", "gru"))
    built = checkpoint.build(config, spec)
    assert isinstance(built, GaussianMixture)
    data = Windows(store.episodes, config["observe"], config["act"], built.window)
    built.fit(data.observe, data.numbers())
    return built.eval(), data


def test_modes_are_drawn_by_their_share_and_stay_the_same_along_a_chunk(
    policy: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, count = policy[0], 2000
    shape = (drawn.window.horizon, drawn.targets.size)
    mean = torch.tensor([-0.5, 0.0, 0.5])[None, :, None, None].expand(count, -1, *shape)
    weight = torch.tensor([0.2, 0.5, 0.3]).log().expand(count, -1)
    monkeypatch.setattr(drawn, "mixture", lambda history: Mixture(weight, mean, torch.ones_like(mean)))
    monkeypatch.setattr(drawn, "decode", lambda vector, history: vector)
    chunk = drawn.act({}, generators=[Generator().manual_seed(seed) for seed in range(count)])
    nearest = (chunk[:, None] - mean).abs().mean(dim=(-1, -2)).argmin(dim=1)
    shares = torch.bincount(nearest, minlength=3) / count
    assert torch.allclose(shares, torch.tensor([0.2, 0.5, 0.3]), atol=0.04)  # four standard errors
    noise = chunk - mean[torch.arange(count), nearest]
    assert noise.std().item() == pytest.approx(drawn.least, rel=0.05)


def test_a_mixture_goes_both_ways(policy: Made, two_ways: Callable[[Policy], Tensor]) -> None:
    reached = two_ways(policy[0])
    assert ((reached.abs() - 1.0).abs() < 0.2).all()
    assert 0.3 < (reached > 0.0).float().mean() < 0.7


@pytest.mark.parametrize(("policy", "error"), [("gru", 1e-5), ("gru_images", 2e-2)], indirect=["policy"])
def test_the_mixture_is_exact_when_the_rest_is_bfloat16(policy: Made, error: float) -> None:
    """What is seen of pictures is bfloat16 then; what is made of it is not."""
    drawn, data = policy
    batch = data.batch(torch.arange(8))
    exact = drawn.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        mixture, loss = drawn.mixture(batch.observe), drawn.loss(batch)
    assert {part.dtype for part in mixture} == {torch.float32}
    assert torch.allclose(loss, exact, rtol=error)


def test_a_deviation_is_never_below_the_least(policy: Made) -> None:
    drawn, data = policy
    with torch.no_grad():
        for parameter in drawn.net.parameters():
            parameter.mul_(100.0)
    mixture = drawn.mixture(data.batch(torch.arange(8)).observe)
    assert mixture.deviation.min().item() == pytest.approx(drawn.least, rel=1e-3)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_recurrent_network_reads_its_rows_one_after_the_other(cell: str) -> None:
    """The first numbers of the input are the oldest row: it alone is read from nothing."""
    torch.manual_seed(0)
    net = Recurrent(3 * D, 4, rows=3, cell=cell, width=8, layers=2)
    rows = torch.randn(B, 3, D)
    state = None
    for row in range(3):
        out, state = net.cells(rows[:, row : row + 1], state)
    assert torch.allclose(net(rows.flatten(1)), net.out(out[:, 0]), atol=1e-6)


def test_a_cell_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="gru, lstm"):
        Recurrent(6, 4, rows=3, cell="rnn")
