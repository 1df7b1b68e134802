"""`bench control`, part losses: policy, camera, operator and parent are killed while the arm moves, over and over.

The policy is a replay in most trials: it starts in half a second, and the service treats both alike, as it does the
real one in the rest of them. Cameras are lost to a policy that looks at pictures; to others they are no loss.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import psutil

from deploy import cell
from deploy.bench.control_cell import Bench, emulated
from deploy.bench.control_flight import Hand, flying, moving, trace
from deploy.bench.control_motion import Ramp
from deploy.bench.control_policy import PICTURES, STATE, checkpoint
from deploy.bench.control_script import script
from deploy.bench.control_service import START_PATIENCE
from deploy.bench.control_timing import spread
from deploy.bench.figure import Figure, count
from deploy.bench.session import Session, alive
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.progress import bar
from robot_stack.robots import robot as robot_named
from robot_stack.spec import Record
from robot_stack.types import RobotStackError, Source

NOTICE = 0.1
"""A loss is noticed within this; then the arm ramps to rest [s]."""
WATCHED = 1.6
"""How long the arm is watched after a loss [s]."""
REMEMBERED = 20.0
"""Of the emulator [s]: little, since it stands still while it writes it down."""
NETWORKS = 10
"""One policy in so many is a network."""
TOLERANCE = 0.02
"""Of a limit, for what differences of samples make of it."""


@dataclass(frozen=True)
class Loss:
    """rest: from the kill until the arm was at rest; commanded: until we commanded rest; ramp: the shortest way to rest
    from the fastest that was commanded within `NOTICE` [s]. excess: the most of any limit until rest, 1 is the limit;
    of: which. is_fair: whether the arm was judged, see `Trace`."""

    rest: float
    commanded: float
    ramp: float
    excess: float
    of: str
    is_fair: bool


def measure(bench: Bench) -> list[Figure]:
    """As many of each as the config says."""
    trials = int(bench.config["trials"])
    networks = -(-trials // NETWORKS)
    policies = _replayed(bench, "policy", "replay", trials - networks) + _networks(bench, networks)
    operators = _replayed(bench, "operator", "operator", trials)
    cameras, flew_on = _cameras(bench, trials)
    parents, orphans = _parents(bench, trials)
    figures = [*judged("policy lost", policies), *judged("operator lost, flying", operators)]
    figures += judged("camera of the policy lost", cameras)
    figures += [count("camera lost to a policy that needs none: flew on, of each 1", flew_on)]
    figures += judged("parent lost", parents)
    return [*figures, count("parent lost: workers that outlived it", orphans, 0)]


def judged(what: str, losses: list[Loss]) -> list[Figure]:
    """The figures of one kind of loss."""
    what = f"{what}, {len(losses)} times"
    late = [loss.rest - NOTICE - loss.ramp for loss in losses]
    worst = max(losses, key=lambda loss: loss.excess)
    return [
        spread(f"{what}: arm at rest after", [loss.rest for loss in losses], "ms"),
        spread(f"{what}: rest commanded after", [loss.commanded for loss in losses], "ms"),
        spread(f"{what}: the ramp", [loss.ramp for loss in losses], "ms"),
        Figure(
            f"{what}: at rest later than 100 ms and the ramp by", {"most": max(late)}, "ms", "<= 0 ms", max(late) <= 0
        ),
        count(f"{what}: limits of the arm not judged", sum(not loss.is_fair for loss in losses)),
        Figure(
            f"{what}: most of a limit, {worst.of}", {"": worst.excess}, "%", "<= 102 %", worst.excess <= 1 + TOLERANCE
        ),
    ]


def _replayed(bench: Bench, what: str, victim: str, trials: int) -> list[Loss]:
    """Losses in one session of a replay with a person at its page, who flies when it is the operator that is lost."""
    bench.say(f"{what} lost, {trials} times")
    keys = [f"source={script(bench)}", "teleop=browser", "time_limit=3600.0", "robot.hardware=false"]
    by_hand = victim == "operator"
    source = Source.OPERATOR if by_hand else Source.SCRIPT
    with emulated(bench, REMEMBERED) as emulator, flying(bench, "replay", *keys, blind=True) as session:
        moving(session, lambda record: True)
        hand = Hand(session)
        hand.engaged = by_hand
        try:
            return _lose(bench, emulator, session, victim, trials, lambda record: record["source"] == source)
        finally:
            hand.close()


def _networks(bench: Bench, trials: int) -> list[Loss]:
    bench.say(f"policy lost, a network, {trials} times")
    keys = [f"checkpoint={checkpoint(bench, STATE)}", "time_limit=3600.0", "robot.hardware=false", "teleop=browser"]
    with emulated(bench, REMEMBERED) as emulator, flying(bench, "deploy", *keys, blind=True) as session:
        return _lose(bench, emulator, session, "inference", trials, lambda record: record["source"] == Source.POLICY)


def _cameras(bench: Bench, trials: int) -> tuple[list[Loss], float]:
    """Losses of a camera to a policy that looks at its pictures; and how many of others flew on without it."""
    policy = checkpoint(bench, PICTURES)
    bench.say(f"camera lost, {trials} times")
    victim = f"camera.{next(iter(bench.station.cameras))}"
    keys = ["time_limit=3600.0", "robot.hardware=false", "teleop=browser"]
    with emulated(bench, REMEMBERED) as emulator:
        with flying(bench, "deploy", f"checkpoint={policy}", *keys) as session:
            by_policy = lambda record: record["source"] == Source.POLICY  # noqa: E731
            losses = _lose(bench, emulator, session, victim, trials, by_policy)
        few = max(1, trials // NETWORKS)
        with flying(bench, "replay", f"source={script(bench)}", *keys) as session:
            others = _lose(bench, emulator, session, victim, few, lambda record: record["source"] == Source.SCRIPT)
    return losses, float(np.mean([loss.commanded > NOTICE + loss.ramp for loss in others]))


def _parents(bench: Bench, trials: int) -> tuple[list[Loss], int]:
    """Losses of the service itself, each in a session of its own; and how many workers outlived it."""
    bench.say(f"parent lost, {trials} times")
    keys = [f"source={script(bench)}", "time_limit=3600.0", "robot.hardware=false"]
    losses, orphans, generator = list[Loss](), 0, random.Random(int(bench.config["seed"]))
    with emulated(bench, REMEMBERED) as emulator, bar("parent lost", trials) as progress:
        for number in range(trials):
            with flying(bench, "replay", *keys, blind=True) as session:
                kill = lambda session=session: os.kill(session.process.pid, signal.SIGKILL)  # noqa: E731
                moving(session, lambda record: True)
                workers = [worker.pid for worker in session.workers()]
                losses.append(_lost(bench, emulator, session, kill, generator, lambda record: True))
                orphans += sum(map(alive, workers))
            progress.update(number + 1)
    return losses, orphans


def _lose(
    bench: Bench,
    emulator: EmulatorProcess,
    session: Session,
    victim: str,
    trials: int,
    wanted: Callable[[Record], bool],
) -> list[Loss]:
    """Kill the same worker again and again, each time while the arm moves and the wanted one flies."""
    generator, losses = random.Random(int(bench.config["seed"])), []
    with bar(f"{victim} lost", trials) as progress:
        for number in range(trials):
            losses.append(_lost(bench, emulator, session, _found(session, victim).kill, generator, wanted))
            progress.update(number + 1)
    return losses


def _found(session: Session, worker: str) -> psutil.Process:
    """The process of a worker, once it is there again."""
    end = now() + START_PATIENCE
    while True:
        with suppress(RobotStackError, psutil.Error):
            return session.worker(worker)
        if now() > end:
            raise RobotStackError(f"{worker} was not started again within {START_PATIENCE:.0f} s: {session.name}")
        time.sleep(0.1)


def _lost(
    bench: Bench,
    emulator: EmulatorProcess,
    session: Session,
    kill: Callable[[], None],
    generator: random.Random,
    wanted: Callable[[Record], bool],
) -> Loss:
    """One loss, at a random instant of the motion."""
    moving(session, wanted)
    time.sleep(generator.uniform(0.0, 0.5))
    moving(session, wanted)
    killed = now()
    kill()
    time.sleep(WATCHED)
    seen = trace(bench, emulator, killed - 0.5)
    robot, limits = robot_named(bench.robot), cell.driver(bench.config["robot"]["limits"])
    ramp = Ramp(limits.joint_acceleration * robot.acceleration, limits.joint_jerk * robot.jerk)
    rest = seen.rest(killed)
    excess = seen.until(rest).excess(robot, limits)
    of = max(excess, key=lambda name: excess[name])
    fastest = seen.speed(killed - 0.01, killed + NOTICE)
    return Loss(
        rest - killed, seen.commanded_rest(killed) - killed, ramp.seconds(fastest), excess[of], of, seen.is_fair
    )
