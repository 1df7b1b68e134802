"""AV1 and H.264 for the zarr library, by the entry points `robot_stack.av1` and `robot_stack.h264`."""

from typing import Any, ClassVar

from robot_stack.store.codecs import video
from robot_stack.store.codecs.zarr_picture import Compressor, PictureCodec


class _Video(PictureCodec):
    """One closed GOP a chunk."""

    name: ClassVar[str]

    def compressor(self, chunk_shape: tuple[int, ...]) -> Compressor:
        """Video of the quality and effort in the settings."""
        settings: dict[str, Any] = dict(self.settings)
        return video.Video(self.name, chunk_shape[0], settings.get("crf"), settings.get("preset"))


class Av1(_Video):
    """AV1."""

    name, key = "av1", video.zarr_name("av1")


class H264(_Video):
    """H.264."""

    name, key = "h264", video.zarr_name("h264")
