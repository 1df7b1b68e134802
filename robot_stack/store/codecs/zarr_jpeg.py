"""JPEG for the zarr library, by the entry point `imagecodecs_jpeg`: the name and settings of imagecodecs' own codec.

So whoever has imagecodecs reads a store's pictures without this package, and who has this package needs no imagecodecs.
"""

from typing import Any

from zarr.abc.codec import ArrayBytesCodec

from robot_stack.store.codecs import jpeg
from robot_stack.store.codecs.zarr_picture import Compressor, PictureCodec


class Jpeg(PictureCodec):
    """One RGB picture a chunk."""

    key = jpeg.ZARR_NAME

    def compressor(self, chunk_shape: tuple[int, ...]) -> Compressor:
        """JPEG of the quality and subsampling in the settings."""
        settings: dict[str, Any] = dict(self.settings)
        return jpeg.Jpeg(settings["level"], settings["subsampling"])


def _installed() -> type[ArrayBytesCodec]:
    """imagecodecs' own codec where it is, since it knows more kinds of JPEG; zarr warns when two have one name."""
    try:
        from imagecodecs.zarr import Jpeg as Theirs
    except ImportError:
        return Jpeg
    theirs: type[ArrayBytesCodec] = Theirs
    return theirs


CODEC = _installed()
