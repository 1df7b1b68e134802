"""The contract of every policy."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator

from policies import Batch, Policy, Window, checkpoint
from policies.train import weighted
from policies.windows import Windows
from robot_stack.spec import Spec
from robot_stack.store import Store

WINDOW = Window(history=2, horizon=8, execute=4)


@pytest.fixture
def data(store: Store, policy_config: dict[str, Any]) -> Windows:
    return Windows(store.episodes, policy_config["observe"], policy_config["act"], WINDOW)


@pytest.fixture
def policy(policy_config: dict[str, Any], data: Windows, spec: Spec) -> Policy:
    torch.manual_seed(0)
    built = checkpoint.build(policy_config, spec)
    built.fit(data.observe, data.numbers())
    return built


@pytest.fixture
def batch(data: Windows) -> Batch:
    return data.batch(torch.arange(0, len(data), len(data) // 8)[:8])


def seeds(count: int, first: int = 0) -> list[Generator]:
    return [Generator().manual_seed(first + i) for i in range(count)]


def gradients(policy: Policy, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(policy.parameters())))


def drawn_again(policy: Policy, batch: Batch) -> torch.Tensor:
    torch.manual_seed(1)
    return policy.loss(batch)


def test_loss_is_per_step_and_its_gradient_reaches_every_parameter(policy: Policy, batch: Batch) -> None:
    loss = policy.loss(batch)
    assert loss.shape == batch.valid.shape == (8, 8)
    assert torch.isfinite(loss).all()
    for (name, _), gradient in zip(policy.named_parameters(), gradients(policy, weighted(loss, batch)), strict=True):
        assert gradient.abs().sum() > 0.0, name


def test_a_weight_scales_what_a_step_contributes(policy: Policy, batch: Batch) -> None:
    batch.weight = torch.rand(batch.valid.shape, generator=Generator().manual_seed(0))
    errors = drawn_again(policy, batch).detach()
    by_hand = sum(float(errors[b, h] * batch.weight[b, h]) for b, h in torch.nonzero(batch.valid).tolist()) / int(
        batch.valid.sum()
    )
    assert weighted(errors, batch).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("by", ["weight", "valid"])
def test_a_step_without_weight_or_after_the_end_has_no_gradient(policy: Policy, batch: Batch, by: str) -> None:
    """Only its target matters here: a denoiser still sees the noisy step as an input."""
    setattr(batch, by, torch.zeros_like(getattr(batch, by)).index_fill(1, torch.tensor([0, 1]), 1))
    batch.action.requires_grad_()
    errors = drawn_again(policy, batch)
    (gradient,) = torch.autograd.grad(weighted(errors, batch), errors)
    assert (gradient[:, 2:] == 0.0).all()
    assert (gradient[:, :2] != 0.0).any()


def test_a_chunk_is_physical(policy: Policy, batch: Batch, data: Windows) -> None:
    policy.eval()
    with torch.inference_mode():
        chunk = policy.act(batch.observe, generators=seeds(8))
    assert chunk.shape == (8, 8, 8)
    assert chunk.dtype == torch.float32
    assert torch.allclose(chunk[..., 3:7].norm(dim=-1), torch.ones(8, 8), atol=1e-4)


def test_units_do_not_matter(policy_config: dict[str, Any], data: Windows, batch: Batch, spec: Spec) -> None:
    """The opening in millimetres gives the same chunk, in millimetres."""
    chunks = []
    for factor in (1.0, 1000.0):
        torch.manual_seed(0)
        policy = checkpoint.build(policy_config, spec)
        scale = torch.tensor([1.0] * 7 + [factor])
        policy.fit(data.observe, [replace(one, action=one.action * scale) for one in data.numbers()])
        policy.eval()
        with torch.inference_mode():
            chunks.append(policy.act(batch.observe, generators=seeds(8)))
    assert torch.allclose(chunks[0][..., 7] * 1000.0, chunks[1][..., 7], rtol=1e-4, atol=1e-3)


def test_what_is_drawn_depends_on_the_own_seed_and_not_on_the_neighbours(policy: Policy, batch: Batch) -> None:
    policy.eval()
    with torch.inference_mode():
        together = policy.act(batch.observe, generators=seeds(8))
        again = policy.act(batch.observe, generators=seeds(8))
        others = policy.act(batch.observe, generators=seeds(8, first=100))
        alone = policy.act({name: value[3:4] for name, value in batch.observe.items()}, generators=seeds(1, first=3))
    assert torch.equal(together, again)
    assert torch.allclose(alone[0], together[3], atol=1e-4)
    assert torch.equal(together, others) == (type(policy).__name__ in ("Act", "BehaviourCloning"))


def test_a_checkpoint_gives_the_same_bits_in_another_process(
    policy: Policy, policy_config: dict[str, Any], batch: Batch, tmp_path: Path
) -> None:
    policy.eval()
    folder = checkpoint.save(tmp_path / "step-0000001", policy, {"policy": policy_config}, {})
    observe = {name: value[:1] for name, value in batch.observe.items()}
    save_file({name: value.contiguous() for name, value in observe.items()}, tmp_path / "observe.safetensors")
    code = f"""
import torch
from safetensors.torch import load_file
from policies import checkpoint
torch.set_num_threads(1)
policy = checkpoint.load({str(tmp_path)!r}).policy()
observe = load_file({str(tmp_path / "observe.safetensors")!r})
with torch.inference_mode():
    print(policy.act(observe, generators=[torch.Generator().manual_seed(5)]).numpy().tobytes().hex())
"""
    torch.set_num_threads(1)
    with torch.inference_mode():
        here = policy.act(observe, generators=seeds(1, first=5)).numpy().tobytes().hex()
    there = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here
    assert {file.name for file in folder.iterdir()} == {"spec.json", "config.json", "card.json", "model.safetensors"}


@pytest.mark.parametrize(
    "name", ["bc", "bctransformer", "gru", "act", "perceptrons", "unet", "transformer", "beso", "flow"]
)
def test_a_few_windows_can_be_learned_by_heart(
    name: str, config_of: Callable[[str], dict[str, Any]], store: Store, spec: Spec
) -> None:
    config = config_of(name)
    if config.get("prediction") == "noise":
        config["prediction"] = "sample"  # learned faster than the noise
    data = Windows(store.episodes, config["observe"], config["act"], WINDOW)
    torch.manual_seed(0)
    policy = checkpoint.build(config, spec)
    policy.fit(data.observe, data.numbers())
    batch = data.batch(torch.arange(64))
    rate = 1e-2 if name == "gru" else 3e-3  # a likelihood is earned first on the numbers that hardly change
    optimiser = torch.optim.AdamW(policy.parameters(), lr=rate, weight_decay=0.0)
    for _ in range(400):
        optimiser.zero_grad()
        weighted(policy.loss(batch), batch).backward()
        optimiser.step()
    with torch.inference_mode():
        chunk = policy.eval().act(batch.observe, generators=seeds(64))
    errors = (policy.encode(chunk, batch.observe) - policy.encode(batch.action, batch.observe)).square().mean(dim=-1)
    assert errors[batch.valid].mean() < 0.02  # limits are [-1, 1]
