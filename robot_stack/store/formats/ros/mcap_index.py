"""One pass over a bag: when each message was captured, where it lies, and the numbers that the fields take out of it.

What is kept goes to files in a scratch folder, one a stream, so that memory does not grow with the bag: 16 bytes a
message stay in memory (its time and its place in the order of capture).
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.progress import bar
from robot_stack.store.formats.ros.bag import Topic
from robot_stack.store.formats.ros.bags import Bag, Found
from robot_stack.store.formats.ros.mapping import RECEIVED, STAMP, BagMapping, FieldMap
from robot_stack.store.formats.ros.pictures import is_rounded, picture
from robot_stack.store.formats.ros.ros_types import RosTypes
from robot_stack.store.formats.ros.values import Extractor, OtherJointsError, follow, parse_path
from robot_stack.types import Array, ConfigError, StoreError

BLOCK = 1024
"""Messages of a stream between two writes to its file."""

AHEAD = 5e-3
"""Stamps so much later than their reception, in the median, are of another clock [s]."""

FAR = 3600.0
"""A stamp so much further from its reception than those of the topic are in the median is no time of capture [s]."""

Times = NDArray[np.int64]


@dataclass
class Stream:
    """The messages of one topic that some fields are made of. times: of capture, rising (N,) [ns].

    order: position in the file of the N-th captured. sizes: how many numbers each field has, in the records' `values`.
    lag: median from capture to reception [s].
    """

    topic: str
    fields: list[FieldMap]
    shapes: list[tuple[int, ...]]
    clock: str
    times: Times
    order: Times
    lag: float
    path: Path
    dtype: np.dtype[np.void]

    def records(self) -> NDArray[np.void]:
        """All messages as they came in the file: received, file, at, inside, values."""
        return np.memmap(self.path, self.dtype, "r")

    @property
    def is_picture(self) -> bool:
        return self.fields[0].is_picture


@dataclass
class Index:
    """A bag after its pass. events: of the topic that cuts episodes, (time [ns], value), in order."""

    bag: Bag
    types: RosTypes
    streams: list[Stream]
    events: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def index(bag: Bag, mapping: BagMapping, scratch: Path) -> Index:
    """Read a bag once. scratch: a folder for its files."""
    wanted = {field.topic for field in mapping.fields} | ({mapping.cut.topic} - {""})
    topics = _mapped(bag, wanted)
    types = RosTypes(bag.name, topics, mapping.definitions)
    groups = list(_groups(mapping.fields).values())
    collectors = [_Collector(bag.name, group, topics, types, scratch / f"{n}") for n, group in enumerate(groups)]
    events: list[tuple[int, str]] = []
    by_topic: dict[str, list[_Collector]] = {}
    for collector in collectors:
        by_topic.setdefault(collector.topic, []).append(collector)
    total = sum(topic.count for topic in topics.values())
    with bar(f"reading {bag.name}", total) as progress:
        for number, found in enumerate(bag.messages(wanted)):
            name = found.message.topic
            message = _decode(bag.name, types, topics[name], found) if _is_decoded(name, by_topic, mapping) else None
            for collector in by_topic.get(name, ()):
                collector.add(found, message)
            if name == mapping.cut.topic:
                value = follow(message, parse_path(mapping.cut.path))
                events.append((_time(found, types.has_header(topics[name].type)), _word(value)))
            if number % BLOCK == 0:
                progress.update(number)
        progress.update(total)
    streams = [collector.finish() for collector in collectors]
    warnings = [*bag.warnings, *types.warnings, *(told for collector in collectors for told in collector.warnings)]
    return Index(bag, types, streams, sorted(events), warnings)


def _mapped(bag: Bag, wanted: Iterable[str]) -> dict[str, Topic]:
    """The wanted topics, all there and with messages."""
    topics = bag.topics
    listing = "\n".join(f"  {topic.name}  {topic.type}  {topic.count} messages" for topic in topics.values())
    if missing := sorted(name for name in wanted if name not in topics):
        raise ConfigError(f"{bag.name} has no topic {' and no '.join(missing)}; there are:\n{listing}")
    if silent := sorted(name for name in wanted if not topics[name].count):
        raise StoreError(
            f"{bag.name} has no message of {' and none of '.join(silent)}: take it out of the mapping, or "
            f"leave this bag out; there are:\n{listing}"
        )
    return {name: topics[name] for name in wanted}


def _groups(fields: Iterable[FieldMap]) -> dict[tuple[Any, ...], list[FieldMap]]:
    """Fields that are made of the same messages of the same topic."""
    groups: dict[tuple[Any, ...], list[FieldMap]] = {}
    for one in fields:
        key = (one.topic, one.time, one.offset, one.joints, one.name if one.is_picture else "")
        groups.setdefault(key, []).append(one)
    return groups


def _is_decoded(topic: str, collectors: dict[str, list["_Collector"]], mapping: BagMapping) -> bool:
    """Whether the messages have to be decoded in this pass: pictures are, when they are needed."""
    return topic == mapping.cut.topic or any(c.needs_message for c in collectors.get(topic, ()))


def _decode(bag: str, types: RosTypes, topic: Topic, found: Found) -> Any:
    try:
        return types.decode(found.message.data, topic.type)
    except StoreError as error:
        raise StoreError(f"{bag}: {_which(found)}: {error}; its definition in the bag is of another type") from error


def _which(found: Found) -> str:
    return f"the message of {found.message.topic} that was received at {found.message.received / 1e9:.6f} s"


def _word(value: Any) -> str:
    """A value as it is compared with `start` and `stop`: true and false for switches."""
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value)


def _time(found: Found, has_header: bool) -> int:
    """The stamp of a message, or when it was received where it has none [ns]."""
    return (_stamp(found.message.data) if has_header else 0) or found.message.received


def _stamp(data: bytes | memoryview) -> int:
    """header.stamp of an encoded message whose first field is a header [ns]; 0: not set."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


class _Collector:
    """Takes in the messages of one stream."""

    def __init__(self, bag: str, fields: list[FieldMap], topics: dict[str, Topic], types: RosTypes, path: Path) -> None:
        self.topic = fields[0].topic
        self.warnings: list[str] = []
        self.needs_message = True
        self._bag, self._fields, self._types, self._path = bag, fields, types, path
        self._type = topics[self.topic].type
        self._has_header = types.has_header(self._type)
        self._offset = round(fields[0].offset * 1e9)
        self._extractors = [] if fields[0].is_picture else [Extractor(one) for one in fields]
        self._shapes: list[tuple[int, ...]] = []
        self._dtype: np.dtype[np.void] | None = None
        self._filled, self._others, self._unfinished, self._unreadable = 0, 0, 0, 0
        if fields[0].time == STAMP and not self._has_header:
            raise ConfigError(f"{self.topic} ({self._type}) has no header.stamp: write `time: {RECEIVED}`")

    def add(self, found: Found, message: Any) -> None:
        """Note a message. message: decoded, where this stream needs it."""
        try:
            values = self._values(message)
        except OtherJointsError:
            self._others += 1
            return
        except (ConfigError, StoreError) as error:
            raise type(error)(f"{self._bag}: {_which(found)} ({self._type}): {error}") from error
        if values is None:
            return
        if not np.isfinite(values).all():
            self._unfinished += 1
            return
        if self._dtype is None:
            self._begin(values)
        stamp = _stamp(found.message.data) if self._has_header else 0
        place = found.message.place
        self._block[self._filled] = (stamp, found.message.received, found.file, place.at, place.inside, values)
        self._filled += 1
        if self._filled == BLOCK:
            self._flush()

    def finish(self) -> Stream:
        """The stream, sorted by time of capture."""
        self._flush()
        if self._dtype is None:
            raise StoreError(self._nothing())
        records = np.memmap(self._path, self._dtype, "r")
        times, kept, clock = self._clock(np.array(records["stamp"]), np.array(records["received"]))
        times += self._offset
        order = np.argsort(times, kind="stable")
        lag = float(np.median(records["received"][kept] - times)) / 1e9
        self._tell(int((np.diff(times) < 0).sum()), lag, clock)
        return Stream(
            self.topic, self._fields, self._shapes, clock, times[order], kept[order], lag, self._path, self._dtype
        )

    def _values(self, message: Any) -> Array | None:
        """The numbers of all fields (n,); none of a picture, or None while there is no readable one."""
        if self._extractors:
            parts = [extract(message) for extract in self._extractors]
            if not self._shapes:
                self._shapes = [
                    () if e.is_scalar else (len(part),) for e, part in zip(self._extractors, parts, strict=True)
                ]
            return np.concatenate(parts)
        if not self._shapes:
            try:
                self._shapes = [picture(message, depth=self._fields[0].name.startswith("depth.")).shape]
            except StoreError as error:
                self._unreadable, self._why = self._unreadable + 1, error
                return None
            self.needs_message = False
            if is_rounded(message):
                self.warnings.append(
                    f"{self._bag}: the distances of {self.topic} are rounded to 1 mm; those that are none are 0"
                )
        return np.zeros(0)

    def _begin(self, values: Array) -> None:
        numbers = [("stamp", "i8"), ("received", "i8"), ("file", "i4"), ("at", "i8"), ("inside", "i8")]
        self._dtype = np.dtype([*numbers, ("values", "f8", values.shape)])
        self._block = np.zeros(BLOCK, self._dtype)

    def _flush(self) -> None:
        if self._filled:
            with self._path.open("ab") as file:
                file.write(self._block[: self._filled].tobytes())
            self._filled = 0

    def _clock(self, stamps: Times, received: Times) -> tuple[Times, Times, str]:
        """Times of capture, which messages have one, and by which clock."""
        everything = np.arange(len(stamps))
        if self._fields[0].time == RECEIVED or not self._has_header:
            return received, everything, RECEIVED
        kept = np.flatnonzero(stamps)
        if not len(kept) and self._fields[0].time == STAMP:
            raise StoreError(f"{self._bag}: no message of {self.topic} has its stamp set: write `time: {RECEIVED}`")
        if not len(kept):
            self.warnings.append(f"{self._bag}: the stamps of {self.topic} are all 0: the time of reception counts")
            return received, everything, RECEIVED
        if left := len(stamps) - len(kept):
            self.warnings.append(
                f"{self._bag}: {left} of {len(stamps)} messages of {self.topic} without stamp left out"
            )
        times = stamps[kept]
        lag = received[kept] - times
        near = np.abs(lag - np.median(lag)) <= FAR * 1e9
        if left := len(near) - int(near.sum()):
            self.warnings.append(f"{self._bag}: {left} messages of {self.topic} left out: their stamps are far off")
        return times[near], kept[near], STAMP

    def _tell(self, disordered: int, lag: float, clock: str) -> None:
        """Say what was repaired, and what looks wrong."""
        about = f"of {self.topic}"
        if disordered:
            self.warnings.append(
                f"{self._bag}: {disordered} messages {about} were out of order: sorted by capture time"
            )
        if self._unfinished:
            self.warnings.append(f"{self._bag}: {self._unfinished} messages {about} with NaN or infinity left out")
        if self._others:
            self.warnings.append(f"{self._bag}: {self._others} messages {about} without these joints left out")
        if self._unreadable:
            self.warnings.append(
                f"{self._bag}: the first {self._unreadable} pictures {about} left out: they cannot be read"
            )
        if clock == STAMP and lag < -AHEAD:
            self.warnings.append(
                f"{self._bag}: the stamps {about} are {-lag:.3f} s later than their reception: its clock is ahead; "
                f"`offset: {lag:.3f}` would bring it back"
            )

    def _nothing(self) -> str:
        """Why not one message could be used."""
        names = ", ".join(one.name for one in self._fields)
        if self._unreadable:
            return f"{self._bag}: no picture of {self.topic} can be read ({names}): {self._why}"
        if self._unfinished:
            return f"{self._bag}: all {self._unfinished} messages of {self.topic} have NaN or infinity in {names}"
        if self._others:
            wanted = ", ".join(self._fields[0].joints)
            return f"{self._bag}: none of the {self._others} messages of {self.topic} has the joints {wanted} ({names})"
        return f"{self._bag}: no whole message of {self.topic} ({names}): it was cut before the first"
