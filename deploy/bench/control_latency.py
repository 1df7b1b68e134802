"""`bench control`, part latency: how long after a target was published the arm is commanded to move, and moves.

The arm is at rest each time, and the target comes at another phase of the control period each time.
"""

import time

import numpy as np
from numpy.typing import NDArray

from deploy.bench.control_cell import Bench, Cell, ahead, emulated, journal, ours
from deploy.bench.control_timing import spread
from deploy.bench.figure import Figure
from robot_stack.clock import now
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot as robot_named
from robot_stack.station import Station
from robot_stack.types import Array, TargetKind

AIMS = {"ur5e": 0.003, "fr3": 0.004}
"""Target to first commanded motion, median [s]."""
STEP = 0.003
"""Of the target, up and down again [m]."""
REST = 0.7
"""Between two targets: so long until nothing creeps any more [s]."""
OPERATOR = 0.01
"""Between two messages of an operator [s]."""
BEFORE = 0.05
"""What moves less than `ABOVE` times as much as in so long before the target [s] is at rest."""
ABOVE, LEAST = 10.0, 1e-9
"""And at least so much [rad]."""


def measure(bench: Bench) -> list[Figure]:
    """As many targets as the config says."""
    count = int(bench.config["targets"])
    bench.say(f"{count} targets")
    with emulated(bench, (count + 20) * (REST + 0.1)) as emulator, ours(bench) as cell:
        cell.until(lambda record: True)
        with ahead():
            published = _publish(bench, cell, count)
        cycles, commands = journal(bench, emulator, "cycles"), _commands(bench, emulator, published[0] - 1.0)
    return [
        _judged("target to first commanded motion", delays(published, *commands), AIMS[bench.robot]),
        spread("target to first motion of the arm", delays(published, cycles["time"], cycles["q"]), "ms"),
    ]


def delays(published: list[float], times: Array, q: Array) -> list[float]:
    """How long after each instant joints q (m, n) at times (m,) first moved more than they do at rest [s]."""
    return [found for time in published if (found := _first_motion(time, times, q)) is not None]


def _first_motion(published: float, times: Array, q: Array) -> float | None:
    begin, here = np.searchsorted(times, [published - BEFORE, published])
    end = int(np.searchsorted(times, published + 0.5 * REST))
    if here - begin < 2 or end <= here:
        return None
    still = float(np.abs(np.diff(q[begin:here], axis=0)).max())
    moved = np.abs(np.diff(q[here - 1 : end], axis=0)).max(axis=1) > ABOVE * still + LEAST
    return float(times[here + int(moved.argmax())]) - published if moved.any() else None


def _commands(bench: Bench, emulator: object, since: float) -> tuple[Array, Array]:
    """When which joints were commanded."""
    if bench.robot == "fr3":
        rows = journal(bench, emulator, "cycles", since)  # type: ignore[arg-type]
        return rows["time"], np.concatenate([rows["q_d"], rows["tau_d"]], axis=1)
    rows = journal(bench, emulator, "commands", since)  # type: ignore[arg-type]
    return rows["time"], rows["values"]


def _publish(bench: Bench, cell: Cell, count: int) -> list[float]:
    """An operator who is engaged and moves the target by one step now and then; when it was published [s]."""
    generator = np.random.default_rng(int(bench.config["seed"]))
    station, published = bench.station, list[float]()
    here = Kinematics(bench.robot).forward(np.array(cell.until(lambda record: True)["target.q"]))
    opening = robot_named(bench.robot).opening
    for number in range(count + 1):
        end = now() + REST + generator.uniform(0.0, 1.0 / station.control_rate)
        while now() < end:
            _send(cell, station, here, opening)
            time.sleep(min(OPERATOR, max(0.0, end - now())))
        cell.check()
        if number < count:
            here = here.copy()
            here[2] += STEP if number % 2 == 0 else -STEP
            published.append(_send(cell, station, here, opening))
    return published


def _send(cell: Cell, station: Station, pose: Array, opening: float) -> float:
    time = now()
    cell.operator.send(
        station.operator.spec.record(time=time, engaged=1, kind=TargetKind.POSE, pose=pose, grip=opening, verdict=-1)
    )
    return time


def _judged(what: str, samples: list[float] | NDArray[np.float64], aim: float) -> Figure:
    figure = spread(f"{what}, {len(samples)} times", samples, "ms")
    p50 = figure.values["p50"]
    return Figure(figure.what, figure.values, "ms", f"p50 <= {1e3 * aim:g} ms", p50 <= aim)
