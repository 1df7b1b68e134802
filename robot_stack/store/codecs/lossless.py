"""Blosc chunks: what the store's tables, and its frames on request, are compressed in; every zarr reader decodes them.

Measured on 240x320 RGB [kB a frame | ms to encode | ms to decode], raw 230 kB, one core:
simulated scene  zstd-1 38 | 0.63 | 0.31,  lz4-1 67 | 0.20 | 0.08,  zstd-1 with bitshuffle 57 | 0.92 | 0.49
video            zstd-1 88 | 1.02 | 0.42,  lz4-1 133 | 0.30 | 0.09, zstd-1 with bitshuffle 98 | 1.09 | 0.51
noisy camera     zstd-1 185 | 0.44 | 0.31, lz4-1 230 | 0.09 | 0.03, zstd-1 with bitshuffle 169 | 0.81 | 0.49
So frames are zstd-1 without shuffle; tables of floats gain from bitshuffle.
"""

import struct
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field
from robot_stack.types import StoreError

_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")  # position = blosc's own number
_HEADER = struct.Struct("<4BIII")  # version, version, flags, typesize, decoded bytes, block size, encoded bytes


@dataclass(frozen=True)
class Blosc:
    """One setting of blosc: compressor name, level, shuffle, and bytes in a block (0: as blosc thinks best)."""

    compressor: str
    level: int
    shuffle: str
    block: int = 0

    def encode(self, array: NDArray[Any]) -> bytes:
        """Compress the bytes of `array` in C order."""
        flat = np.ascontiguousarray(array).reshape(-1)
        shuffle = _SHUFFLES.index(self.shuffle)
        encoded: bytes = _blosc().compress(flat, self.compressor.encode(), self.level, shuffle, self.block)
        return encoded

    def metadata(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        """The entry in the `codecs` of a zarr array."""
        settings = {"cname": self.compressor, "clevel": self.level, "shuffle": self.shuffle}
        return {"name": "blosc", "configuration": {"typesize": dtype.itemsize, "blocksize": self.block, **settings}}


TABLE = Blosc("zstd", 3, "bitshuffle")
"""For tables: one chunk with all rows of a small field."""


@dataclass(frozen=True)
class Lossless:
    """Frames of any shape and dtype, one a chunk, bit for bit."""

    name: str
    blosc: Blosc
    group: int = 1
    lossless: bool = True

    def check(self, field: Field) -> None:
        """Every field can be held."""

    def encode(self, frames: NDArray[Any]) -> bytes:
        """One frame (1, *shape) to one chunk."""
        return self.blosc.encode(frames)

    def decode_into(self, chunk: bytes | memoryview, out: NDArray[Any], first: int = 0) -> None:
        """The frame of a chunk into `out` (1, *shape)."""
        if first:
            raise StoreError(f"a chunk of {self.name} is one frame: there is no number {first} in it")
        decode_into(chunk, out)

    def metadata(self, field: Field) -> list[dict[str, Any]]:
        """The zarr codecs `bytes` and `blosc`."""
        dtype = np.dtype(field.dtype)
        return [bytes_metadata(dtype), self.blosc.metadata(dtype)]


ZSTD = Lossless("zstd", Blosc("zstd", 1, "noshuffle"))
LZ4 = Lossless("lz4", Blosc("lz4", 1, "noshuffle"))


def decode_into(chunk: bytes | memoryview, out: NDArray[Any]) -> None:
    """Decompress into the contiguous array `out`; StoreError when `chunk` is not exactly one chunk of its size."""
    sizes = _HEADER.unpack_from(chunk) if len(chunk) >= _HEADER.size else (0,) * 7
    if sizes[4] != out.nbytes or sizes[6] != len(chunk):
        raise StoreError(f"a chunk of {len(chunk)} bytes is damaged: expected {out.nbytes} bytes in it")
    try:
        _blosc().decompress(chunk, out)
    except RuntimeError as error:
        raise StoreError(f"a chunk of {len(chunk)} bytes is damaged: {error}") from error


def bytes_metadata(dtype: np.dtype[Any]) -> dict[str, Any]:
    """The zarr codec that lays numbers out in C order, little end first."""
    return {"name": "bytes"} if dtype.itemsize == 1 else {"name": "bytes", "configuration": {"endian": "little"}}


def from_metadata(codecs: list[dict[str, Any]], chunk_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Lossless | None:
    """The codec that reads such an array, if it is blosc of one little-endian frame a chunk."""
    if [codec["name"] for codec in codecs] != ["bytes", "blosc"] or chunk_shape[0] != 1:
        return None
    if codecs[0] != bytes_metadata(dtype):
        return None
    settings = codecs[1]["configuration"]
    found = Blosc(settings["cname"], settings["clevel"], settings["shuffle"], settings["blocksize"])
    return Lossless(settings["cname"], found)


@cache
def _blosc() -> ModuleType:
    """Imported when it is first used: numcodecs takes 0.1 s."""
    blosc = import_module("numcodecs.blosc")
    blosc.use_threads = False  # type: ignore[attr-defined] # a recorder must not wake a pool of threads for every frame
    return blosc
