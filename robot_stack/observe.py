"""The one function that observes: what is recorded is what the policy sees, because both come from here."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from robot_stack.bus import Bus
from robot_stack.spec import Record
from robot_stack.station import GRIPPER, Station, Topic

SLACK = 0.5
"""How far in the past `Observer.at` may be asked, beyond the rows of `steps` [s]."""

FASTEST = 120.0  # most messages a second that are kept of a camera, gripper or world [Hz]


Tap = Callable[[str, list[Record]], None]
"""Is told the name of a topic and its new messages, oldest first."""


class Observer:
    """Makes rows of `station.row` from the newest messages of all streams.

    station: which streams there are, and their layouts. steps: how many rows back `history` will be asked for.
    tap: hears of every message that comes in.
    """

    def __init__(self, bus: Bus, station: Station, steps: int = 1, tap: Tap | None = None) -> None:
        self._station = station
        self._row = station.row
        span = (steps - 1) / station.rate + SLACK
        self._streams: dict[str, _Stream] = {}

        def add(topic: Topic, time: str, fields: Mapping[str, str], fastest: float = FASTEST) -> None:
            self._streams[topic.name] = _Stream(bus, topic, {time: "time", **fields}, span, int(span * fastest), tap)

        same = [f.name for f in station.control.spec if f.name in self._row and f.name != "time"]
        add(station.control, "state.time", dict(zip(same, same, strict=True)), 2.0 * station.control_rate)
        add(GRIPPER, "grip.time", {"grip": "opening"})
        if station.objects:
            add(station.world, "objects.time", {f"objects.{name}": f"objects.{name}" for name in station.objects})
        for camera in station.cameras:
            add(station.camera(camera), f"image.{camera}.time", {f"image.{camera}": "image"})

    def update(self) -> None:
        """Take in all messages that arrived since the last call; to be called at least every `SLACK` seconds."""
        for stream in self._streams.values():
            stream.update()

    def at(self, time: float) -> Record | None:
        """The row at `time` [s]: of each stream the newest message captured at or before it.

        None while a stream has none. Asks what `update` took in, for times up to `SLACK` and `steps` rows ago.
        """
        found = [(stream.fields, stream.at(time)) for stream in self._streams.values()]
        row = np.zeros((), self._row.dtype)
        row["time"] = time
        for fields, message in found:
            if message is None:
                return None
            for target, source in fields.items():
                row[target] = message[source]
        return row

    def history(self, time: float, steps: int) -> list[Record] | None:
        """The rows at `time` - (steps - 1) / rate, ..., `time`, oldest first; None while there is none at `time`.

        Where the streams do not reach back so far, the oldest row there is stands in for those before it.
        """
        rows = [self.at(time - back / self._station.rate) for back in range(steps)]
        if rows[0] is None:
            return None
        known = [row for row in reversed(rows) if row is not None]
        return [known[0]] * (steps - len(known)) + known

    def ages(self, time: float) -> dict[str, float]:
        """By topic: seconds from the capture of its newest message to `time`; infinite if there is none."""
        return {name: time - stream.newest for name, stream in self._streams.items()}

    def behind(self, time: float, fields: Iterable[str], limit: float) -> list[str]:
        """The topics that these fields of a row come from and whose newest message is older than `limit` [s]."""
        wanted, ages = set(fields), self.ages(time)
        return [n for n, stream in self._streams.items() if wanted & stream.fields.keys() and ages[n] > limit]


class _Stream:
    """The messages of one topic of the last `span` seconds, at most `most`, in the order of their capture.

    fields: name in the row -> name in the message.
    """

    def __init__(
        self, bus: Bus, topic: Topic, fields: Mapping[str, str], span: float, most: int, tap: Tap | None
    ) -> None:
        self.fields = fields
        self._name, self._tap = topic.name, tap
        self._subscriber = bus.subscriber(topic)
        self._span = span
        self._most = most
        self._times: list[float] = []
        self._messages: list[Record] = []

    @property
    def newest(self) -> float:
        return self._times[-1] if self._times else -np.inf

    def update(self) -> None:
        messages = self._subscriber.drain()
        if self._tap is not None and messages:
            self._tap(self._name, messages)
        for message in messages:
            time = float(message["time"])
            place = bisect_right(
                self._times, time
            )  # last, unless a restarted publisher overlapped with its predecessor
            self._times.insert(place, time)
            self._messages.insert(place, message)
        self._forget()

    def at(self, time: float) -> Record | None:
        place = bisect_right(self._times, time)
        return self._messages[place - 1] if place else None

    def _forget(self) -> None:
        """Drop what no question about the last `span` seconds can have as its answer."""
        answered = bisect_right(self._times, self.newest - self._span) - 1
        drop = max(answered, len(self._times) - self._most, 0)
        del self._times[:drop], self._messages[:drop]
