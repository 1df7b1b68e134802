"""The noise level of a denoiser as a vector."""

import math

import torch
from torch import Tensor, nn


class TimestepEmbedding(nn.Module):
    """Sines and cosines of the timestep (Vaswani et al. 2017), then two layers: (B,) -> (B, size)."""

    frequencies: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        half = size // 2
        self.register_buffer("frequencies", torch.exp(-math.log(10000.0) * torch.arange(half) / (half - 1)))
        self.layers = nn.Sequential(nn.Linear(2 * half, 4 * size), nn.Mish(), nn.Linear(4 * size, size))

    def forward(self, timestep: Tensor) -> Tensor:
        """timestep: (B,)."""
        angles = timestep[:, None] * self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=-1))
