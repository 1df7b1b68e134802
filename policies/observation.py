"""What a policy sees, as one vector a row: numbers normalised, each camera through an encoder of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.actions import FieldVector
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
    place in training and in the middle otherwise [px].
    """

    encoder: Callable[[tuple[int, int]], nn.Module]
    resolution: tuple[int, int]
    crop: tuple[int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolution", tuple(self.resolution))  # a config gives lists
        object.__setattr__(self, "crop", tuple(self.crop))
        if self.crop[0] > self.resolution[0] or self.crop[1] > self.resolution[1]:
            raise ConfigError(f"crop {self.crop} is larger than resolution {self.resolution}")


class Observation(nn.Module):
    """Fields of `spec`, name -> (B, T, *shape), as (B, T, size)."""

    def __init__(self, spec: Spec, images: Images | None) -> None:
        super().__init__()
        cameras = [field.name for field in spec if field.name.startswith(IMAGE)]
        if cameras and images is None:
            raise ConfigError(f"observe has {cameras}, but the policy has no image encoder; use policy=..._image")
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

    def forward(self, history: Mapping[str, Tensor]) -> Tensor:
        """(B, T, size)."""
        parts = []
        if self.vector.size:
            parts.append(self.normalize(self.vector.encode(self.vector.join(history, lead=2))))
        for camera, encoder in self.encoders.items():
            pictures = history[IMAGE + camera]  # (B, T, h, w, 3) bytes
            features = encoder(self._cropped(pictures.flatten(0, 1)))
            parts.append(features.unflatten(0, pictures.shape[:2]))
        return torch.cat(parts, dim=-1)

    def _cropped(self, pictures: Tensor) -> Tensor:
        """Bytes (N, H, W, 3) -> (N, 3, h, w) in [-1, 1]."""
        assert self.images is not None
        count, height, width = pictures.shape[:3]
        h, w = self.images.crop
        if self.training:
            top = torch.randint(height - h + 1, (count,)).to(pictures.device)
            left = torch.randint(width - w + 1, (count,)).to(pictures.device)
        else:
            top = torch.full((count,), (height - h) // 2, device=pictures.device)
            left = torch.full((count,), (width - w) // 2, device=pictures.device)
        rows = top[:, None, None] + torch.arange(h, device=pictures.device)[:, None]
        columns = left[:, None, None] + torch.arange(w, device=pictures.device)
        cut = pictures[torch.arange(count, device=pictures.device)[:, None, None], rows, columns]  # (N, h, w, 3)
        return cut.permute(0, 3, 1, 2).float() / 127.5 - 1.0
