"""The names that arrays, journal and writer still use; `robot_stack.store.codecs` is what they stand for."""

from robot_stack.store.codecs.lossless import LZ4, TABLE, ZSTD, decode_into
from robot_stack.store.codecs.lossless import Blosc as Codec
from robot_stack.types import ConfigError

__all__ = ["FRAMES", "TABLE", "Codec", "decode_into", "frame_codec"]

FRAMES = {"zstd": ZSTD.blosc, "lz4": LZ4.blosc}


def frame_codec(name: str) -> Codec:
    """The codec of that name, or ConfigError that lists the names."""
    if name not in FRAMES:
        raise ConfigError(f"no image codec {name!r}; there are: {', '.join(FRAMES)}")
    return FRAMES[name]
