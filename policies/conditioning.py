"""What a policy is told to do, beside what it sees: the one entry `conditioning` of every policy's config."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from policies.observation import Images
from robot_stack.spec import Spec
from robot_stack.store import Episode


class Conditioner(nn.Module):
    """Base of the networks that read what a policy is told: a vector a sample, or one that stands for "not told".

    size: of the vector. drop: share of the samples that are not told while training, so that the policy also learns to
    do without. A sample is told all or nothing: half a goal is another goal, and not the lack of one. That is where
    BESO's own code differs from what its classifier-free guidance means (Reuss et al. 2023, arXiv:2304.02532).
    """

    def __init__(self, size: int, drop: float) -> None:
        super().__init__()
        self.size = size
        self.drop = drop
        self.untold = nn.Parameter(0.02 * torch.randn(size))

    def fit(self, observe: Mapping[str, Tensor]) -> None:
        """Set limits of numbers from all rows of the training data, name -> (N, *shape)."""

    def read(self, history: Mapping[str, Tensor]) -> Tensor | None:
        """The vectors of what the samples were told (B, size), None if it is not in `history`."""
        raise NotImplementedError

    def entries(self, told: Any) -> dict[str, Tensor]:
        """What tells one sample, for the history that a policy acts on: name -> (1, 1, *shape)."""
        raise NotImplementedError

    def forward(self, history: Mapping[str, Tensor], count: int, told: bool) -> Tensor:
        """The vector of what `count` samples were told (count, size); without it if not `told`, or if it is not in
        `history`. While training, a share of the samples is not told."""
        vectors = self.read(history) if told else None
        if vectors is None:
            return self.untold.expand(count, -1)
        if not self.training or self.drop == 0.0:
            return vectors
        kept = (torch.rand(count, 1) >= self.drop).to(vectors.device)  # drawn on the CPU: the same on every device
        return torch.where(kept, vectors, self.untold)


class Conditioning(Protocol):
    """How a policy is told, while it is trained: by rows that come later, or by what holds for the whole episode."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Of a later row, which become `goal.<field>`."""
        ...

    def later(self, now: Tensor, last: Tensor, drawn: Tensor) -> Tensor:
        """That row, for windows at the rows `now` of episodes that end with the rows `last` (B,). drawn: numbers from
        0 to 1 (B,), uniform."""
        ...

    def about(self, episode: Episode) -> dict[str, Tensor]:
        """What holds for all windows of an episode, without their dimensions."""
        ...

    def build(self, spec: Spec, images: Images | None) -> Conditioner:
        """The network, for rows of `spec`."""
        ...
