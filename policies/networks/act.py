"""The network of ACT (Zhao et al. 2023, arXiv:2304.13705): from a style, rows and maps of features to a chunk.

Its transformer is normalised before each block (theirs: after), positions are added once (theirs: in each layer), and
the waypoints' first tokens are their queries (theirs are zeros, over which the first layer's self-attention has nothing
to say).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from policies.networks.map_tokens import MapTokens
from policies.networks.transformer import ChunkDecoder, TokenEncoder, learned_positions


class ActNetwork(nn.Module):
    """style, row, waypoint: numbers of each. history: rows. maps: shape of each camera's (C, h, w). encoder: what makes
    the memory. decoder: waypoints that read it. width: of their tokens."""

    def __init__(
        self,
        style: int,
        row: int,
        waypoint: int,
        history: int,
        maps: Sequence[Sequence[int]],
        encoder: TokenEncoder,
        decoder: ChunkDecoder,
        width: int,
    ) -> None:
        super().__init__()
        self.style = nn.Linear(style, width)
        self.row = nn.Linear(row, width)
        self.positions = learned_positions(1 + history, width)
        self.cameras = nn.ModuleList(MapTokens(shape, history, width) for shape in maps)
        self.encoder = encoder
        self.decoder = decoder
        self.out = nn.Linear(width, waypoint)

    def forward(self, style: Tensor, rows: Tensor, *maps: Tensor) -> Tensor:
        """style: (B, S). rows: (B, T, R). maps: of each camera (B, T, C, h, w). -> (B, H, D)."""
        return self.chunk(self.memory(style, rows, *maps))

    def memory(self, style: Tensor, rows: Tensor, *maps: Tensor) -> Tensor:
        """A token of the style, one a row, and each camera's one a row and place (B, M, width)."""
        first = torch.cat([self.style(style)[:, None], self.row(rows)], dim=1) + self.positions
        seen = [tokens(features) for tokens, features in zip(self.cameras, maps, strict=True)]
        return self.encoder(torch.cat([first, *seen], dim=1))

    def chunk(self, memory: Tensor) -> Tensor:
        """What waypoints make of a memory (B, H, D)."""
        return self.out(self.decoder(memory))

    def foreseen(self, memory: Tensor) -> Tensor:
        """What came out at the places of the newest pictures, camera by camera (B, P, width)."""
        history = len(self.positions) - 1
        seen = memory[:, 1 + history :].unflatten(1, (len(self.cameras), history, -1))
        return seen[:, :, -1].flatten(1, 2)

    def places(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of one row of each camera (B, 1, C, h, w), as `foreseen` has them (B, P, width)."""
        each = [tokens.tokens(features) for tokens, features in zip(self.cameras, maps, strict=True)]
        return torch.cat(each, dim=2).flatten(1, 2)
