"""Image encoders, trained from scratch with the policy. Group normalisation, since the EMA of weights and the running
statistics of batch normalisation do not mix; spatial softmax, since where a thing is matters more than what it is."""

import torch
from torch import Tensor, nn
from torchvision.models import resnet18


class SpatialSoftmax(nn.Module):
    """The expected place of each channel's attention (Levine et al. 2016): (N, C, h, w) -> (N, 2 C) in [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """First all vertical places, then all horizontal ones."""
        attention = x.flatten(2).softmax(dim=-1).view_as(x)
        vertical = torch.linspace(-1.0, 1.0, x.shape[2], device=x.device)
        horizontal = torch.linspace(-1.0, 1.0, x.shape[3], device=x.device)
        return torch.cat([attention.sum(3) @ vertical, attention.sum(2) @ horizontal], dim=-1)


class SmallCnn(nn.Sequential):
    """Four convolutions and a spatial softmax: 3 ms a picture of 96x96 in training on one CPU core.

    size: (height, width) of the pictures [px]; any will do. features: of the output.
    """

    def __init__(self, size: tuple[int, int], features: int = 64, channels: int = 32) -> None:
        super().__init__(
            *_stage(3, channels, 5),
            *_stage(channels, 2 * channels, 3),
            *_stage(2 * channels, 2 * channels, 3),
            nn.Conv2d(2 * channels, channels, 1),
            SpatialSoftmax(),
            nn.Linear(2 * channels, features),
        )


class ResNet18(nn.Sequential):
    """ResNet-18 (He et al. 2016) with groups of 16 channels normalised, as in Diffusion Policy. Wants a GPU.

    size: (height, width) of the pictures [px]; any from 32 will do. features: of the output. keypoints: of the softmax.
    """

    def __init__(self, size: tuple[int, int], features: int = 64, keypoints: int = 32) -> None:
        trunk = resnet18(weights=None, norm_layer=lambda channels: nn.GroupNorm(channels // 16, channels))
        super().__init__(
            *list(trunk.children())[:-2],  # without the average and the classes
            nn.Conv2d(512, keypoints, 1),
            SpatialSoftmax(),
            nn.Linear(2 * keypoints, features),
        )


def _stage(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2),
        nn.GroupNorm(outputs // 16, outputs),
        nn.ReLU(),
    ]
