"""AV1 and H.264: a chunk is one closed GOP, which decodes by itself; what `data compact` makes of pictures.

Chunk: the number of packets u4, the size of each u4 (little-endian), the packets, and the chunk's CRC-32C.
Packets are as the encoder made them, sequence headers among them: temporal units of OBUs (AV1), access units in Annex B
(H.264), one for each frame. So they go into an mp4 file, and come out of one, without being encoded again.

Colours are BT.601 in limited range, 4:2:0, as in LeRobot's files. OpenCV's integer arithmetic turns them into RGB: the
same bytes on every machine, and 1.1 dB nearer to the original than swscale.
Encoders run in one thread: the same frames give the same chunk.
"""

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import import_module
from itertools import accumulate, pairwise
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.realtime import no_gain_of_priority
from robot_stack.spec import Field
from robot_stack.store.codecs import checksum
from robot_stack.types import ConfigError, StoreError

_COUNT = struct.Struct("<I")
_SMALLEST, _LARGEST = 8, 8192  # pixels of a side that all encoders take
_BT601, _LIMITED = 6, 1  # as FFmpeg numbers them: AVCOL_SPC_SMPTE170M, AVCOL_RANGE_MPEG
_AS_BT601 = (2, 5, 6)  # not said, BT.470 BG, SMPTE 170M


@dataclass(frozen=True)
class _Kind:
    """Who encodes and decodes a kind of video, by FFmpeg's names, and with what beside `crf` and `preset`."""

    encoder: str
    decoder: str
    options: Mapping[str, str]
    in_order: bool  # whether packet k holds frame k: no AV1 packet does otherwise, an H.264 file of others may


_KINDS = {
    "av1": _Kind("libsvtav1", "libdav1d", {"svtav1-params": "lp=1"}, in_order=True),
    "h264": _Kind("libx264", "h264", {"bf": "0", "x264-params": "threads=1"}, in_order=False),
}


@dataclass(frozen=True)
class Video:
    """name: 'av1' or 'h264'. group: frames in a GOP. crf, preset: the encoder's quality (less is better) and effort.

    crf and preset are None for packets that another program encoded.
    """

    name: str
    group: int
    crf: int | None
    preset: str | None
    lossless: bool = False

    def check(self, field: Field) -> None:
        """Only RGB pictures of bytes with even sides of 8 to 8192 pixels can be held, and only where PyAV is."""
        if not _fits(field.shape) or np.dtype(field.dtype) != np.uint8:
            raise ConfigError(
                f"{field.name} is {np.dtype(field.dtype)}{list(field.shape)}: {self.name} holds RGB pictures (h, w, 3) "
                f"of uint8 whose sides are even and of {_SMALLEST} to {_LARGEST} pixels; choose jpeg or zstd"
            )
        av, kind = pyav(), _KINDS[self.name]
        for name, mode in ((kind.encoder, "w"), (kind.decoder, "r")):
            try:
                av.codec.Codec(name, mode)
            except av.codec.codec.UnknownCodecError as error:
                raise _not_installed(name) from error

    def encode(self, frames: NDArray[Any]) -> bytes:
        """Compress frames (n, h, w, 3) to one closed GOP."""
        return checksum.seal(self.compress(frames))

    def decode_into(self, chunk: bytes | memoryview, out: NDArray[Any], first: int = 0) -> None:
        """The frames from number `first` on into `out` (n, h, w, 3); those before are decoded too, but not coloured."""
        content = packets(chunk)
        if first + len(out) > len(content):
            raise StoreError(f"a chunk has {len(content)} frames, expected {first + len(out)}")
        if _KINDS[self.name].in_order:
            content = content[: first + len(out)]
        self._decompress(content, out, first)

    def compress(self, frames: NDArray[Any]) -> bytes:
        """A chunk without its checksum."""
        return _pack(self._encode(frames))

    def decompress(self, content: bytes, out: NDArray[Any]) -> None:
        """All frames of a chunk, without its checksum, into the first of `out` (group, h, w, 3)."""
        found = _unpack(content)
        self._decompress(found, out[: len(found)], 0)

    def metadata(self, field: Field) -> list[dict[str, Any]]:
        """The zarr codecs `robot_stack.av1` or `robot_stack.h264`, and `crc32c`."""
        settings = {"crf": self.crf, "preset": self.preset}
        known = {key: value for key, value in settings.items() if value is not None}
        return [{"name": zarr_name(self.name), "configuration": known}, checksum.METADATA]

    def _encode(self, frames: NDArray[Any]) -> list[bytes]:
        if self.crf is None or self.preset is None:
            raise ConfigError(
                f"these {self.name} chunks come from another program: nobody said how to make more of them"
            )
        av, kind = pyav(), _KINDS[self.name]
        encoder = av.CodecContext.create(kind.encoder, "w")
        encoder.height, encoder.width = frames.shape[1:3]
        encoder.pix_fmt, encoder.colorspace, encoder.color_range = "yuv420p", _BT601, _LIMITED
        encoder.time_base, encoder.framerate = Fraction(1, 30), Fraction(30)  # of no meaning: times are in the rows
        encoder.gop_size, encoder.thread_count = self.group, 1
        encoder.options = {"crf": str(self.crf), "preset": str(self.preset), **kind.options}
        with no_gain_of_priority():
            encoder.open()
        made = []
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts = number
            made += encoder.encode(frame)
        return [bytes(packet) for packet in made + encoder.encode(None)]

    def _decompress(self, content: Sequence[bytes], out: NDArray[Any], first: int) -> None:
        decoded = 0
        for number, frame in enumerate(self._decode(content)):
            if first <= number < first + len(out):
                _colour(frame, out[number - first])
            decoded = number + 1
        if decoded < first + len(out):
            raise StoreError(f"a chunk of {self.name} is damaged: {decoded} of its {len(content)} frames decode")

    def _decode(self, content: Sequence[bytes]) -> Iterator[Any]:
        """Frames as the decoder gives them. A decoder of its own costs 0.03 ms a chunk and no thread a lock."""
        av = pyav()
        decoder = av.CodecContext.create(_KINDS[self.name].decoder, "r")
        decoder.thread_count = 1
        try:
            for packet in content:
                yield from decoder.decode(av.Packet(packet))
            yield from decoder.decode(None)
        except av.FFmpegError as error:
            raise StoreError(f"a chunk of {self.name} is damaged: {error}") from error


# Of groups of 2, 3, 4, 5, 6 and 8 frames and presets 8 to 12, only groups of 3 were smaller and nearer than LeRobot's
# on every set of pictures: 2 costs its checksums, with more the simulated scenes lose. Reading two random frames takes
# 1.05 to 1.25 times as long as of LeRobot's groups of 2.
AV1 = Video("av1", group=3, crf=30, preset="10")
H264 = Video("h264", group=3, crf=20, preset="veryfast")


def packets(chunk: bytes | memoryview) -> list[bytes]:
    """The packets of a chunk, one a frame."""
    return _unpack(checksum.unseal(chunk))


def from_packets(content: Sequence[bytes]) -> bytes:
    """The inverse of `packets`: a chunk of the packets of one closed GOP, in the order in which they are decoded."""
    return checksum.seal(_pack(content))


def zarr_name(name: str) -> str:
    """What arrays of this kind of video are called in zarr metadata."""
    return f"robot_stack.{name}"


def from_metadata(codecs: list[dict[str, Any]], chunk_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Video | None:
    """The codec that reads such an array, if it is one that `Video` writes."""
    names = {zarr_name(name): name for name in _KINDS}
    if len(codecs) != 2 or codecs[0]["name"] not in names or codecs[1] != checksum.METADATA:
        return None
    if dtype != np.uint8 or chunk_shape[3:] != (3,):
        return None
    settings = codecs[0].get("configuration", {})
    return Video(names[codecs[0]["name"]], chunk_shape[0], settings.get("crf"), settings.get("preset"))


def _pack(content: Sequence[bytes]) -> bytes:
    return b"".join([struct.pack(f"<{1 + len(content)}I", len(content), *map(len, content)), *content])


def _unpack(content: bytes) -> list[bytes]:
    count = _COUNT.unpack_from(content)[0] if len(content) >= _COUNT.size else 0
    start = _COUNT.size * (1 + count)
    if not count or start > len(content):
        raise StoreError(f"a chunk of {len(content)} bytes is no video: it counts {count} packets")
    ends = list(accumulate(struct.unpack_from(f"<{count}I", content, _COUNT.size), initial=start))
    if ends[-1] != len(content):
        raise StoreError(f"a chunk of {len(content)} bytes is no video: its packets would need {ends[-1]}")
    return [content[begin:end] for begin, end in pairwise(ends)]


def _fits(shape: tuple[int, ...]) -> bool:
    sides = shape[:2]
    even = all(_SMALLEST <= side <= _LARGEST and side % 2 == 0 for side in sides)
    return len(shape) == 3 and shape[2] == 3 and even


def _colour(frame: Any, out: NDArray[np.uint8]) -> None:
    """A decoded frame as RGB into the contiguous `out` (h, w, 3)."""
    import cv2  # 0.1 s that only who reads video waits for

    if (frame.height, frame.width, 3) != out.shape:
        raise StoreError(f"a chunk has frames of {frame.height}x{frame.width}, expected {out.shape[0]}x{out.shape[1]}")
    usual = frame.format.name == "yuv420p" and frame.colorspace in _AS_BT601 and frame.color_range != 2
    if usual:
        cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2RGB_I420, dst=out)
    else:  # of another program: as FFmpeg understands it
        out[:] = frame.to_ndarray(format="rgb24")


@cache
def pyav() -> ModuleType:
    """Imported when it is first used: it takes 0.1 s, and not every installation has it."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder writes to the terminal by itself
    try:
        return import_module("av")
    except ImportError as error:
        raise _not_installed("PyAV") from error


def _not_installed(what: str) -> ConfigError:
    return ConfigError(f"video needs {what}, which is not here: `pip install av` brings PyAV with all its codecs")
