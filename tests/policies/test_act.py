"""ACT: its style, its masks, and what HIT adds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Generator, Tensor
from torch.distributions import Normal, kl_divergence

from policies import Batch, Policy, checkpoint, train
from policies.act import Act
from policies.networks.act import ActNetwork
from policies.networks.map_tokens import MapTokens
from policies.networks.style import Style, StyleEncoder
from policies.networks.transformer import ChunkDecoder, TokenEncoder
from policies.train import Stop
from policies.windows import Windows
from robot_stack.spec import Spec
from robot_stack.store import Store
from robot_stack.types import ConfigError

B, H, D, ROW, SIZE, WIDTH = 4, 6, 3, 5, 2, 16
Make = Callable[..., Act]


@pytest.fixture
def make(config_of: Callable[[str], dict[str, Any]], spec: Spec) -> Make:
    """An untrained policy: its name, and what differs from its config."""

    def made(name: str = "act", **changes: Any) -> Act:
        torch.manual_seed(0)
        policy = checkpoint.build({**config_of(name), **changes}, spec)
        assert isinstance(policy, Act)
        return policy

    return made


def windows(store: Store, policy: Act) -> Batch:
    """Eight windows, with what the loss of the policy wants of the future."""
    data = Windows(store.episodes, policy.observes, policy.acts, policy.window)
    data.foresee(policy.future)
    policy.fit(data.observe, data.numbers())
    return data.batch(torch.arange(0, 64, 8))


def style_encoder() -> tuple[StyleEncoder, Tensor, Tensor]:
    torch.manual_seed(0)
    encoder = TokenEncoder(WIDTH, layers=2, heads=2, feedforward=32, dropout=0.0)
    return StyleEncoder(ROW, D, H, SIZE, WIDTH, encoder), torch.randn(B, ROW), torch.randn(B, H, D)


def test_what_a_style_costs_is_the_divergence_from_the_normal_distribution() -> None:
    generator = Generator().manual_seed(0)
    style = Style(torch.randn(B, SIZE, generator=generator), torch.randn(B, SIZE, generator=generator))
    known = kl_divergence(Normal(style.mean, (0.5 * style.log_variance).exp()), Normal(0.0, 1.0))
    assert torch.allclose(style.divergence(), known.sum(dim=-1), atol=1e-6)
    assert torch.equal(Style(torch.zeros(B, SIZE), torch.zeros(B, SIZE)).divergence(), torch.zeros(B))


def test_a_style_is_drawn_with_its_mean_and_variance() -> None:
    torch.manual_seed(0)
    style = Style(torch.tensor([[1.0, -2.0]]).expand(20_000, -1), torch.tensor([[0.5, -3.0]]).expand(20_000, -1))
    drawn = style.draw()
    assert torch.allclose(drawn.mean(dim=0), style.mean[0], atol=0.04)
    assert torch.allclose(drawn.var(dim=0).log(), style.log_variance[0], atol=0.05)


@pytest.mark.parametrize("training", [True, False])
def test_steps_after_the_end_do_not_influence_the_style(training: bool) -> None:
    """Without gradients too, where torch takes another path through its layers."""
    encoder, now, chunk = style_encoder()
    encoder.train(training)
    valid = torch.arange(H) < torch.tensor([1, 3, 5, 6])[:, None]
    with torch.set_grad_enabled(training):
        before = torch.cat(encoder(now, chunk, valid))
        chunk = torch.where(valid[..., None], chunk, 100.0)
        assert torch.allclose(torch.cat(encoder(now, chunk, valid)), before, atol=1e-5)


@pytest.mark.parametrize("step", range(H))
def test_every_step_before_the_end_and_what_was_seen_influence_the_style(step: int) -> None:
    encoder, now, chunk = style_encoder()
    valid = torch.ones(B, H, dtype=torch.bool)
    before = torch.cat(encoder(now, chunk, valid))
    chunk[:, step] += 1.0
    assert (torch.cat(encoder(now, chunk, valid)) - before).abs().amax() > 1e-4
    assert (torch.cat(encoder(now + 1.0, chunk, valid)) - torch.cat(encoder(now, chunk, valid))).abs().amax() > 1e-4


def test_the_loss_is_the_absolute_error_and_what_the_style_costs(make: Make, store: Store) -> None:
    policy, losses = make().eval(), {}
    batch = windows(store, policy)
    for beta in (0.0, 1.0, 10.0):
        policy.beta = beta
        torch.manual_seed(1)
        losses[beta] = policy.loss(batch)
    cost = losses[1.0] - losses[0.0]
    assert (cost > 0.0).all()
    assert torch.allclose(cost, cost[:, :1].expand_as(cost), atol=1e-5)
    assert torch.allclose(losses[10.0] - losses[0.0], 10.0 * cost, rtol=1e-3, atol=1e-5)
    assert losses[0.0].std(dim=1).min() > 0.0


def test_a_style_is_drawn_by_the_own_seed_where_it_is_asked_for(make: Make, store: Store) -> None:
    policy = make(latent="drawn", beta=0.01).eval()
    batch = windows(store, policy)
    with torch.inference_mode():
        one, again, other = (
            policy.act(batch.observe, generators=[Generator().manual_seed(first + i) for i in range(8)])
            for first in (0, 0, 100)
        )
    assert torch.equal(one, again)
    assert ((one - other).abs().amax(dim=(1, 2)) > 0.0).all()


def test_two_ways_to_go_need_a_style_that_costs_little(make: Make, two_ways: Callable[[Policy], Tensor]) -> None:
    cheap, dear = (two_ways(make(latent="drawn", beta=beta, style=2)) for beta in (0.01, 10.0))
    assert ((cheap.abs() - 1.0).abs() < 0.3).float().mean() > 0.8  # most go one way or the other
    assert 0.2 < (cheap > 0.0).float().mean() < 0.8  # and not all the same
    assert (dear.abs() < 0.7).all()  # with ACT's own beta they go in between, where nobody went


def test_places_of_a_map_are_told_apart() -> None:
    """The same features at another place are another token, and at another row of history."""
    torch.manual_seed(0)
    tokens = MapTokens((7, 3, 4), history=2, width=WIDTH)(torch.ones(1, 2, 7, 3, 4))[0]
    assert tokens.shape == (2 * 3 * 4, WIDTH)
    assert (torch.cdist(tokens, tokens) + torch.eye(24)).min() > 1e-2


def test_what_is_foreseen_comes_from_the_newest_pictures_of_each_camera() -> None:
    shapes, encoder = [(7, 1, 2), (7, 1, 2)], TokenEncoder(WIDTH, layers=1, heads=2, feedforward=32, dropout=0.0)
    decoder = ChunkDecoder(H, WIDTH, layers=1, heads=2, dropout=0.0)
    net = ActNetwork(SIZE, ROW, D, history=3, maps=shapes, encoder=encoder, decoder=decoder, width=WIDTH)
    memory = torch.arange(1 + 3 + 2 * 3 * 2.0)[None, :, None].expand(B, -1, WIDTH)  # style, rows, rows of each camera
    assert (
        net.memory(torch.zeros(B, SIZE), torch.zeros(B, 3, ROW), *[torch.zeros(B, 3, 7, 1, 2)] * 2).shape
        == memory.shape
    )
    assert net.foreseen(memory)[0, :, 0].tolist() == [8.0, 9.0, 14.0, 15.0]
    assert net.places([torch.zeros(B, 1, 7, 1, 2)] * 2).shape == net.foreseen(memory).shape


@pytest.fixture
def foresees(make: Make) -> Act:
    """Of pictures, with HIT's loss."""
    return make("act_images", feature_weight=1.0)


def test_the_loss_on_what_comes_reaches_the_encoder_of_the_pictures(foresees: Act, store: Store) -> None:
    batch = windows(store, foresees)
    assert foresees.future == ("image.top",)
    trunk = list(foresees.observation.encoders.parameters())
    losses = []
    for weight in (0.0, 1.0):
        foresees.feature_weight = weight
        torch.manual_seed(1)
        losses.append(foresees.loss(batch))
    unforeseen = losses[1] - losses[0]
    assert (unforeseen > 0.0).all()
    assert torch.allclose(unforeseen, unforeseen[:, :1].expand_as(unforeseen), atol=1e-4)
    assert all(gradient.abs().sum() > 0.0 for gradient in torch.autograd.grad(unforeseen.sum(), trunk))


def test_what_comes_is_not_made_easy_to_foresee(foresees: Act, store: Store) -> None:
    """The features that come have no gradient: those of nothing but the present enter."""
    batch = windows(store, foresees)
    seen: list[Tensor] = []
    encoder = foresees.observation.encoders["top"]
    encoder.register_forward_hook(lambda module, inputs, output: seen.append(output))
    foresees.loss(batch)
    assert [features.requires_grad for features in seen] == [True, False]


def test_without_that_loss_nothing_that_comes_is_asked_for(make: Make, store: Store) -> None:
    policy = make("act_images")
    assert policy.future == ()
    assert torch.isfinite(policy.loss(windows(store, policy))).all()


def test_a_run_is_given_what_comes_and_resumes_to_the_same_bits(
    training: dict[str, Any],
    config_of: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Styles and units left out are drawn; so are the crops of what is seen."""
    policy = {**config_of("act_images"), "feature_weight": 0.005, "dropout": 0.1}
    training |= {"policy": policy, "steps": 6, "validate_every": 5}
    whole = train.train({**training, "out": str(tmp_path / "whole")}, Stop(), Console(quiet=True))
    stop, learn = Stop(), train.State.learn

    def learn_and_stop(state: train.State, *batches: Any) -> Any:
        stop.requested = state.step + 1 == 3
        return learn(state, *batches)

    with monkeypatch.context() as patch:
        patch.setattr(train.State, "learn", learn_and_stop)
        stopped = train.train(training, stop, Console(quiet=True))
    assert stopped.name == "step-0000003"
    resumed = train.train({**training, "resume": str(stopped.parent)}, Stop(), Console(quiet=True))
    assert resumed.name == whole.name == "step-0000006"
    expected, found = (load_file(folder / "training.safetensors") for folder in (whole, resumed))
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent": "mean"}, "zero, drawn"),
        ({"feature_weight": 0.005}, "observe has none"),
    ],
)
def test_what_cannot_be_is_refused(make: Make, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make(**changes)
