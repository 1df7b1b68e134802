"""Takes an episode's part of a video as it is, packet by packet: what LeRobot encoded becomes chunks of the store.

Only where that is safe: AV1 or H.264, closed groups of pictures of one length from the episode's first on, whose
chunks decode by themselves to what the whole video shows. The way back is `codecs.mp4.write`.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot_stack.store.codecs.video import Video, from_packets
from robot_stack.store.formats.lerobot import video as lerobot_video
from robot_stack.store.formats.lerobot.layout import Clip
from robot_stack.store.formats.protocol import Film

_KINDS = ("av1", "h264")
_SEQUENCE_HEADER = 1  # type of OBU, AV1 specification 5.3.1
_DELIMITER = b"\x12\x00"  # begins a temporal unit, and is left out in mp4 files


class NotCopiedError(Exception):
    """Why a video is decoded and compressed again instead."""


class _Packet(NamedTuple):
    time: float
    is_key: bool
    content: bytes


def copy_in(clip: Clip, times: NDArray[np.float64], fps: float, shape: tuple[int, ...]) -> Film:
    """The chunks of an episode whose rows show the pictures at `times` (n,) [s]; NotCopiedError says why not."""
    kind = _kind(clip)
    if any(side % 2 for side in shape[:2]):
        raise NotCopiedError(f"its pictures have an odd side: {shape[0]}x{shape[1]}")
    found = [(packet.time, packet.is_key) for packet in _read(clip, times, fps, kind)]
    shown = np.array([time for time, _ in found])  # in the order of decoding
    keys = np.flatnonzero([is_key for _, is_key in found])
    group = int(keys[1]) if len(keys) > 1 else len(found)
    if not np.array_equal(keys, np.arange(0, len(found), group)):
        raise NotCopiedError(f"its key frames are not a regular number of pictures apart: {keys[:5].tolist()}...")
    if len(shown) != len(times) or not np.allclose(shown, times, rtol=0, atol=0.25 / fps):
        raise NotCopiedError("its packets are not in the order of the rows' pictures")
    codec = Video(kind, group, None, None)
    film = Film(f"{kind}:{group}", group, lambda: _chunks(_read(clip, times, fps, kind), group))
    _check(film, codec, clip, times, fps, shape)
    return film


def _kind(clip: Clip) -> str:
    with lerobot_video.opened(clip) as container:
        name = str(container.streams.video[0].codec.canonical_name)
    if name not in _KINDS:
        raise NotCopiedError(f"it is {name}, and the store holds {' and '.join(_KINDS)}")
    return name


def _read(clip: Clip, times: NDArray[np.float64], fps: float, kind: str) -> Iterator[_Packet]:
    """The packets of the pictures from the first to the last of `times`, in the order of the file."""
    near = 0.25 / fps
    with lerobot_video.opened(clip) as container:
        stream = container.streams.video[0]
        lerobot_video.seek(container, stream, times[0], fps)
        complete = _completer(kind, stream)
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            time = float(packet.pts * stream.time_base)
            if packet.dts is not None and packet.dts * stream.time_base > times[-1] + near:
                return
            is_key = bool(packet.is_keyframe)
            content = complete(packet)
            if times[0] - near <= time <= times[-1] + near:
                yield _Packet(time, is_key, content)


def _completer(kind: str, stream: Any) -> Callable[[Any], bytes]:
    """Makes a packet of an mp4 one that decodes by itself: with its sequence header, H.264 with start codes."""
    from av.bitstream import BitStreamFilterContext

    if kind == "h264":
        annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)
        return lambda packet: b"".join(bytes(part) for part in annex_b.filter(packet))
    header = bytes(stream.codec_context.extradata or b"")[4:]  # after the fixed part of an `av1C` box

    def with_header(packet: Any) -> bytes:
        content = bytes(packet).removeprefix(_DELIMITER)
        whole = not packet.is_keyframe or _SEQUENCE_HEADER in _obu_types(content)
        return _DELIMITER + content if whole else _DELIMITER + header + content

    return with_header


def _obu_types(content: bytes) -> Iterator[int]:
    """Types of the OBUs of a temporal unit; AV1 specification 5.3.2 and 4.10.5."""
    at = 0
    while at < len(content):
        first = content[at]
        yield first >> 3 & 15
        if not first & 2:  # no size: it is the last
            return
        at += 2 if first & 4 else 1
        size = shift = 0
        while content[at] & 128:
            size |= (content[at] & 127) << shift
            at, shift = at + 1, shift + 7
        at += 1 + (size | content[at] << shift)


def _chunks(found: Iterator[_Packet], group: int) -> Iterator[bytes]:
    while content := [packet.content for packet in islice(found, group)]:
        yield from_packets(content)


def _check(
    film: Film, codec: Video, clip: Clip, times: NDArray[np.float64], fps: float, shape: tuple[int, ...]
) -> None:
    """Raise NotCopiedError unless the last chunk, alone, shows what the video shows there."""
    *_, last = film.chunks()
    first = (len(times) - 1) // film.group * film.group
    alone = np.empty((len(times) - first, *shape), np.uint8)
    codec.decode_into(last, alone)
    for one, other in zip(alone, lerobot_video.pictures(clip, times[first:], fps), strict=True):
        if np.abs(one.astype(int) - other).mean() > 4:  # two ways to make RGB of a picture differ by 1 to 2
            raise NotCopiedError("its groups of pictures do not decode by themselves")
