"""What a policy sees, as one vector a row: numbers normalised, each camera through an encoder of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.actions import FieldVector
from policies.augment import cropped, recolored
from policies.normalize import Normalizer
from policies.vision import Encoder
from robot_stack.picture import IMAGE
from robot_stack.spec import Spec
from robot_stack.types import ConfigError


@dataclass(frozen=True)
class Images:
    """How pictures are read.

    encoder: makes the network of one camera, pictures (N, 3, h, w) in [-1, 1] -> (N, features), from its picture size.
    resolution: (height, width) they are shrunk to when loaded [px]. crop: (height, width) cut out of that, at a random
    place in training and in the middle otherwise [px]. color: how much their light is changed in training, as
    `policies.augment.recolored` says.
    """

    encoder: Callable[[tuple[int, int]], nn.Module]
    resolution: tuple[int, int]
    crop: tuple[int, int]
    color: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolution", tuple(self.resolution))  # a config gives lists
        object.__setattr__(self, "crop", tuple(self.crop))
        if self.crop[0] > self.resolution[0] or self.crop[1] > self.resolution[1]:
            raise ConfigError(f"crop {self.crop} is larger than resolution {self.resolution}")
        if not 0.0 <= self.color <= 1.0:
            raise ConfigError(f"images.color={self.color}: expected a strength from 0 (not at all) to 1")

    def prepared(self, pictures: Tensor, training: bool) -> Tensor:
        """Bytes (N, height, width, 3) of `resolution` as an encoder sees them, (N, 3, h, w) in [-1, 1]."""
        light = cropped(pictures, self.crop, anywhere=training).permute(0, 3, 1, 2).float() / 255.0
        if training and self.color > 0.0:
            light = recolored(light, self.color)
        return light * 2.0 - 1.0


class Observation(nn.Module):
    """Fields of `spec`, name -> (B, T, *shape), as (B, T, size)."""

    def __init__(self, spec: Spec, images: Images | None) -> None:
        super().__init__()
        cameras = [field.name for field in spec if field.name.startswith(IMAGE)]
        if cameras and images is None:
            raise ConfigError(f"observe has {cameras}, but the policy has no image encoder; use policy=..._images")
        self.vector = FieldVector(spec.select(name for name in spec.fields if name not in cameras))
        self.normalize = Normalizer(self.vector.size)
        self.images = images
        self.encoders = nn.ModuleDict()
        self.size = self.vector.size
        for name in cameras:
            assert images is not None
            encoder = images.encoder(images.crop)
            self.encoders[name.removeprefix(IMAGE)] = encoder
            self.size += int(encoder(torch.zeros(1, 3, *images.crop)).shape[-1])

    def fit(self, observe: Mapping[str, Tensor]) -> None:
        """Set the limits of the numbers from all rows, name -> (N, *shape); encoders take what others trained."""
        for encoder in self.encoders.values():
            if isinstance(encoder, Encoder):
                encoder.start()
        if self.vector.size:
            self.normalize.fit(self.vector.encode(self.vector.join(observe, lead=1)), fixed=self.vector.bounded)

    def numbers(self, history: Mapping[str, Tensor]) -> Tensor:
        """All but the pictures (B, T, vector.size)."""
        return self.normalize(self.vector.encode(self.vector.join(history, lead=2)))

    def forward(self, history: Mapping[str, Tensor]) -> Tensor:
        """(B, T, size)."""
        parts = [self.numbers(history)] if self.vector.size else []
        for camera, encoder in self.encoders.items():
            assert self.images is not None
            pictures = history[IMAGE + camera]  # (B, T, h, w, 3) bytes
            features = encoder(self.images.prepared(pictures.flatten(0, 1), self.training))
            parts.append(features.unflatten(0, pictures.shape[:2]))
        return torch.cat(parts, dim=-1)
