"""Flies a stored episode again: the joints that were sent then, through the same limits as everybody else now.

From wherever the arm is, it first goes slowly to where the episode begins. When the operator takes over, the script
waits; handed back, it goes slowly to where it was left.
"""

from pathlib import Path

import numpy as np

from deploy import cell
from deploy.worker import Context
from robot_stack.clock import Rate, now
from robot_stack.spec import Record
from robot_stack.station import CHUNK_STEPS, Station
from robot_stack.store import Episode, Store
from robot_stack.types import Array, Mode, Source, StoreError, TargetKind

APPROACH = 0.3
"""Speed of the fastest joint on the way to the script [rad/s]."""
SHORTEST_APPROACH = 0.3
"""[s]"""


class Script:
    """The targets of an episode on a clock that starts when the arm is there. Pure.

    times: of the rows, rising [s]. q: (T, n) [rad]. grip: (T,) [m].
    """

    def __init__(self, times: Array, q: Array, grip: Array) -> None:
        self._times, self._q, self._grip = times - times[0], q, grip
        self._left = 0  # the row to go on from
        self._begins: float | None = None  # when the row `_left` is due; None while not flying
        self._then = 0.0  # when a chunk was last made

    def chunk(self, now: float, station: Station, here: Array, speed: float = 1.0) -> Record:
        """The next targets at `now` [s]; here: the joints that the arm is sent to (n,). speed: the override."""
        if self._begins is None:
            self._here, self._started = here, now
            way = float(np.abs(self._q[self._left] - here).max())
            self._begins = now + max(SHORTEST_APPROACH, way / APPROACH)
        else:
            lost = (1.0 - speed) * (now - self._then)  # what the override takes from the script's own clock
            self._begins, self._started = self._begins + lost, self._started + lost
        self._then = now
        times = self._begins + self._times[self._left :] - self._times[self._left]
        first = max(int(np.searchsorted(times, now)) - 1, 0)
        rows = slice(self._left + first, self._left + first + CHUNK_STEPS - 1)
        times, q, grip = times[first : first + CHUNK_STEPS - 1], self._q[rows], self._grip[rows]
        if first == 0:
            times, q, grip = np.append(self._started, times), np.vstack([self._here, q]), np.append(grip[0], grip)
        record = station.chunk.spec.record(
            time=now, observed=now, pictured=now, source=Source.SCRIPT, kind=TargetKind.JOINTS, count=len(times)
        )
        record["times"][: len(times)], record["q"][: len(times)], record["grip"][: len(times)] = times, q, grip
        return record

    def pause(self, now: float) -> None:
        """The operator flies: wait at the row that is due now."""
        if self._begins is not None:
            elapsed = now - self._begins + self._times[self._left]
            self._left = max(self._left, min(int(np.searchsorted(self._times, elapsed)), len(self._times) - 1))
            self._begins = None

    def rewind(self) -> None:
        """From the beginning, next time."""
        self._left, self._begins = 0, None


def find(path: Path, episode: str | None) -> Episode:
    """The episode of that id, or the newest."""
    store = Store.open(path)
    if episode is not None:
        return store[episode]
    episodes = store.episodes
    if not episodes:
        raise StoreError(f"{path} has no episodes; `robot-stack collect store={path}` records some")
    return episodes[-1]


def run(context: Context) -> None:
    """The process. Config: station, source (store), episode (id)."""
    station = cell.from_json(context.config["station"])
    episode = find(Path(context.config["source"]), context.config["episode"])
    script = Script(episode["time"], _joints(episode, station), episode["target.grip"])
    chunks, controls = context.bus.publisher(station.chunk), context.bus.subscriber(station.control)
    rate, published = Rate(station.rate), False
    while not context.stop():
        late = rate.sleep()
        start = now()
        control = controls.latest()
        flying = control is not None and control["mode"] == Mode.RUN
        if control is not None and flying and control["source"] != Source.OPERATOR:
            chunks.send(script.chunk(start, station, control["target.q"], float(control["speed"])))
            published = True
        elif flying:
            script.pause(start)
        else:
            script.rewind()
        if published and not flying:
            chunks.send(cell.no_chunk(station, now()))
            published = False
        context.health.beat(now() - start, late)


def _joints(episode: Episode, station: Station) -> Array:
    q: Array = episode["target.q"]
    if q.shape[1] != station.joints:
        raise StoreError(f"{episode.path} moves {q.shape[1]} joints, {station.name} has {station.joints}")
    return q
