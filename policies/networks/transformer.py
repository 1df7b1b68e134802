"""Transformers over chunks: a token a waypoint that reads a memory, in which each row of what was seen is a token.

The decoder is the one of Diffusion Policy (Chi et al. 2023, arXiv:2303.04137), normalised before each block, with
learned positions. A layer is torch's own, so that a GPU runs its fused attention.
"""

import math

import torch
from torch import Tensor, nn

from policies.networks.timestep import TimestepEmbedding


def learned_positions(tokens: int, width: int) -> nn.Parameter:
    """A vector a place, small beside what stands there (tokens, width)."""
    return nn.Parameter(0.02 * torch.randn(tokens, width))


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Sines and cosines of numbers (N,), slower and slower (Vaswani et al. 2017, arXiv:1706.03762) (N, width)."""
    slower = torch.exp(-math.log(10000.0) * torch.arange(0, width, 2) / width)
    angles = places[:, None] * slower
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class TokenEncoder(nn.Module):
    """Tokens that look at each other, `layers` times."""

    def __init__(self, width: int, layers: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, feedforward, dropout, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, ignored: Tensor | None = None) -> Tensor:
        """tokens: (B, M, width). ignored: True for those at which nobody looks (B, M). -> (B, M, width)."""
        for layer in self.layers:
            tokens = layer(tokens, src_key_padding_mask=ignored)
        return self.norm(tokens)


class Memory(nn.Module):
    """Tokens (B, M, width) with a vector for the place of each, through two layers."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.positions = learned_positions(tokens, width)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, M, width)."""
        return self.layers(tokens + self.positions)


class ChunkDecoder(nn.Module):
    """Waypoints that look at each other and at a memory, `layers` times.

    causal: a waypoint looks at itself and those before it only. The second mask of Diffusion Policy, by which step j
    sees the rows up to j, has nothing left to hide here: their chunks begin with the first row that was seen, ours
    begin now, so that every row of the memory is at or before every waypoint.
    """

    mask: Tensor

    def __init__(
        self,
        horizon: int,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        causal: bool = False,
        feedforward: int | None = None,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.positions = learned_positions(horizon, width)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, heads, feedforward or 4 * width, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        mask = torch.ones(horizon, horizon, dtype=torch.bool).triu(1)  # True: not looked at
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, memory: Tensor, tokens: Tensor | None = None) -> Tensor:
        """memory: (B, M, width). tokens: what the waypoints are before (B, H, width), nothing but their places by
        default. -> (B, H, width)."""
        x = self.positions.expand(len(memory), -1, -1) if tokens is None else tokens + self.positions
        mask = self.mask if self.causal else None
        for layer in self.layers:
            x = layer(x, memory, tgt_mask=mask, tgt_is_causal=self.causal)
        return self.norm(x)


class TransformerDenoiser(nn.Module):
    """The transformer of Diffusion Policy: noisy waypoints look back at the earlier ones, and at a memory of the noise
    level and the rows that were seen.

    rows: of the condition, one token each.
    """

    def __init__(
        self,
        horizon: int,
        size: int,
        condition: int,
        rows: int,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.rows = rows
        self.waypoint = nn.Linear(size, width)
        self.embedding = TimestepEmbedding(width)
        self.row = nn.Linear(condition // rows, width)
        self.memory = Memory(1 + rows, width)
        self.decoder = ChunkDecoder(horizon, width, layers, heads, dropout, causal=True)
        self.out = nn.Linear(width, size)

    def forward(self, chunk: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """chunk: (B, H, D). timestep: (B,). condition: (B, C). -> (B, H, D)."""
        rows = self.row(condition.unflatten(1, (self.rows, -1)))  # (B, rows, width)
        level = self.embedding(timestep)[:, None]  # (B, 1, width)
        memory = self.memory(torch.cat([level, rows], dim=1))
        return self.out(self.decoder(memory, self.waypoint(chunk)))


class Transformer(nn.Module):
    """A chunk in one pass: learned queries, one a waypoint, that look at each other and at the rows that were seen.

    rows: of the input, one token each. horizon: waypoints of the output.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rows: int,
        horizon: int,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.rows = rows
        self.row = nn.Linear(inputs // rows, width)
        self.memory = Memory(rows, width)
        self.decoder = ChunkDecoder(horizon, width, layers, heads, dropout)
        self.out = nn.Linear(width, outputs // horizon)

    def forward(self, condition: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        memory = self.memory(self.row(condition.unflatten(1, (self.rows, -1))))
        return self.out(self.decoder(memory)).flatten(1)
