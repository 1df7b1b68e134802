"""Image encoders: a trunk that makes a map of features, and a head that says where they are.

Group normalisation, since the EMA of weights and the running statistics of batch normalisation do not mix; spatial
softmax, since where a thing is matters more than what it is. What wants the map and not the numbers takes the trunk.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from robot_stack.types import ConfigError


class SpatialSoftmax(nn.Module):
    """The expected place of each channel's attention (Levine et al. 2016): (N, C, h, w) -> (N, 2 C) in [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """First all vertical places, then all horizontal ones."""
        attention = x.flatten(2).softmax(dim=-1).view_as(x)
        vertical = torch.linspace(-1.0, 1.0, x.shape[2], device=x.device)
        horizontal = torch.linspace(-1.0, 1.0, x.shape[3], device=x.device)
        return torch.cat([attention.sum(3) @ vertical, attention.sum(2) @ horizontal], dim=-1)


class Encoder(nn.Module):
    """Base of the encoders: pictures (N, 3, h, w) in [-1, 1] -> (N, features).

    trunk: pictures -> feature map (N, channels, h', w'). keypoints: of the softmax.
    """

    def __init__(self, trunk: nn.Module, channels: int, features: int, keypoints: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.channels = channels
        self.head = nn.Sequential(
            nn.Conv2d(channels, keypoints, 1), SpatialSoftmax(), nn.Linear(2 * keypoints, features)
        )

    def start(self) -> None:
        """Take weights that somebody else trained, if there are any: once, before training; a checkpoint has its own.
        Raises ConfigError where they cannot be had."""

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, h, w) in [-1, 1] -> (N, features)."""
        features: Tensor = self.head(self.trunk(pictures))
        return features


class SmallCnn(Encoder):
    """Four convolutions and a spatial softmax: 3 ms a picture of 96x96 in training on one CPU core.

    size: (height, width) of the pictures [px]; any will do. features: of the output.
    """

    def __init__(self, size: tuple[int, int], features: int = 64, channels: int = 32) -> None:
        trunk = nn.Sequential(
            *_stage(3, channels, 5), *_stage(channels, 2 * channels, 3), *_stage(2 * channels, 2 * channels, 3)
        )
        super().__init__(trunk, 2 * channels, features, keypoints=channels)


class ResNet18(Encoder):
    """ResNet-18 (He et al. 2016) with groups of 16 channels normalised, as in Diffusion Policy. Wants a GPU.

    size: (height, width) of the pictures [px]; any from 32 will do. features: of the output. keypoints: of the softmax.
    """

    def __init__(self, size: tuple[int, int], features: int = 64, keypoints: int = 32) -> None:
        layers = resnet18(weights=None, norm_layer=lambda channels: nn.GroupNorm(channels // 16, channels)).children()
        super().__init__(nn.Sequential(*list(layers)[:-2]), 512, features, keypoints)  # without average and classes


class Timm(Encoder):
    """A network of PyTorch Image Models (Wightman 2019), a vision transformer such as DINOv2 for instance.

    size: (height, width) of the pictures [px]; any will do. name: as `timm` spells it. features: of the output.
    pretrained: begin with the weights that were published for it, which wants a network the first time. frozen: leave
    them as they are and train the head only. keypoints: of the softmax.
    """

    def __init__(
        self,
        size: tuple[int, int],
        features: int = 64,
        name: str = "vit_small_patch14_dinov2",
        pretrained: bool = True,
        frozen: bool = False,
        keypoints: int = 32,
    ) -> None:
        trunk = TimmTrunk(name)
        super().__init__(trunk, trunk(torch.zeros(1, 3, *size)).shape[1], features, keypoints)
        self._pretrained = pretrained
        trunk.requires_grad_(not frozen)

    def start(self) -> None:
        """Take the published weights. Raises ConfigError where they cannot be had."""
        if self._pretrained:
            self.trunk.load_published()


class TimmTrunk(nn.Module):
    """The last feature map of a network of `timm`, which gets the numbers that it was trained on."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.network = _network(name, pretrained=False)
        known = self.network.pretrained_cfg
        self.register_buffer("mean", torch.tensor(known["mean"])[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(known["std"])[:, None, None], persistent=False)
        patches = getattr(self.network, "patch_embed", None)
        self._patch: tuple[int, int] = patches.patch_size if patches is not None else (1, 1)

    def load_published(self) -> None:
        """Take the weights that were published under this name; from the cache of the hub, or from the network."""
        try:
            self.network.load_state_dict(_network(self.name, pretrained=True).state_dict())
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"the weights of {self.name} cannot be had: {' '.join(str(error).split())[:200]}. "
                "Set encoder.pretrained=false to begin without, or bring them here: `hf download` on a machine with a "
                "network, then copy the folder that HF_HOME names"
            ) from error

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, h, w) in [-1, 1] -> (N, C, h', w'); a size that is no multiple of a patch is rounded up to one."""
        rounded = [-(-side // patch) * patch for side, patch in zip(pictures.shape[2:], self._patch, strict=True)]
        if list(pictures.shape[2:]) != rounded:
            pictures = nn.functional.interpolate(pictures, size=rounded, mode="bilinear", antialias=True)
        normal = ((pictures + 1.0) / 2.0 - self.mean) / self.deviation
        maps: list[Tensor] = self.network.forward_intermediates(normal, indices=1, norm=True, intermediates_only=True)
        return maps[-1]


def _network(name: str, pretrained: bool) -> Any:
    """A network of `timm` for pictures of any size. Its batch normalisation, if it has one, keeps its statistics."""
    import timm  # takes seconds, and few policies want it

    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('_')[0]}*") or timm.list_models("vit_*_dinov2*")
        raise ConfigError(f"timm has no network {name!r}; it has, among others: {', '.join(close[:20])}")
    known = timm.get_pretrained_cfg(name)
    any_size: dict[str, Any] = {"dynamic_img_size": True} if known is not None and known.fixed_input_size else {}
    return timm.layers.freeze_batch_norm_2d(timm.create_model(name, pretrained=pretrained, num_classes=0, **any_size))


def _stage(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2),
        nn.GroupNorm(outputs // 16, outputs),
        nn.ReLU(),
    ]
