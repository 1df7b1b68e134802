"""What a transformer over chunks may look at."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from policies.networks.transformer import ChunkDecoder, Transformer, TransformerDenoiser

B, H, D, ROWS, ROW = 3, 6, 4, 2, 5


def denoiser() -> TransformerDenoiser:
    torch.manual_seed(0)
    return TransformerDenoiser(H, D, ROWS * ROW, rows=ROWS, width=16, layers=2, heads=2).eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(B, H, D, generator=generator),
        torch.tensor([3, 50, 99]),
        torch.randn(B, ROWS * ROW, generator=generator),
    )


@pytest.mark.parametrize("changed", range(1, H))
def test_a_waypoint_of_a_denoiser_does_not_see_a_later_one(changed: int) -> None:
    net, (chunk, level, condition) = denoiser(), inputs()
    before = net(chunk, level, condition)
    chunk[:, changed:] += 1.0
    after = net(chunk, level, condition)
    assert torch.allclose(before[:, :changed], after[:, :changed], atol=1e-6)
    assert ((before - after)[:, changed:].abs().amax(dim=-1) > 1e-3).all()


@pytest.mark.parametrize("row", range(ROWS))
def test_every_waypoint_of_a_denoiser_sees_every_row_and_the_level(row: int) -> None:
    net, (chunk, level, condition) = denoiser(), inputs()
    before = net(chunk, level, condition)
    other = condition.unflatten(1, (ROWS, ROW)).clone()
    other[:, row] += 1.0
    assert ((net(chunk, level, other.flatten(1)) - before).abs().amax(dim=-1) > 1e-5).all()
    assert ((net(chunk, 99 - level, condition) - before).abs().amax(dim=-1) > 1e-5).all()


def test_waypoints_without_a_mask_see_later_ones() -> None:
    torch.manual_seed(0)
    net = ChunkDecoder(H, 16, layers=1, heads=2, dropout=0.0)
    memory, tokens = torch.randn(B, ROWS, 16), torch.randn(B, H, 16)
    before = net(memory, tokens)
    tokens[:, -1] += torch.randn(16)
    assert ((net(memory, tokens) - before)[:, 0].abs().amax(dim=-1) > 1e-5).all()


def made_of_rows() -> dict[str, Callable[[], tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]]]:
    chunk, level, _ = inputs()
    return {
        "denoiser": lambda: (denoiser(), lambda net, condition: net(chunk, level, condition)),
        "mean": lambda: (
            Transformer(ROWS * ROW, H * D, rows=ROWS, horizon=H, width=16, layers=1, heads=2),
            lambda net, condition: net(condition).view(B, H, D),
        ),
    }


@pytest.mark.parametrize("name", ["denoiser", "mean"])
def test_rows_in_another_order_give_another_chunk(name: str) -> None:
    """Tokens are a set: only their positions say which row was seen when."""
    torch.manual_seed(0)
    net, call = made_of_rows()[name]()
    condition = inputs()[2]
    swapped = condition.unflatten(1, (ROWS, ROW)).flip(1).flatten(1)
    assert not torch.allclose(call(net, condition), call(net, swapped), atol=1e-5)
