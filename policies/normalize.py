"""Every number that a network sees lies in [-1, 1] on the training data; the limits are saved with the policy."""

import torch
from torch import Tensor, nn

SMALLEST_RANGE = 1e-4
"""A dimension that varies less than this in the training data is centred and not scaled: its noise is not a signal."""


class Normalizer(nn.Module):
    """(x - offset) / scale for each of `size` dimensions; the identity until `fit`."""

    offset: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, values: Tensor, fixed: Tensor | None = None) -> None:
        """Take the limits of `values` (N, size). fixed: (size,) True for dimensions to leave as they are."""
        self.set_limits(values.amin(dim=0), values.amax(dim=0), fixed)

    def set_limits(self, low: Tensor, high: Tensor, fixed: Tensor | None = None) -> None:
        """Take `low` and `high` (size,) as the limits."""
        scale = torch.where(high - low < SMALLEST_RANGE, 1.0, (high - low) / 2)
        offset = (high + low) / 2
        if fixed is not None:
            keep = fixed.to(low.device)
            scale, offset = torch.where(keep, 1.0, scale), torch.where(keep, 0.0, offset)
        self.scale.copy_(scale)
        self.offset.copy_(offset)

    def forward(self, values: Tensor) -> Tensor:
        """Physical -> normalised (..., size)."""
        return (values - self.offset) / self.scale

    def inverse(self, values: Tensor) -> Tensor:
        """Normalised -> physical (..., size)."""
        return values * self.scale + self.offset
