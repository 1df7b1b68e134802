"""Writes videos as LeRobot's recorder does, and joins them without decoding."""

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from robot_stack.realtime import no_gain_of_priority

CODEC = "libsvtav1"
PIXELS = "yuv420p"
OPTIONS = {"g": "2", "crf": "30", "preset": "12", "svtav1-params": "fast-decode=0"}
"""The defaults of lerobot 0.6.1, `lerobot/configs/video.py`: a key frame every second picture."""


class Film:
    """A video that is being encoded. Files begin with their index, so that a reader need not fetch all of them."""

    def __init__(self, path: Path, rate: float, height: int, width: int) -> None:
        os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder writes to the terminal by itself
        import av

        self._container = av.open(str(path), "w", options={"movflags": "faststart"})
        self._stream = cast(av.VideoStream, self._container.add_stream(CODEC, _fraction(rate), options=OPTIONS))
        self._stream.pix_fmt, self._stream.height, self._stream.width = PIXELS, height, width
        with no_gain_of_priority():
            self._container.start_encoding()

    def extend(self, pictures: NDArray[np.uint8]) -> None:
        """Encode the next pictures, RGB (n, height, width, 3)."""
        import av

        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._container.mux(self._stream.encode())
        self._container.close()


def describe(path: Path, rate: float, encoded: bool) -> dict[str, Any]:
    """What info.json says of a video. encoded: by us, so that the settings are known."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = {
            "video.height": stream.height,
            "video.width": stream.width,
            "video.codec": stream.codec.canonical_name,
            "video.pix_fmt": stream.pix_fmt,
            "video.fps": rate,
            "video.channels": 3,
            "has_audio": False,
            "is_depth_map": False,
        }
    if encoded:
        found |= {"video.g": 2, "video.crf": 30, "video.preset": 12, "video.fast_decode": 0}
    return found


def parameters(path: Path) -> tuple[Any, ...]:
    """What two videos must share to be one file."""
    import av

    container: Any
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shape = stream.width, stream.height, stream.pix_fmt
        found = stream.codec.canonical_name, *shape, stream.codec_context.extradata
    return tuple(found)


def join(parts: list[Path], lengths: list[int], path: Path, rate: float) -> None:
    """Put videos of so many pictures each one after the other, packet by packet."""
    import av

    period = 1 / _fraction(rate)
    source: Any
    with av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream: Any = None
        before = 0
        for part, length in zip(parts, lengths, strict=True):
            with av.open(str(part)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(video, opaque=True)
                    stream.time_base = video.time_base
                offset = int(before * period / video.time_base)
                for packet in source.demux(video):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = stream
                        target.mux(packet)
            before += length


def _fraction(rate: float) -> Fraction:
    return Fraction(rate).limit_denominator(1000)
