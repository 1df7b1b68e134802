"""Pictures as they might also have been taken: changed in training only, on the device where the batch is.

One draw a picture, from torch's global generator on the CPU, so that a run that resumes draws what it would have drawn.
"""

import torch
from torch import Tensor

HUE = 0.1
"""A hue moves less than the rest: at strength 1 by a tenth of the colour circle, or what is red could be green."""

GRAY = (0.299, 0.587, 0.114)
"""Luma of red, green and blue (ITU-R BT.601)."""

_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
"""Luma and two numbers of colour whose angle is the hue (NTSC 1953)."""


def cropped(pictures: Tensor, size: tuple[int, int], anywhere: bool) -> Tensor:
    """Cut (N, h, w, 3) out of (N, H, W, 3), `size` = (h, w): anywhere, a place a picture, or in the middle."""
    count, height, width = pictures.shape[:3]
    h, w = size
    if not anywhere:
        top, left = (height - h) // 2, (width - w) // 2
        return pictures[:, top : top + h, left : left + w]
    device = pictures.device
    top, left = (torch.randint(room + 1, (count, 1, 1)).to(device) for room in (height - h, width - w))
    rows, columns = top + torch.arange(h, device=device)[:, None], left + torch.arange(w, device=device)
    return pictures[torch.arange(count, device=device)[:, None, None], rows, columns]


def recolored(pictures: Tensor, strength: float) -> Tensor:
    """Pictures (N, 3, h, w) in [0, 1] in other light: brightness, contrast, saturation and hue, each drawn a picture.

    strength: brightness, contrast and saturation are multiplied by a factor in 1 ± strength.
    """
    drawn = (torch.rand(4, len(pictures), 1, 1, 1) * 2.0 - 1.0).to(pictures) * strength
    brightness, contrast, saturation = 1.0 + drawn[:3]
    pictures = pictures * brightness
    gray = (pictures * pictures.new_tensor(GRAY)[:, None, None]).sum(dim=1, keepdim=True)  # (N, 1, h, w)
    middle = gray.mean(dim=(2, 3), keepdim=True)
    pictures = middle + contrast * (gray + saturation * (pictures - gray) - middle)
    turned = torch.einsum("nij,njhw->nihw", _hue_rotation(2.0 * torch.pi * HUE * drawn[3].flatten()), pictures)
    return turned.clamp(0.0, 1.0)


def _hue_rotation(angle: Tensor) -> Tensor:
    """What turns the hue of colours (red, green, blue) by `angle` (N,) [rad] and keeps their luma (N, 3, 3)."""
    to_yiq = torch.tensor(_TO_YIQ)
    cosine, sine = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], dim=-1).unflatten(-1, (3, 3))
    return torch.linalg.inv(to_yiq).to(angle) @ turn @ to_yiq.to(angle)
