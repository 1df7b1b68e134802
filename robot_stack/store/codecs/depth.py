"""Depth pictures: 16 bits a pixel, without loss."""

import numpy as np

from robot_stack.spec import Field
from robot_stack.store.codecs.lossless import Blosc, Lossless

DEPTH = Lossless("depth", Blosc("zstd", 1, "bitshuffle"))
"""Blosc like the others: any zarr reader, and `lossless.from_metadata`, reads it."""


def is_depth(field: Field) -> bool:
    """Whether this field is a picture (h, w) or (h, w, 1) of 16-bit numbers."""
    flat = len(field.shape) == 2 or (len(field.shape) == 3 and field.shape[2] == 1)
    return flat and np.dtype(field.dtype) == np.uint16
