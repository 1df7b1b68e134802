"""Between video chunks and mp4 files, packet by packet: nothing is decoded, so nothing is lost, and it is fast."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from robot_stack.store.codecs.video import pyav
from robot_stack.types import StoreError

_RAW = {"av1": "obu", "h264": "h264"}
"""FFmpeg's names of the files that are nothing but packets."""

_FILTER = {"av1": "null", "h264": "h264_mp4toannexb"}
"""What makes the packets of an mp4 file decodable by themselves: it keeps the parameters of H.264 in its header."""


@dataclass(frozen=True)
class Group:
    """One closed GOP of a file: packets as they are decoded, and when its frames are shown, rising [s]."""

    packets: list[bytes]
    times: list[float]


def read(path: Path) -> tuple[str, Iterator[Group]]:
    """The name of the codec of a file, and its groups in order: `video.from_packets` makes a chunk of each.

    StoreError when there is no AV1 or H.264 in it, or it cannot be read, or its groups need each other.
    """
    with _stream(path) as (_, stream):
        name = stream.codec.canonical_name
    if name not in _RAW:
        raise StoreError(f"{path} is {name}, expected one of {', '.join(_RAW)}; its pictures must be encoded again")
    return name, _groups(path, name)


def write(path: Path, name: str, groups: Iterable[Sequence[bytes]], rate: float) -> None:
    """Write the packets of chunks, as `video.packets` gives them, to an mp4 file of that rate [Hz]."""
    av = pyav()
    period = 1 / Fraction(rate).limit_denominator(1000)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream: Any = None
        number = 0
        for group in groups:
            if stream is None:
                with av.open(io.BytesIO(b"".join(group)), format=_RAW[name]) as first:
                    stream = target.add_stream_from_template(first.streams.video[0], opaque=True)
            for place, content in enumerate(group):
                packet = av.Packet(content)
                packet.stream, packet.time_base, packet.is_keyframe = stream, period, place == 0
                packet.pts = packet.dts = number
                packet.duration = 1
                target.mux(packet)
                number += 1


def _groups(path: Path, name: str) -> Iterator[Group]:
    packets: list[bytes] = []
    times: list[float] = []
    with _stream(path) as (container, stream):
        alone = pyav().bitstream.BitStreamFilterContext(_FILTER[name], stream)
        for whole in container.demux(stream):
            for packet in alone.filter(whole) if whole.size else ():
                if packet.is_keyframe and packets:
                    yield _closed(path, packets, times, float(packet.pts * stream.time_base))
                    packets, times = [], []
                packets.append(bytes(packet))
                times.append(float(packet.pts * stream.time_base))
    if packets:
        yield _closed(path, packets, times, float("inf"))


def _closed(path: Path, packets: list[bytes], times: list[float], following: float) -> Group:
    """A group that is shown from its first packet on and before the next one; any other leans on its neighbour."""
    if min(times) < times[0] or max(times) >= following:
        raise StoreError(f"{path} has groups of pictures that need each other, at {times[0]:.3f} s: encode it again")
    return Group(packets, sorted(times))


@contextmanager
def _stream(path: Path) -> Iterator[tuple[Any, Any]]:
    av = pyav()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise StoreError(f"{path} has no video in it")
            yield container, container.streams.video[0]
    except (av.FFmpegError, OSError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}): it is missing, or was not written or copied whole"
        ) from error
