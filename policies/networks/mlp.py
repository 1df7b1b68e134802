"""Residual perceptrons: the networks that a CPU trains in minutes."""

import torch
from torch import Tensor, nn

from policies.networks.timestep import TimestepEmbedding


class ResidualBlock(nn.Module):
    """x + W2 mish(W1 layernorm(x))."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.Mish(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) -> (B, width)."""
        return x + self.layers(x)


class Mlp(nn.Sequential):
    """(B, inputs) -> (B, outputs) through `blocks` residual blocks of `width`."""

    def __init__(self, inputs: int, outputs: int, width: int = 512, blocks: int = 4, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(inputs, width),
            *(ResidualBlock(width, dropout) for _ in range(blocks)),
            nn.LayerNorm(width),
            nn.Linear(width, outputs),
        )


class ConditionedBlock(nn.Module):
    """x + W2 mish(W1 z), z = layernorm(x) scaled and shifted by the condition (FiLM, Perez et al. 2018)."""

    def __init__(self, width: int, condition: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.film = nn.Linear(condition, 2 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.Mish(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (B, width). condition: (B, C). -> (B, width)."""
        scale, shift = self.film(condition).chunk(2, dim=-1)
        return x + self.layers(self.norm(x) * (1.0 + scale) + shift)


class MlpDenoiser(nn.Module):
    """A chunk flattened, through residual blocks that what was seen and the timestep enter anew in each.

    Give it prediction=sample: the clean chunk is smooth, and the noise is not, which perceptrons cannot put out.
    """

    def __init__(
        self, horizon: int, size: int, condition: int, width: int = 512, blocks: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embedding = TimestepEmbedding(64)
        half = width // 2
        self.context = nn.Sequential(nn.Linear(condition + 64, half), nn.Mish(), nn.Linear(half, half))
        self.first = nn.Linear(horizon * size, width)
        self.blocks = nn.ModuleList(ConditionedBlock(width, half, dropout) for _ in range(blocks))
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, horizon * size))

    def forward(self, chunk: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """chunk: (B, H, D). timestep: (B,). condition: (B, C). -> (B, H, D)."""
        context = self.context(torch.cat([condition, self.embedding(timestep)], dim=-1))
        x = self.first(chunk.flatten(1))
        for block in self.blocks:
            x = block(x, context)
        return self.last(x).view_as(chunk)
