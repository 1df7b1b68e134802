"""Imports MCAP files and rosbag2 folders by a mapping file: see docs/mcap.md.

Times in rows and streams are seconds since the bag's first whole second; `clock_offset` brings them back to the epoch.
"""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.store.formats.protocol import Stream
from robot_stack.store.formats.ros.bags import Bag, find_bags
from robot_stack.store.formats.ros.mapping import BagMapping, read_mapping
from robot_stack.store.formats.ros.mcap_index import Index, index
from robot_stack.store.formats.ros.mcap_index import Stream as BagStream
from robot_stack.store.formats.ros.rows import Reader, Span, make_spec, seconds, spans
from robot_stack.store.formats.ros.suggest import suggest
from robot_stack.types import ConfigError, StoreError

CLOCKS_APART = 1.0
"""Streams that do not overlap, and whose times from capture to reception differ by more, are of two clocks [s]."""


class McapSource:
    """Bags to import from. mapping: the YAML file. rate: rows a second, instead of the mapping's [Hz].

    Episodes of several bags in one folder follow each other.
    """

    def __init__(self, path: str, mapping: str | None = None, rate: float | None = None) -> None:
        self.name = Path(path).resolve().name
        bags = find_bags(Path(path))
        if mapping is None:
            raise ConfigError(suggest(bags[0], self.name))
        self._mapping = read_mapping(Path(mapping), rate)
        scratch = Path(tempfile.mkdtemp(prefix="robot-stack-import-"))
        weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        self._indexes = [_index(bag, self._mapping, scratch / f"{n}") for n, bag in enumerate(bags)]
        self.spec = make_spec(self._indexes[0].streams)
        self._check_alike()
        for one in self._indexes:
            _check_clocks(one)
        self._episodes = [(one, span) for one in self._indexes for span in spans(one, self._mapping.cut)]
        self._repairs: dict[int, list[str]] = {}
        self.fingerprint = self._hash()
        self.station = {
            "name": self._mapping.task or self.name,
            "robot": self._mapping.robot,
            "rate": self._mapping.rate,
        }
        self.warnings = [sentence for one in self._indexes for sentence in one.warnings]
        self.warnings += [told for number in range(len(self)) for told in self._why_empty(number)]
        if not self._episodes:
            raise StoreError(f"{self.name}: {self._mapping.cut.topic} begins no episode; its values: {self._values()}")

    def __len__(self) -> int:
        return len(self._episodes)

    def attrs(self, number: int) -> dict[str, Any]:
        """Attributes of an episode. clocks: by field, what its times are measured by."""
        one, span = self._episodes[number]
        mapping = self._mapping
        began = datetime.fromtimestamp(self._started(number) / 1e9, UTC)
        return {
            "kind": "import",
            "task": mapping.task,
            "operator": mapping.operator,
            "verdict": span.verdict or mapping.verdict,
            "time_source": "measured",
            "started": began.isoformat(timespec="milliseconds"),
            "clock_offset": _origin(one) / 1e9,
            "bag": one.bag.name,
            "clocks": {field.name: stream.clock for stream in one.streams for field in stream.fields},
        }

    def rows(self, number: int) -> Iterator[NDArray[np.void]]:
        """Blocks of rows of an episode."""
        one, span = self._episodes[number]
        reader = Reader(one, span, self.spec, self._mapping, _origin(one))
        yield from reader.rows()
        self._repairs[number] = reader.repairs

    def repairs(self, number: int) -> list[str]:
        """What was repaired in an episode, once its rows were read."""
        return self._repairs.get(number, [])

    def streams(self, number: int) -> dict[str, Stream]:
        """Every message of every topic in the episode: its time, when it was received, and its numbers."""
        one, span = self._episodes[number]
        names: dict[str, Stream] = {}
        for stream in one.streams:
            name = stream.topic.strip("/").replace("/", ".")
            if name in names:  # fields of other joints, or with another offset, of the same topic
                name = f"{name}.{stream.fields[0].name}"
            names[name] = _raw(stream, span, _origin(one))
        return names

    def _hash(self) -> str:
        """SHA-256 of the mapping and of all times of capture [hex]."""
        sha = hashlib.sha256(self._mapping.fingerprint.encode())
        for one in self._indexes:
            for stream in one.streams:
                sha.update(f"{one.bag.name} {stream.topic}".encode())
                sha.update(stream.times)
        return sha.hexdigest()

    def _check_alike(self) -> None:
        """All bags must give the same rows."""
        for one in self._indexes[1:]:
            if different := self.spec.difference(make_spec(one.streams)):
                first = self._indexes[0].bag.name
                raise StoreError(
                    f"{one.bag.name} gives other rows than {first}: {'; '.join(different)}. Import it alone"
                )

    def _started(self, number: int) -> int:
        """The time of the first row [ns], or of the beginning of an episode without rows."""
        one, span = self._episodes[number]
        times = span.row_times(one.streams, self._mapping.rate)
        return int(times[0]) if len(times) else span.start

    def _why_empty(self, number: int) -> list[str]:
        one, span = self._episodes[number]
        if len(span.row_times(one.streams, self._mapping.rate)):
            return []
        silent = [stream.topic for stream in one.streams if not len(stream.times[span.part(stream.times)])]
        return [f"episode {number} of {one.bag.name} has no rows: no message of {' and none of '.join(silent)} in it"]

    def _values(self) -> str:
        words = dict.fromkeys(word for one in self._indexes for _, word in one.events)
        return ", ".join(map(repr, list(words)[:10])) or "none"


def _index(bag: Bag, mapping: BagMapping, folder: Path) -> Index:
    folder.mkdir()
    try:
        return index(bag, mapping, folder)
    finally:
        bag.close()


def _origin(one: Index) -> int:
    """What the times of a bag are counted from [ns]: the last whole second before its first message."""
    first = min(int(stream.times[0]) for stream in one.streams)
    return first - first % 1_000_000_000


def _raw(stream: BagStream, span: Span, origin: int) -> Stream:
    part = span.part(stream.times)
    records = stream.records()[stream.order[part]]
    columns = ["time", "received"]
    for field, shape in zip(stream.fields, stream.shapes, strict=True):
        if not stream.is_picture:
            columns += [field.name] if shape == () else [f"{field.name}.{number}" for number in range(shape[0])]
    times = [seconds(stream.times[part], origin), seconds(records["received"], origin)]
    return Stream(columns, np.column_stack([*times, records["values"]]))


def _check_clocks(one: Index) -> None:
    """Raise StoreError when the streams cannot be of one clock."""
    late = max(one.streams, key=lambda stream: int(stream.times[0]))
    early = min(one.streams, key=lambda stream: int(stream.times[-1]))
    lags = [stream.lag for stream in one.streams]
    if late.times[0] > early.times[-1] and max(lags) - min(lags) > CLOCKS_APART:
        spans = "\n".join(
            f"  {stream.topic}  {stream.times[0] / 1e9:.3f} to {stream.times[-1] / 1e9:.3f} s by {stream.clock}"
            for stream in one.streams
        )
        raise StoreError(
            f"{one.bag.name}: {early.topic} ends before {late.topic} begins, because their clocks differ:\n{spans}\n"
            "Write `time: receive` for the one whose clock is another, or an `offset:` in seconds"
        )
