"""Episodes out of an indexed bag, and their rows by the one rule: the newest message captured at or before the row."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store.formats.ros.bag import Place
from robot_stack.store.formats.ros.mapping import DISCARD, BagMapping, Cut
from robot_stack.store.formats.ros.mcap_index import Index, Stream, Times
from robot_stack.store.formats.ros.pictures import Picture, picture
from robot_stack.types import Array, Source, StoreError

BLOCK_BYTES = 16 << 20
"""Rows of one block [bytes]."""

LONGEST = 7 * 86400.0
"""No episode is longer [s]."""

SILENCE = 1.0
"""A stream that stops so much before its episode does is worth a sentence [s]."""


class Span(NamedTuple):
    """One episode of a bag. start, stop: the first and the last instant of it [ns].

    alone: messages before `start` do not count, as after a long silence.
    """

    start: int
    stop: int
    alone: bool
    verdict: str = ""
    note: str = ""

    def part(self, times: Times) -> slice:
        """Which of the rising times of a stream belong to it; of those before it, the one that holds at its start."""
        first = int(np.searchsorted(times, self.start, "left" if self.alone else "right"))
        return slice(first if self.alone else max(0, first - 1), int(np.searchsorted(times, self.stop, "right")))

    def row_times(self, streams: list[Stream], rate: float) -> Times:
        """The times of its rows (T,) [ns]: from when there is a message of every stream on; none if that never is."""
        parts = [stream.times[self.part(stream.times)] for stream in streams]
        if any(not len(part) for part in parts):
            return np.zeros(0, np.int64)
        first = max(self.start, *(int(part[0]) for part in parts))
        if first > self.stop:
            return np.zeros(0, np.int64)
        if self.stop - first > LONGEST * 1e9:
            raise StoreError(
                f"an episode of {(self.stop - first) / 86400e9:,.0f} days, from {first / 1e9:.3f} to "
                f"{self.stop / 1e9:.3f} s: a time in the bag is damaged; `episodes: {{gap: 60}}` cuts it off"
            )
        steps = int((self.stop - first) * rate / 1e9) + 1
        times: Times = first + np.rint(np.arange(steps) * (1e9 / rate)).astype(np.int64)
        return times[times <= self.stop]


def spans(index: Index, cut: Cut) -> list[Span]:
    """The episodes of a bag, in order; those to be discarded are not among them."""
    if cut.topic:
        return [span for span in _by_event(index, cut) if span.verdict != DISCARD]
    ends = [(int(stream.times[0]), int(stream.times[-1])) for stream in index.streams]
    whole = Span(min(first for first, _ in ends), max(last for _, last in ends), alone=True)
    return _by_gap(index, cut.gap) if cut.gap else [whole]


def _by_gap(index: Index, gap: float) -> list[Span]:
    times = np.sort(np.concatenate([stream.times for stream in index.streams]))
    breaks = np.flatnonzero(np.diff(times) > gap * 1e9)
    starts, stops = times[np.concatenate([[0], breaks + 1])], times[np.concatenate([breaks, [len(times) - 1]])]
    return [Span(int(start), int(stop), alone=True) for start, stop in zip(starts, stops, strict=True)]


def _by_event(index: Index, cut: Cut) -> Iterator[Span]:
    end = max(int(stream.times[-1]) for stream in index.streams)
    verdicts = dict(cut.stop)
    began: int | None = None
    for time, word in index.events:
        starts = word in cut.start if cut.start else _is_true(word)
        stops = word in verdicts if cut.start else not starts
        if starts and began is None:
            began = time
        elif stops and began is not None:
            yield Span(began, time, alone=False, verdict=verdicts.get(word, ""))
            began = None
    if began is not None:
        yield Span(began, max(began, end), alone=False, note=f"{cut.topic} did not end it: it ends with its bag")


def _is_true(word: str) -> bool:
    return word not in ("false", "", "0", "0.0")


def make_spec(streams: list[Stream]) -> Spec:
    """A row: its time, each field with the time of its capture, and who commanded."""
    fields = [Field("time", unit="s")]
    for stream in streams:
        for field, shape in zip(stream.fields, stream.shapes, strict=True):
            depth = field.name.startswith("depth.")
            dtype = ("u2" if depth else "u1") if field.is_picture else "f8"
            unit = field.unit or ("mm" if depth else "")
            fields += [Field(field.name, shape, dtype, unit, field.frame), Field(f"{field.name}.time", unit="s")]
    return Spec([*fields, Field("source", dtype="u1")])


def seconds(times: Any, origin: int) -> Array:
    """Times [ns] as they are in rows: since `origin` [s], in which a float resolves nanoseconds over months."""
    return np.asarray((np.asarray(times, np.int64) - origin) / 1e9)


class Reader:
    """Makes the rows of one episode. repairs: what had to be done, complete after the rows were read."""

    def __init__(self, index: Index, span: Span, spec: Spec, mapping: BagMapping, origin: int) -> None:
        self.repairs = [span.note] if span.note else []
        self._index, self._span, self._spec, self._origin = index, span, spec, origin
        self._source: Source = mapping.source
        self._times = span.row_times(index.streams, mapping.rate)
        self._pictures = {
            stream.fields[0].name: _Pictures(index, stream) for stream in index.streams if stream.is_picture
        }

    def rows(self) -> Iterator[NDArray[np.void]]:
        """Blocks of rows (n,) of bounded size."""
        size = max(1, BLOCK_BYTES // self._spec.dtype.itemsize)
        try:
            for start in range(0, len(self._times), size):
                yield self._block(self._times[start : start + size])
        finally:
            self._index.bag.close()
        for stream in self._index.streams:
            self.repairs += self._silence(stream)
        for pictures in self._pictures.values():
            self.repairs += pictures.repairs

    def _block(self, times: Times) -> NDArray[np.void]:
        rows = np.zeros(len(times), self._spec.dtype)
        rows["time"] = seconds(times, self._origin)
        rows["source"] = self._source
        for stream in self._index.streams:
            newest = np.searchsorted(stream.times, times, "right") - 1  # (n,)
            if stream.is_picture:
                newest = self._put_pictures(rows, stream, newest)
            else:
                values = np.asarray(stream.records()["values"][stream.order[newest]])  # (n, numbers)
                put_numbers(rows, stream, values)
            for field in stream.fields:
                rows[f"{field.name}.time"] = seconds(stream.times[newest], self._origin)
        return rows

    def _put_pictures(self, rows: NDArray[np.void], stream: Stream, newest: Times) -> Times:
        """Set the pictures; return which ones they are, earlier ones where the newest cannot be read."""
        first = self._span.part(stream.times).start
        name = stream.fields[0].name
        used = newest.copy()
        for row, number in enumerate(newest.tolist()):
            used[row], rows[name][row] = self._pictures[name].readable(number, first)
        return used

    def _silence(self, stream: Stream) -> list[str]:
        times = stream.times[self._span.part(stream.times)]
        silent = (self._span.stop - int(times[-1])) / 1e9 if len(times) else 0.0
        if len(times) < 3 or silent <= max(SILENCE, 10e-9 * float(np.median(np.diff(times)))):
            return []
        return [f"{stream.topic} stops {silent:.1f} s before the episode: its last message stands in the rows after it"]


class _Pictures:
    """The pictures of one stream, decoded one after the other."""

    def __init__(self, index: Index, stream: Stream) -> None:
        self._index, self._stream = index, stream
        self._type = index.bag.topics[stream.topic].type
        self._records = stream.records()
        self._damaged: dict[int, str] = {}
        self._last: tuple[int, Picture] | None = None

    @property
    def repairs(self) -> list[str]:
        if not self._damaged:
            return []
        number, why = next(iter(self._damaged.items()))
        return [
            f"{len(self._damaged)} pictures of {self._stream.topic} cannot be read, the ones before them stand in; "
            f"the first, captured at {self._stream.times[number] / 1e9:.6f} s: {why}"
        ]

    def readable(self, number: int, first: int) -> tuple[int, Picture]:
        """The `number`-th captured picture or, while it cannot be read, the one before it, down to `first`."""
        for candidate in range(number, first - 1, -1):
            if candidate not in self._damaged and (image := self._read(candidate)) is not None:
                return candidate, image
        why = next(iter(self._damaged.values()))
        raise StoreError(f"{self._index.bag.name}: the first pictures of {self._stream.topic} cannot be read: {why}")

    def _read(self, number: int) -> Picture | None:
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        record = self._records[self._stream.order[number]]
        data = self._index.bag.files[int(record["file"])].read(Place(int(record["at"]), int(record["inside"])))
        try:
            depth = self._stream.fields[0].name.startswith("depth.")
            image = picture(self._index.types.decode(data, self._type), depth)
        except StoreError as error:
            self._damaged[number] = str(error)
            return None
        if image.shape != self._stream.shapes[0]:
            height, width = image.shape[:2]
            raise StoreError(
                f"{self._index.bag.name}: the picture of {self._stream.topic} captured at "
                f"{self._stream.times[number] / 1e9:.6f} s is {width} x {height}, the first was "
                f"{self._stream.shapes[0][1]} x {self._stream.shapes[0][0]}: cut the bag where its size changes"
            )
        self._last = (number, image)
        return image


def put_numbers(rows: NDArray[np.void], stream: Stream, values: Array) -> None:
    """Set the fields of a stream in rows (n,) from its records' values (n, numbers)."""
    at = 0
    for field, shape in zip(stream.fields, stream.shapes, strict=True):
        size = int(np.prod(shape, dtype=int))
        rows[field.name] = values[:, at : at + size].reshape(-1, *shape)
        at += size
