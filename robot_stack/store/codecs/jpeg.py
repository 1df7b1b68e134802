"""JPEG: one picture a chunk, what a store records in by default.

Measured on a raw picture of a RealSense D435 [kB at 480x640 | SSIM | ms to encode it], one core; wanted was SSIM 0.98:
420: quality 90 44 | 0.976 | 0.9, quality 95 67 | 0.982 | 1.1
444: quality 85 44 | 0.977 | 1.6, quality 90 56 | 0.981 | 1.9, quality 95 87 | 0.986 | 1.8
JPEG XL is smaller (32 | 0.977), but takes 9 ms to encode. So: quality 90, colours not subsampled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from robot_stack.spec import Field
from robot_stack.store.codecs import checksum
from robot_stack.types import ConfigError, StoreError

ZARR_NAME = "imagecodecs_jpeg"
"""The name that zarr v3 arrays of JPEG pictures go by: https://github.com/cgohlke/imagecodecs reads them too."""

_LARGEST = 65500  # pixels of a side: libjpeg's JPEG_MAX_DIMENSION


@dataclass(frozen=True)
class Jpeg:
    """quality: 1 to 100, as libjpeg counts. subsampling: of the colours, '444' (none), '422' or '420'."""

    quality: int = 90
    subsampling: str = "444"
    name: str = "jpeg"
    group: int = 1
    lossless: bool = False

    def check(self, field: Field) -> None:
        """Only RGB pictures of bytes, of at most 65500 pixels a side, can be held."""
        rgb = len(field.shape) == 3 and field.shape[2] == 3 and max(field.shape) <= _LARGEST
        if not rgb or np.dtype(field.dtype) != np.uint8:
            raise ConfigError(
                f"{field.name} is {np.dtype(field.dtype)}{list(field.shape)}: jpeg holds RGB pictures "
                f"(h, w, 3) of uint8 of at most {_LARGEST} pixels a side; choose zstd"
            )

    def encode(self, frames: NDArray[Any]) -> bytes:
        """One picture (1, h, w, 3) to one chunk: a JFIF file and its checksum."""
        return checksum.seal(self.compress(frames))

    def decode_into(self, chunk: bytes | memoryview, out: NDArray[Any], first: int = 0) -> None:
        """The picture of a chunk into `out` (1, h, w, 3)."""
        if first:
            raise StoreError(f"a chunk of jpeg is one picture: there is no number {first} in it")
        self.decompress(checksum.unseal(chunk), out)

    def compress(self, frames: NDArray[Any]) -> bytes:
        """One picture (1, h, w, 3) to a JFIF file."""
        content: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(frames[0]), self.quality, "RGB", self.subsampling)
        return content

    def decompress(self, content: bytes, out: NDArray[Any]) -> None:
        """A JPEG file into `out` (1, h, w, 3); StoreError unless it is one, whole and of that size."""
        try:
            found = simplejpeg.decode_jpeg_header(content)[:2]
            if found == out.shape[1:3]:
                simplejpeg.decode_jpeg(content, "RGB", buffer=out[0])
        except ValueError as error:
            raise StoreError(f"a JPEG picture of {len(content)} bytes is damaged: {error}") from error
        if found != out.shape[1:3]:
            raise StoreError(f"a JPEG picture is {found[0]}x{found[1]}, expected {out.shape[1]}x{out.shape[2]}")

    def metadata(self, field: Field) -> list[dict[str, Any]]:
        """The zarr codecs `imagecodecs_jpeg` and `crc32c`."""
        settings = {"level": self.quality, "subsampling": self.subsampling}
        return [{"name": ZARR_NAME, "configuration": settings}, checksum.METADATA]


def from_metadata(codecs: list[dict[str, Any]], chunk_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Jpeg | None:
    """The codec that reads such an array, if it is one that `Jpeg` writes."""
    if [codec["name"] for codec in codecs] != [ZARR_NAME, "crc32c"] or dtype != np.uint8:
        return None
    settings = codecs[0].get("configuration", {})
    picture = chunk_shape[0] == 1 and chunk_shape[3:] == (3,)
    if not picture or settings.keys() != {"level", "subsampling"}:
        return None
    return Jpeg(settings["level"], settings["subsampling"])
