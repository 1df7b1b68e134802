"""What a policy is told to do, beside what it sees: the one entry `conditioning` of every policy's config."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from policies.observation import Images
from robot_stack.spec import Spec


class Conditioner(nn.Module):
    """Base of the networks that read what a policy is told. size: of the vector that they make of it."""

    size: int

    def fit(self, observe: Mapping[str, Tensor]) -> None:
        """Set limits of numbers from all rows of the training data, name -> (N, *shape)."""
        raise NotImplementedError

    def forward(self, history: Mapping[str, Tensor], count: int, told: bool) -> Tensor:
        """The vector of what `count` samples were told (count, size); without it if not `told`, or if it is not in
        `history`. While training, a share of the samples is not told, so that the policy also learns to do without."""
        raise NotImplementedError


class Conditioning(Protocol):
    """How a policy is told. fields: of a row that the telling is made of."""

    @property
    def fields(self) -> tuple[str, ...]: ...

    def build(self, spec: Spec, images: Images | None) -> Conditioner:
        """The network, for rows of `spec`."""
        ...
