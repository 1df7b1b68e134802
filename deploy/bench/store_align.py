"""`bench store`, part align: frames that come late, out of order or not at all, and rows that must not be wrong.

Each message says in its own pixels or numbers which one it is, so that a row is judged by what is in it, not by the
times that came with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.bench.figure import Figure, count
from deploy.bench.store_work import Say
from robot_stack.bus import LocalBus
from robot_stack.observe import Observer
from robot_stack.spec import Record
from robot_stack.station import GRIPPER, Station, Topic

DROPPED = 0.1
"""Share of the cameras' frames that nobody sees."""

JITTER = 0.02
"""Of a frame's capture, to either side, and of its way here [s]."""

STATION = Station("bench", 6, {"front": (4, 4), "wrist": (4, 4)}, rate=10.0)
_FRAMES, _STATES = 30.0, 500.0  # a second


@dataclass(frozen=True)
class Messages:
    """Of one topic: when they were captured and when they arrived (n,) [s]; a message's number is its place here."""

    topic: Topic
    captured: NDArray[np.float64]
    arrived: NDArray[np.float64]

    def newest(self, time: float, asked: float) -> int:
        """The number of the last one captured at or before `time`, of those that had arrived when it was asked."""
        known = np.flatnonzero((self.captured <= time) & (self.arrived <= asked))
        return int(known[np.argmax(self.captured[known])])


def measure(config: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    """Rows of the Observer against the generator's truth: asked when all of it has come, and at once, as rows are."""
    rows = int(config["align_rows"])
    say(f"{rows} rows of frames that drop and jitter")
    later, at_once = align(rows, seed=11, wait=1 / STATION.rate), align(rows, seed=11, wait=0.0)
    what = f"align {rows} rows"
    return [
        count(f"{what}: misaligned", later.wrong, 0),
        count(f"{what}, made at once: misaligned, by what had come", at_once.wrong, 0),
        count(f"{what}, made at once: with a newer frame still on its way", at_once.early),
        count(f"{what}: frames dropped, {DROPPED:.0%}", later.dropped),
        count(f"{what}: frames overtaken, {JITTER * 1e3:.0f} ms jitter", later.overtaken),
    ]


@dataclass(frozen=True)
class Aligned:
    """Rows in which a stream is not the newest that had come; rows before whose making the newest had not come; frames
    that were dropped; frames that another one overtook."""

    wrong: int
    early: int
    dropped: int
    overtaken: int


def align(rows: int, seed: int, wait: float) -> Aligned:
    """Rows of all streams, each made `wait` after its time [s]."""
    generator = np.random.default_rng(seed)
    seconds = (rows + 5) / STATION.rate
    cameras = [_messages(STATION.camera(name), _FRAMES, seconds, generator, drop=True) for name in STATION.cameras]
    others = [
        _messages(topic, hertz, seconds, generator) for topic, hertz in ((STATION.control, _STATES), (GRIPPER, _FRAMES))
    ]
    streams = [*cameras, *others]
    wrong = early = 0
    for time, seen in _observed(streams, rows, wait):
        wrong += seen is None or _numbers(seen) != [stream.newest(time, time + wait) for stream in streams]
        early += any(camera.newest(time, np.inf) != camera.newest(time, time + wait) for camera in cameras)
    lost = sum(round(seconds * _FRAMES) - len(camera.captured) for camera in cameras)
    overtaken = sum(int((np.diff(camera.captured[np.argsort(camera.arrived)]) < 0).sum()) for camera in cameras)
    return Aligned(wrong, early, lost, overtaken)


def _observed(streams: list[Messages], rows: int, wait: float) -> Iterator[tuple[float, Record | None]]:
    """Times of rows, and what the Observer says of them while messages arrive."""
    bus = LocalBus()
    observer = Observer(bus, STATION)
    publishers = [bus.publisher(stream.topic) for stream in streams]
    arrivals = sorted((at, place, number) for place, one in enumerate(streams) for number, at in enumerate(one.arrived))
    come = 0
    for row in range(2, rows + 2):
        time = row / STATION.rate
        while come < len(arrivals) and arrivals[come][0] <= time + wait:
            _, place, number = arrivals[come]
            publishers[place].send(_message(streams[place], number))
            observer.update()
            come += 1
        yield time, observer.at(time)


def _messages(
    topic: Topic, hertz: float, seconds: float, generator: np.random.Generator, drop: bool = False
) -> Messages:
    """Captured at `hertz`; of a camera, with jitter, and some of them dropped."""
    captured = np.arange(round(seconds * hertz)) / hertz
    arrived = captured + 0.001
    if drop:
        captured = np.maximum(0.0, captured + generator.uniform(-JITTER, JITTER, len(captured)))
        arrived = captured + generator.uniform(0.0, JITTER, len(captured)) + 0.005
        kept = generator.random(len(captured)) >= DROPPED
        kept[:2] = True  # so that the first row has one
        captured, arrived = captured[kept], arrived[kept]
    return Messages(topic, captured, arrived)


def _message(stream: Messages, number: int) -> Record:
    message = stream.topic.spec.record(time=stream.captured[number])
    if "image" in stream.topic.spec:
        message["image"] = number >> 8
        message["image"][0, 0, :] = number & 255
    elif "q" in stream.topic.spec:
        message["q"] = number
    else:
        message["opening"] = number
    return message


def _numbers(row: Record) -> list[int]:
    """Of the messages that a row is made of: cameras, arm, gripper."""
    images = [row[f"image.{name}"] for name in STATION.cameras]
    return [int(image[0, 0, 0]) + (int(image[1, 1, 0]) << 8) for image in images] + [int(row["q"][0]), int(row["grip"])]
