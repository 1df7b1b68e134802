"""The recorder: rows of the Observer, on a grid of absolute deadlines, and every message beside them, into the store.

What is stored is what the policy sees: both ask the one Observer. An episode is written to disk row by row; if this
process is killed, the next one salvages what was there when it starts.
"""

import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy import cell
from deploy.worker import Context
from robot_stack.bus import Bus
from robot_stack.clock import Clock, Rate, now
from robot_stack.observe import Observer
from robot_stack.raw import raw_streams
from robot_stack.spec import Record
from robot_stack.station import EPISODE, RECORDING, Station
from robot_stack.store import EpisodeWriter, Store
from robot_stack.store.store import CODEC
from robot_stack.types import StoreError

CATCH_UP = 0.25
"""So long after a deadline its row can still be made of the messages that wait [s]."""

BEFORE = 0.5
"""Raw streams begin so long before the rows [s], so that what the first rows are made of is in them."""

VERDICTS = {1: "success", 0: "failure", -1: "unknown"}
log = logging.getLogger(__name__)


class Recorder:
    """Writes the episodes that the topic `episode` asks for. attrs: what to store with each of them."""

    def __init__(self, bus: Bus, station: Station, store: Store, attrs: Mapping[str, Any], clock: Clock = now) -> None:
        self.store = store
        self.attrs = attrs
        self.missed = 0
        self.committed = 0
        self._clock = clock
        self._since = clock()
        self._streams = raw_streams(station)
        self._recent: dict[str, deque[NDArray[np.float64]]] = {name: deque() for name in self._streams}
        self._observer = Observer(bus, station, tap=self._log)
        self._operator = bus.subscriber(station.operator, keep=station.operator.depth)
        self._episode = bus.subscriber(EPISODE, keep=EPISODE.depth)
        self._publisher = bus.publisher(RECORDING)
        self._writer: EpisodeWriter | None = None
        self._number = -1
        self._begun = 0.0  # when the open episode was wanted [s]

    def catch_up(self, time: float, period: float, skipped: int) -> None:
        """Take the row at `time`, and those of the deadlines skipped before it as far as can be, every `period` [s].

        Messages wait for a recorder that was held up, and a row is made of what was measured at its time.
        """
        late = min(skipped, int(CATCH_UP / period))
        self.step(time - late * period, skipped - late)
        for back in reversed(range(late)):
            self.step(time - back * period)

    def step(self, time: float, missed: int = 0) -> None:
        """Take the row at `time` [s] if one is wanted. missed: deadlines that were skipped before this one."""
        self._observer.update()
        self._log("operator", self._operator.drain())
        for wanted in self._episode.drain():
            self._follow(wanted)
        if self._writer is not None and time >= self._begun:
            row = self._observer.at(time)
            self.missed += missed + (row is None)
            if row is not None:
                self._writer.append(row)
        self._report()

    def close(self) -> None:
        """Commit an open episode without a verdict: this session ends."""
        if self._writer is not None:
            self._finish(-1)
            self._report()

    def _follow(self, wanted: Record) -> None:
        number = int(wanted["number"])
        if self._writer is not None and (number != self._number or not wanted["recording"]):
            self._finish(int(wanted["verdict"]) if number == self._number else -1)
        if wanted["recording"] and wanted["time"] >= self._since and self._writer is None:
            attrs = {**self.attrs, "seed": int(wanted["seed"]), "number": number}
            layout = {name: stream.columns for name, stream in self._streams.items()}
            self._writer = self.store.writer(attrs, layout)
            for name, blocks in self._recent.items():
                self._writer.log(name, np.concatenate([*blocks, np.empty((0, len(layout[name])))]))
            self._number, self._begun, self.missed = number, float(wanted["time"]), 0
            log.info("episode %d: recording %s", number, self._writer.id)

    def _finish(self, verdict: int) -> None:
        writer, self._writer = self._writer, None
        assert writer is not None
        rows, number, self._number = writer.rows, self._number, -1
        if rows and verdict in VERDICTS:
            writer.commit(VERDICTS[verdict], missed=self.missed)
            self.committed += 1
            log.info("episode %d: %s, %d rows, %d missed", number, VERDICTS[verdict], rows, self.missed)
        else:
            writer.discard()
            log.info("episode %d: discarded, %d rows", number, rows)

    def _log(self, topic: str, messages: list[Record]) -> None:
        """Keep the messages of a topic as they came, beside the rows; before an episode, those that it begins with."""
        if not messages:
            return
        rows = self._streams[topic].rows(messages)
        if self._writer is not None:
            self._writer.log(topic, rows)
        recent = self._recent[topic]
        recent.append(rows)
        while len(recent) > 1 and recent[0][-1, 0] < rows[-1, 0] - BEFORE:
            recent.popleft()

    def _report(self) -> None:
        rows = self._writer.rows if self._writer is not None else 0
        self._publisher.send(
            RECORDING.spec.record(
                time=self._clock(), number=self._number, rows=rows, committed=self.committed, missed=self.missed
            )
        )


def open_store(path: Path, station: Station, robot: str, codec: str = CODEC) -> Store:
    """The store at `path` for this station, made if there is none; StoreError says which field differs otherwise."""
    if not path.exists() or not any(path.iterdir()):
        path.parent.mkdir(parents=True, exist_ok=True)
        return Store.create(path, station.row, {"name": station.name, "robot": robot, "rate": station.rate}, codec)
    store = Store.open(path)
    difference = store.spec.difference(station.row)
    if difference:
        raise StoreError(f"{path} has other rows than this station: {'; '.join(difference)}; choose another store")
    return store


def run(context: Context) -> None:
    """The process: config station, robot, store (folder), codec of its pictures and attrs."""
    station = cell.from_json(context.config["station"])
    with open_store(Path(context.config["store"]), station, context.config["robot"], context.config["codec"]) as store:
        for episode in store.salvage():
            log.warning("salvaged %s, left open by a session that was killed", episode)
        recorder = Recorder(context.bus, station, store, context.config["attrs"])
        try:
            _loop(context, recorder, station.rate)
        finally:
            recorder.close()


def _loop(context: Context, recorder: Recorder, hertz: float) -> None:
    rate = Rate(hertz)
    while not context.stop():
        missed = rate.missed
        late = rate.sleep()
        start = now()
        recorder.catch_up(rate.deadline - rate.period, rate.period, rate.missed - missed)
        context.health.beat(now() - start, late)
