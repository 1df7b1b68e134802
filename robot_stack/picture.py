"""How a picture becomes the size that a policy sees: one resize for recordings, training and deployment."""

import cv2
import numpy as np

from robot_stack.types import Image

IMAGE = "image."
"""Prefix of the fields that are pictures."""

RESIZE = f"area-{cv2.__version__}"
"""Changes whenever `shrink` could give other bytes."""


def shrink(image: Image, resolution: tuple[int, int]) -> Image:
    """The picture (H, W, 3) at (height, width), by area: the one resize of training and deployment."""
    if image.shape[:2] == tuple(resolution):
        return image
    return np.asarray(cv2.resize(image, (resolution[1], resolution[0]), interpolation=cv2.INTER_AREA))
