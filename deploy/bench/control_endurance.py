"""`bench control`, part endurance: the service as people run it, before an emulated controller, for a long time.

With two cameras, a policy, the recorder and a browser at its page; what was punctual is what the controller saw.
"""

import time

import numpy as np
from numpy.typing import NDArray

from deploy.bench.control_cell import Bench, emulated, journal
from deploy.bench.control_policy import checkpoint
from deploy.bench.control_service import START_PATIENCE
from deploy.bench.control_timing import missed, misses, spread
from deploy.bench.control_web import browsing
from deploy.bench.figure import Figure, count
from deploy.bench.session import Session, running
from deploy.bench.spine import flown_by
from robot_stack.clock import now
from robot_stack.station import RECORDING
from robot_stack.types import Array, RobotStackError, Source

LISTENED = 0.2
"""Between two looks at the session [s]."""
TIME_LIMIT = 20.0
"""Of an episode [s]."""
SPARE = 30.0
"""The emulator remembers so much more than is measured [s]."""


def measure(bench: Bench) -> list[Figure]:
    """As long as the config says."""
    seconds = float(bench.config["seconds"])
    policy = checkpoint(bench)
    cell = [f"robot={bench.robot}_emulated", f"robot.arm.host={bench.host}", f"task={bench.config['task']['name']}"]
    flown = ["robot.hardware=false", "robot.speed=1.0", f"checkpoint={policy}", f"store={bench.folder / 'flown.zarr'}"]
    endless = ["episodes=0", f"time_limit={TIME_LIMIT}", "success_hold=3600.0", "teleop=browser", "port=0"]
    with emulated(bench, seconds + SPARE) as emulator:
        words = ["deploy", *cell, *flown, *endless]
        with running(words, bench.station, "deploy.bench.control_service") as session, browsing(session):
            bench.say("starting the service")
            session.until(session.control, flown_by(Source.POLICY), START_PATIENCE, engage=False)
            bench.say(f"flying for {seconds:.0f} s")
            begun, before = now(), session.control.latest()
            counted = _listen(session, seconds)
            over, after = now(), session.control.latest()
        commands, cycles = (journal(bench, emulator, table, begun) for table in ("commands", "cycles"))
    arrivals = commands["time"][commands["time"] < over]
    if before is None or after is None:
        raise RobotStackError("control said nothing: see its log")
    return [
        *punctuality(bench, arrivals),
        spread("command to motion", to_motion(arrivals, cycles["time"]), "ms"),
        count("deadlines that control skipped", float(after["missed"] - before["missed"])),
        count("emulated cycles given up", emulator_lost(cycles)),
        *counted,
    ]


def punctuality(bench: Bench, arrivals: Array) -> list[Figure]:
    """Of servo commands that arrived at these times (n,) [s]."""
    period = 1.0 / bench.station.control_rate
    what = f"servo commands, {arrivals[-1] - arrivals[0]:.0f} s"
    rate = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    figures = [Figure(f"{what}: rate [Hz]", {"": rate}, ""), spread(f"{what}: period", np.diff(arrivals), "ms")]
    return [*figures, *missed(what, misses(arrivals, period, bench.watch.stalls()))]


def to_motion(arrivals: Array, cycles: Array) -> Array:
    """From each arrival of a command (n,) to the end of the controller's cycle that moved the arm by it [s]."""
    after = np.searchsorted(cycles, arrivals)
    known = after < len(cycles)
    waited: Array = cycles[after[known]] - arrivals[known]
    return waited


def emulator_lost(cycles: NDArray[np.void]) -> int:
    """Cycles that the emulator gave up: its deadlines are a grid with holes then."""
    return int((np.rint(np.diff(cycles["due"]) / 0.002) - 1).sum())


def _listen(session: Session, seconds: float) -> list[Figure]:
    """Wait, and count what the session does meanwhile."""
    recording = session.bus.subscriber(RECORDING)
    session.chunk.drain()
    end, plans, rows_missed, episodes = now() + seconds, 0, 0, 0
    while now() < end:
        time.sleep(LISTENED)
        plans += len(session.chunk.drain())
        newest = recording.latest()
        if newest is not None:
            rows_missed, episodes = max(rows_missed, int(newest["missed"])), int(newest["committed"])
        if session.process.poll() is not None:
            raise RobotStackError(f"the service ended with exit code {session.process.returncode}")
    return [
        count("plans of the policy, a minute", 60.0 * plans / seconds),
        count("episodes recorded", episodes),
        count("rows missed, most in an episode", rows_missed),
    ]
