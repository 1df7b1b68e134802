"""How frames are compressed: every codec that an image, depth or mask field can be stored in.

A chunk is `group` frames compressed together: one picture, or one closed GOP of a video. It decodes by itself, whatever
thread or process does it, and always to the same bytes. Its zarr metadata says all that a reader must know.
A codec is a name in `NAMES`; what it needs is imported when it is used, not here.

Measured on one core, real video at 240x320 | at 480x640; BENCHMARKS.md has all of it. LeRobot is its default, svt-av1
preset 12, crf 30, a key frame every second frame, decoded by the same dav1d:
            encode [ms]    2 random frames [ms]   kB a frame       SSIM
    zstd    0.96 |  2.2     0.60 | 1.90           84.4  | 209.8    1
    lz4     0.31 |  0.9     0.14 | 0.47           132.0 | 333.5    1
    jpeg    0.32 |  1.2     0.50 | 1.68           12.3  |  32.9    0.988 | 0.993
    av1     6.6  | 13.0     1.01 | 2.18           1.29  |  2.75    0.982 | 0.988
    h264    1.5  |  3.4     1.26 | 2.44           1.34  |  3.24    0.979 | 0.987
    LeRobot 8.0  | 14.1     0.85 | 1.97           1.61  |  3.36    0.980 | 0.986
Recording: what three cameras of 480x640 at 30 Hz encode in a quarter of a core, decodes a 240x320 picture in 1 ms and
has SSIM 0.98 on real pictures; of that the smallest: jpeg. Compacting: what is no larger and no worse than LeRobot's
default on every set of pictures; of that the cheapest to read two frames of: av1 by groups of three.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field
from robot_stack.store.codecs import depth, jpeg, lossless, video
from robot_stack.types import ConfigError


class FrameCodec(Protocol):
    """One setting of one way to compress frames."""

    @property
    def name(self) -> str:
        """As in `Store.create(codec=...)`."""
        ...

    @property
    def group(self) -> int:
        """Frames in one chunk; the last chunk of an array may have fewer."""
        ...

    @property
    def lossless(self) -> bool:
        """Whether what comes out is what went in, bit for bit."""
        ...

    def check(self, field: Field) -> None:
        """Raise ConfigError when this codec cannot hold the field, or is not installed."""
        ...

    def encode(self, frames: NDArray[Any]) -> bytes:
        """Compress 1 to `group` frames (n, *shape) to one chunk."""
        ...

    def decode_into(self, chunk: bytes | memoryview, out: NDArray[Any], first: int = 0) -> None:
        """Put the frames of `chunk` from number `first` on into the contiguous `out` (n, *shape).

        StoreError when the chunk is damaged, has not so many frames, or frames of another shape.
        """
        ...

    def metadata(self, field: Field) -> list[dict[str, Any]]:
        """The `codecs` of a zarr v3 array, or of the inside of its shards, whose chunks are (group, *shape)."""
        ...


_CODECS: dict[str, Callable[[], FrameCodec]] = {
    "zstd": lambda: lossless.ZSTD,
    "lz4": lambda: lossless.LZ4,
    "depth": lambda: depth.DEPTH,
    "jpeg": jpeg.Jpeg,
    "av1": lambda: video.AV1,
    "h264": lambda: video.H264,
}

NAMES = tuple(_CODECS)


def codec(name: str) -> FrameCodec:
    """The codec of that name, or ConfigError that lists the names. 'av1:2': another program's, a GOP of 2 frames."""
    if (of := name.partition(":"))[0] in ("av1", "h264") and of[2].isdigit():
        return video.Video(of[0], int(of[2]), None, None)
    if name not in _CODECS:
        raise ConfigError(f"no image codec {name!r}; there are: {', '.join(NAMES)}")
    return _CODECS[name]()


def for_field(field: Field, pictures: FrameCodec) -> FrameCodec:
    """What a field is stored in when a store's pictures are in `pictures`.

    A picture is (h, w, 3) u1; depth is (h, w) or (h, w, 1) u2; grey pictures, masks and clouds are kept bit for bit.
    """
    if is_picture(field):
        return pictures
    if depth.is_depth(field):
        return depth.DEPTH
    return pictures if pictures.name == "lz4" else lossless.ZSTD


def is_picture(field: Field) -> bool:
    """Whether this field is an RGB picture (h, w, 3) of bytes."""
    return np.dtype(field.dtype) == np.uint8 and len(field.shape) == 3 and field.shape[2] == 3


def from_metadata(
    codecs: list[dict[str, Any]], chunk_shape: tuple[int, ...], dtype: np.dtype[Any]
) -> FrameCodec | None:
    """The codec that reads chunks (group, *shape) of such an array; None: the zarr library must read it."""
    for read in (lossless.from_metadata, jpeg.from_metadata, video.from_metadata):
        found = read(codecs, chunk_shape, dtype)
        if found is not None:
            return found
    return None
