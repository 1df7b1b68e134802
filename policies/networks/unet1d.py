"""The 1-D U-Net of Diffusion Policy (Chi et al. 2023, arXiv:2303.04137): convolutions over the steps of the chunk,
the condition enters every block as a scale and a shift of each channel (FiLM, Perez et al. 2018)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from policies.networks.timestep import TimestepEmbedding
from robot_stack.types import ConfigError


class Convolution(nn.Conv1d):
    """An odd kernel over the steps of a chunk.

    Of a single sample in a graph (`policies.inference`) it is one product of matrices, whose windows are views of the
    padded rows: PyTorch's own convolution copies each row once a place of the kernel, and takes twice as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H) -> (B, outputs, H)."""
        if len(x) > 1 or x.is_cuda or not torch.jit.is_tracing():
            return super().forward(x)
        (kernel,), (_, inputs, steps) = self.kernel_size, x.shape
        rows = nn.functional.pad(x[0].t(), (0, 0, kernel // 2, kernel // 2)).contiguous()
        windows = rows.as_strided((steps, kernel * inputs), (inputs, 1))
        weight = self.weight.permute(2, 1, 0).contiguous().view(kernel * inputs, -1)  # once, when the graph is frozen
        return torch.addmm(self.bias, windows, weight).t()[None]


def convolution(inputs: int, outputs: int, kernel: int, groups: int) -> nn.Sequential:
    """Convolution, group normalisation, Mish."""
    return nn.Sequential(
        Convolution(inputs, outputs, kernel, padding=kernel // 2), nn.GroupNorm(groups, outputs), nn.Mish()
    )


class ConditionedBlock(nn.Module):
    """Two convolutions with FiLM between them, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, condition: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, kernel, groups)
        self.second = convolution(outputs, outputs, kernel, groups)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition, 2 * outputs))
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (B, inputs, H). condition: (B, C). -> (B, outputs, H)."""
        scale, shift = self.film(condition)[..., None].chunk(2, dim=1)  # (B, outputs, 1) each
        return self.second(self.first(x) * scale + shift) + self.shortcut(x)


class UNet1d(nn.Module):
    """channels: at each level, from the top; the horizon must divide by two once a level but the last."""

    def __init__(
        self,
        horizon: int,
        size: int,
        condition: int,
        channels: Sequence[int] = (32, 64, 128),
        kernel: int = 5,
        groups: int = 8,
        embedding: int = 64,
    ) -> None:
        super().__init__()
        if horizon % 2 ** (len(channels) - 1):
            raise ConfigError(f"{len(channels)} levels need a horizon that divides by {2 ** (len(channels) - 1)}")
        self.embedding = TimestepEmbedding(embedding)
        c = condition + embedding

        def pair(inputs: int, outputs: int) -> nn.ModuleList:
            return nn.ModuleList(ConditionedBlock(width, outputs, c, kernel, groups) for width in (inputs, outputs))

        levels = list(pairwise([size, *channels]))
        self.down = nn.ModuleList(pair(i, o) for i, o in levels)
        self.shrink = nn.ModuleList(nn.Conv1d(o, o, 3, stride=2, padding=1) for _, o in levels[:-1])
        self.middle = pair(channels[-1], channels[-1])
        rising = list(pairwise(reversed(channels)))
        self.up = nn.ModuleList(pair(2 * i, o) for i, o in rising)
        self.grow = nn.ModuleList(nn.ConvTranspose1d(o, o, 4, stride=2, padding=1) for _, o in rising)
        self.out = nn.Sequential(convolution(channels[0], channels[0], kernel, groups), nn.Conv1d(channels[0], size, 1))

    def forward(self, chunk: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """chunk: (B, H, D). timestep: (B,). condition: (B, C). -> (B, H, D)."""
        c = torch.cat([self.embedding(timestep), condition], dim=-1)
        x = chunk.transpose(1, 2)  # (B, D, H)
        skips = []
        for level, blocks in enumerate(self.down):
            x = _through(blocks, x, c)
            skips.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        x = _through(self.middle, x, c)
        for blocks, grow in zip(self.up, self.grow, strict=True):
            x = grow(_through(blocks, torch.cat([x, skips.pop()], dim=1), c))
        return self.out(x).transpose(1, 2)


def _through(blocks: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    for block in blocks.children():
        x = block(x, condition)
    return x
