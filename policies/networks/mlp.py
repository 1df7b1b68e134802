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


class MlpDenoiser(nn.Module):
    """A chunk flattened, beside what was seen and the timestep, through `blocks` residual blocks of `width`.

    Give it prediction=sample: the clean chunk is smooth, and the noise is not, which perceptrons cannot put out. A
    condition that scales every block (FiLM) has half as many weights more, and was no better on PushT.
    """

    def __init__(
        self, horizon: int, size: int, condition: int, width: int = 512, blocks: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embedding = TimestepEmbedding(64)
        self.net = Mlp(horizon * size + condition + 64, horizon * size, width, blocks, dropout)

    def forward(self, chunk: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """chunk: (B, H, D). timestep: (B,). condition: (B, C). -> (B, H, D)."""
        seen = torch.cat([chunk.flatten(1), condition, self.embedding(timestep)], dim=-1)
        return self.net(seen).view_as(chunk)
