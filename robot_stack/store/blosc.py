"""Blosc chunks: what the store's frames and tables are compressed in; every zarr reader decodes them.

Measured on 240x320 RGB [kB a frame | ms to encode | ms to decode], raw 230 kB, one core:
simulated scene  zstd-1 38 | 0.63 | 0.31,  lz4-1 67 | 0.20 | 0.08,  zstd-1 with bitshuffle 57 | 0.92 | 0.49
video            zstd-1 88 | 1.02 | 0.42,  lz4-1 133 | 0.30 | 0.09, zstd-1 with bitshuffle 98 | 1.09 | 0.51
noisy camera     zstd-1 185 | 0.44 | 0.31, lz4-1 230 | 0.09 | 0.03, zstd-1 with bitshuffle 169 | 0.81 | 0.49
So frames are zstd-1 without shuffle; tables of floats gain from bitshuffle.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from robot_stack.types import ConfigError, StoreError

blosc.use_threads = False  # a recorder beside a control loop must not wake a pool of threads for every frame

_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")  # position = blosc's own number
_HEADER = struct.Struct("<4BIII")  # version, version, flags, typesize, decoded bytes, block size, encoded bytes


@dataclass(frozen=True)
class Codec:
    """One setting of blosc: compressor name, level and shuffle."""

    name: str
    level: int
    shuffle: str

    def encode(self, array: NDArray[Any]) -> bytes:
        """Compress the bytes of `array` in C order."""
        flat = np.ascontiguousarray(array).reshape(-1)
        encoded: bytes = blosc.compress(flat, self.name.encode(), self.level, _SHUFFLES.index(self.shuffle), 0)
        return encoded

    def metadata(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        """The entry in the `codecs` of a zarr array."""
        settings = {"cname": self.name, "clevel": self.level, "shuffle": self.shuffle}
        return {"name": "blosc", "configuration": {"typesize": dtype.itemsize, "blocksize": 0, **settings}}


TABLE = Codec("zstd", 3, "bitshuffle")
FRAMES = {"zstd": Codec("zstd", 1, "noshuffle"), "lz4": Codec("lz4", 1, "noshuffle")}
"""Lossless codecs for images by the name a store is created with."""


def frame_codec(name: str) -> Codec:
    """The codec of that name, or ConfigError that lists the names."""
    if name not in FRAMES:
        raise ConfigError(f"no image codec {name!r}; there are: {', '.join(FRAMES)}")
    return FRAMES[name]


def decode_into(encoded: bytes | memoryview, out: NDArray[Any]) -> None:
    """Decompress into the contiguous array `out`; StoreError when `encoded` is not exactly one chunk of its size."""
    sizes = _HEADER.unpack_from(encoded) if len(encoded) >= _HEADER.size else (0,) * 7
    if sizes[4] != out.nbytes or sizes[6] != len(encoded):
        raise StoreError(f"a chunk of {len(encoded)} bytes is damaged: expected {out.nbytes} bytes in it")
    try:
        blosc.decompress(encoded, out)
    except RuntimeError as error:
        raise StoreError(f"a chunk of {len(encoded)} bytes is damaged: {error}") from error
