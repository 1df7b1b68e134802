"""Where windows stand among the rows of all episodes, one after the other."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Places:
    """Rows of all episodes, by number. now: where each window stands (W,). start, last: of the episode that a row is
    in (N,). episode: its number (N,)."""

    now: Tensor
    start: Tensor
    last: Tensor
    episode: Tensor

    @classmethod
    def of(cls, lengths: Tensor, execute: int) -> Self:
        """Of episodes with so many rows, of which a window needs `execute` from where it stands."""
        ends = lengths.cumsum(0)
        last = (ends - 1).repeat_interleave(lengths)
        rows = torch.arange(int(ends[-1]))
        now = rows[rows + execute <= last + 1]
        episode = torch.arange(len(lengths)).repeat_interleave(lengths)
        return cls(now, (ends - lengths).repeat_interleave(lengths), last, episode)

    def to(self, device: torch.device | str) -> "Places":
        """The same on a device."""
        return Places(*(tensor.to(device) for tensor in (self.now, self.start, self.last, self.episode)))
