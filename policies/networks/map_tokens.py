"""A picture as a transformer reads it: a map of features, each place a token (Carion et al. 2020, arXiv:2005.12872)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from policies.networks.transformer import learned_positions, sinusoids


class MapTokens(nn.Module):
    """shape: of a map (C, h, w). history: maps, one a row that was seen. width: of a token."""

    grid: Tensor

    def __init__(self, shape: Sequence[int], history: int, width: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        self.project = nn.Linear(channels, width)
        self.rows = learned_positions(history, width)
        vertical = sinusoids(torch.arange(float(height)), width // 2)[:, None].expand(-1, breadth, -1)
        horizontal = sinusoids(torch.arange(float(breadth)), width // 2)[None].expand(height, -1, -1)
        grid = torch.cat([vertical, horizontal], dim=-1).flatten(0, 1)  # (h w, width)
        self.register_buffer("grid", grid, persistent=False)

    def tokens(self, maps: Tensor) -> Tensor:
        """What is at each place, without where that is: (B, T, C, h, w) -> (B, T, h w, width)."""
        return self.project(maps.flatten(3).transpose(2, 3))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, T, C, h, w) -> (B, T h w, width)."""
        return (self.tokens(maps) + self.rows[:, None] + self.grid).flatten(1, 2)
