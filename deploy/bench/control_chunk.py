"""`bench control`, part chunk: a policy's chunk of 16 waypoints is flown by the first tick that begins after it was
published, although none of the others of its kind was known before."""

import time

import numpy as np

from deploy import cell as cells
from deploy.bench.control_cell import Bench, Cell, ahead, emulated, ours
from deploy.bench.control_stream import STEPS, reaches
from deploy.bench.control_timing import spread
from deploy.bench.figure import Figure, count
from robot_stack.clock import now
from robot_stack.kinematics import Kinematics
from robot_stack.station import Station
from robot_stack.types import Array, RobotStackError, Source

PATIENCE = 2.0
"""A chunk that is not flown within this is not accepted [s]."""
POLL = 0.001
"""Between two looks at what control says [s]."""


class Ticks:
    """What control said of its ticks, and when it was heard [s]."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._rows: list[tuple[float, float, float, float, float, float]] = []

    def until(self, source: Source) -> None:
        """Listen until somebody flies."""
        end, heard = now() + PATIENCE, len(self._rows)
        while now() < end:
            for record in self._cell.control.drain():
                said = [float(record[name]) for name in ("tick", "missed", "late", "work", "source")]
                self._rows.append((now(), said[0], said[1], said[2], said[3], said[4]))
            if any(row[5] == source for row in self._rows[heard:]):
                return
            time.sleep(POLL)
        self._cell.check()
        raise RobotStackError(f"nobody flew as {source.name.lower()} within {PATIENCE:.0f} s")

    def none(self, station: Station) -> None:
        """Say that there is no plan, and listen until nobody flies."""
        self._cell.chunk.send(cells.no_chunk(station, now()))
        self.until(Source.NOBODY)

    def table(self) -> Array:
        """(n, 6): heard, tick, missed, late, work of the tick before, source."""
        return np.array(self._rows)


def measure(bench: Bench) -> list[Figure]:
    """As many chunks as the config says, each onto an arm that nobody flew."""
    chunks, published = int(bench.config["chunks"]), list[tuple[float, float]]()
    bench.say(f"{chunks} chunks")
    generator = np.random.default_rng(int(bench.config["seed"]))
    with emulated(bench, 10.0), ours(bench) as cell:
        home = Kinematics(bench.robot).forward(np.array(cell.until(lambda record: True)["target.q"]))
        stream, ticks = reaches(home, 3.0, int(bench.config["seed"])), Ticks(cell)
        with ahead():
            ticks.none(bench.station)
            for _ in range(chunks):
                time.sleep(0.1 + generator.uniform(0.0, 0.01))
                chunk = stream.chunk(bench.station, 0, now(), now())
                before = now()
                cell.chunk.send(chunk)
                published.append((before, now()))
                ticks.until(Source.POLICY)
                ticks.none(bench.station)
    table = ticks.table()
    taken = [accepted(table, 1.0 / bench.station.control_rate, *instants) for instants in published]
    return [
        count(
            f"{chunks} chunks of {STEPS} waypoints: most cycles that did not fly one yet", max(n for _, n in taken), 0
        ),
        spread("chunk published to tick that flies it", [after for after, _ in taken], "ms"),
    ]


def began(table: Array, period: float) -> Array:
    """When each tick but the first and the last began (n - 2,) [s].

    Deadlines are a grid; each tick says how late it was. Where the grid lies is known from the record that was heard
    soonest after its tick was done.
    """
    heard, tick, missed, late, work = table.T[:5]
    woke = (tick[1:-1] + missed[:-2]) * period + late[1:-1]
    began: Array = woke + float((heard[1:-1] - woke - work[2:]).min())
    return began


def accepted(table: Array, period: float, before: float, after: float) -> tuple[float, int]:
    """From just `before` a chunk was sent until the tick that flies it began [s], and how many ticks that began
    `after` it was sent did not fly it."""
    begun, flies = began(table, period), table[1:-1, 5] == Source.POLICY
    first = int(np.flatnonzero(flies & (begun > before - period))[0])
    return max(0.0, float(begun[first]) - before), int((begun[:first] > after).sum())
