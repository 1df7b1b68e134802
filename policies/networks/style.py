"""How a chunk was flown, as a few numbers: the encoder of ACT's conditional variational autoencoder (Zhao et al. 2023,
arXiv:2304.13705). It is there in training only, so that the policy need not average over differences that what it sees
does not explain."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from policies.networks.transformer import TokenEncoder, learned_positions, sinusoids


class Style(NamedTuple):
    """Independent normal distributions. mean, log_variance: (B, size)."""

    mean: Tensor
    log_variance: Tensor

    def draw(self) -> Tensor:
        """One each, from torch's global generator, with a gradient to both (B, size)."""
        return self.mean + (0.5 * self.log_variance).exp() * torch.randn_like(self.mean)

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence from the standard normal distribution, summed over numbers [nat] (B,)."""
        return -0.5 * (1.0 + self.log_variance - self.mean.square() - self.log_variance.exp()).sum(dim=-1)


class StyleEncoder(nn.Module):
    """A token that looks at what was seen now and at the waypoints that followed.

    row: numbers of what was seen. action: numbers of a waypoint. size: of the style.
    """

    places: Tensor

    def __init__(self, row: int, action: int, horizon: int, size: int, width: int, encoder: TokenEncoder) -> None:
        super().__init__()
        self.style = learned_positions(1, width)
        self.row = nn.Linear(row, width)
        self.waypoint = nn.Linear(action, width)
        self.encoder = encoder
        self.out = nn.Linear(width, 2 * size)
        self.register_buffer("places", sinusoids(torch.arange(2.0 + horizon), width), persistent=False)

    def forward(self, now: Tensor, chunk: Tensor, valid: Tensor) -> Style:
        """now: (B, row). chunk: (B, H, action). valid: False where the episode was over, at which nobody looks
        (B, H)."""
        first = self.style.expand(len(now), -1, -1)
        tokens = torch.cat([first, self.row(now)[:, None], self.waypoint(chunk)], dim=1) + self.places
        ignored = nn.functional.pad(~valid, (2, 0))  # the style and what was seen are never padding
        out = self.out(self.encoder(tokens, ignored)[:, 0]).float()
        return Style(*out.chunk(2, dim=-1))
