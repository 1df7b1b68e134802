"""`bench control`, part rival: our loop and diffusion_policy's fly the same waypoints on the same emulated arm.

Both are under the same load: a whole session of a second, simulated robot with cameras, recorder, policy and page.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.bench.control_cell import Bench, Cell, emulated, journal, ours
from deploy.bench.control_load import loaded
from deploy.bench.control_motion import held, lag, rms_jerk
from deploy.bench.control_rival_loop import RATE
from deploy.bench.control_stream import EXECUTED, SPACING, Stream, reaches
from deploy.bench.control_timing import at_least, jitter, spread
from deploy.bench.figure import Figure
from robot_stack import pose as se3
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.emulators.ur import kinematics
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot as robot_named
from robot_stack.types import Array, RobotStackError

ROUNDS = 2
"""Each of the two flies so many times."""
CYCLE = 0.002
"""Of the controller: to this are both commands resampled [s]."""
LEAD, SETTLED = 1.0, 2.0
"""The first chunk comes so long before it begins [s], others when they begin; the first so many seconds of a flight
are not judged."""
SERVO_JOINTS, SERVO_POSE = 11, 24
CALMER, SMOOTHER = 3.0, 4.0
"""Aims: the rival's jitter and jerk over ours."""


@dataclass(frozen=True)
class Flight:
    """times: arrivals of commands (n,) [s]. jerk: RMS, of the joints that the controller commands its drives each cycle
    (target_q), whatever it makes of what it receives; received: of the goals as it takes them in, the newest in each
    cycle [rad/s^3]. lag: of the tool [s]; off: its distance from the waypoints' path then, RMS [m]."""

    times: Array
    jerk: float
    received: float
    lag: float
    off: float


def measure(bench: Bench) -> list[Figure]:
    """Both, in turn, with the same waypoints."""
    if bench.robot != "ur5e":
        raise RobotStackError(f"the rival flies a ur5e only, not {bench.robot}: leave out the part rival")
    seconds = float(bench.config["rival_seconds"]) / ROUNDS
    makers: dict[str, Callable[[Bench], Cell]] = {"ours": ours, "theirs": theirs}
    flights: dict[str, list[Flight]] = {"ours": [], "theirs": []}
    with loaded(bench):
        for number in range(ROUNDS):
            for name, maker in makers.items():
                bench.say(f"{name}, {seconds:.0f} s")
                seed = int(bench.config["seed"]) + number
                flights[name].append(_flight(bench, maker, seconds, seed))
    return compared(flights["ours"], flights["theirs"])


def theirs(bench: Bench) -> Cell:
    """The loop of diffusion_policy."""
    arm = bench.config["robot"]["arm"]
    own = {"host": bench.host, "tool": arm["flange_from_tcp"]}
    own |= {name: arm[name] for name in ("payload", "payload_center")}
    return Cell(bench, "deploy.bench.control_rival_loop:run", **own)


def compared(ours: list[Flight], theirs: list[Flight]) -> list[Figure]:
    """Side by side: jitter, jerk, lag."""
    figures, p99, jerks, lags = list[Figure](), list[float](), list[float](), list[float]()
    for name, flights, period in (("ours", ours, CYCLE), ("theirs", theirs, 1.0 / RATE)):
        periods = np.concatenate([np.diff(flight.times) for flight in flights])
        off = np.concatenate([jitter(flight.times, period) for flight in flights])
        p99.append(float(np.percentile(off, 99)))
        jerks.append(_mean_square([flight.jerk for flight in flights]))
        lags.append(float(np.mean([flight.lag for flight in flights])))
        received = _mean_square([flight.received for flight in flights])
        figures += [
            spread(f"{name}: period", periods, "ms"),
            spread(f"{name}: period off {1e3 * period:g} ms", off, "ms"),
            Figure(f"{name}: jerk of the commanded joints, RMS [rad/s^3]", {"": jerks[-1], "goals": received}, ""),
            Figure(f"{name}: tool behind the waypoints", {"": lags[-1]}, "ms"),
            Figure(
                f"{name}: tool off their path then, RMS [mm]", {"": 1e3 * _mean_square([f.off for f in flights])}, ""
            ),
        ]
    return [
        *figures,
        at_least("jitter of the period, p99: theirs over ours", p99[1] / p99[0], CALMER),
        at_least("jerk of the commanded joints: theirs over ours", jerks[1] / jerks[0], SMOOTHER),
        Figure("lag: ours less theirs", {"": lags[0] - lags[1]}, "ms", "<= 0 ms", lags[0] <= lags[1]),
    ]


def _mean_square(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _flight(bench: Bench, maker: Callable[[Bench], Cell], seconds: float, seed: int) -> Flight:
    """One loop on an arm at home, fed with chunks as a policy publishes them."""
    stream = reaches(Kinematics(bench.robot).forward(robot_named(bench.robot).home), seconds, seed)
    with emulated(bench, seconds + 30.0) as emulator, maker(bench) as cell:
        begins = _wait_for_commands(cell, emulator) + LEAD
        for first in range(0, len(stream.poses), EXECUTED):
            time.sleep(max(0.0, begins + first * SPACING - (LEAD if first == 0 else 0.0) - now()))
            cell.chunk.send(stream.chunk(bench.station, first, begins, now()))
            cell.check()
        time.sleep(max(0.0, begins + stream.seconds - now()))
        return _judged(bench, emulator, stream, begins)


def _wait_for_commands(cell: Cell, emulator: EmulatorProcess) -> float:
    """Until the loop servos the arm; when that was [s]."""
    end = now() + 20.0
    while now() < end:
        if any(event["event"] == "program-started" for event in emulator.events()):
            time.sleep(1.0)
            return now()
        cell.check()
        time.sleep(0.05)
    raise RobotStackError(f"the loop did not begin to servo; it said:\n{cell.worker.log_tail()}")


def _judged(bench: Bench, emulator: EmulatorProcess, stream: Stream, begins: float) -> Flight:
    since, until = begins + SETTLED, begins + stream.seconds
    commands, cycles = (journal(bench, emulator, table, since) for table in ("commands", "cycles"))
    commands, cycles = commands[commands["time"] < until], cycles[cycles["time"] < until]
    forward = Kinematics(bench.robot).position
    tool = np.stack([forward(q) for q in cycles["q"][::5]])
    behind, off = lag(cycles["time"][::5] - begins, tool, stream.positions)
    tool_on_flange = np.array(bench.config["robot"]["arm"]["flange_from_tcp"])
    goals = held(commands["time"], joints(commands, cycles["commanded"][0], tool_on_flange), cycles["time"])
    jerks = rms_jerk(cycles["commanded"], CYCLE), rms_jerk(goals, CYCLE)
    return Flight(commands["time"], *jerks, behind, off)


def joints(commands: NDArray[np.void], near: Array, flange_from_tcp: Array) -> Array:
    """The joints (n, 6) that commands ask for; those of poses as the controller finds them, by the closed form."""
    asked, q = np.empty((len(commands), 6)), near.tolist()
    for place, (command, values) in enumerate(zip(commands["command"], commands["values"], strict=True)):
        if command == SERVO_POSE:
            flange = se3.compose(kinematics.pose_of(values.tolist()), se3.inverse(flange_from_tcp))
            q = kinematics.inverse(flange, q) or q
        else:
            q = values.tolist()
        asked[place] = q
    return asked
