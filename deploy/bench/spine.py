"""The spine under its full load: control at its rate, two cameras, recorder, policy; then every process is killed.

The policy is a network that was hardly trained: it costs what a trained one costs, and moves the arm. All times are
read from the stamps that the messages carry anyway, so that measuring adds nothing to what is measured.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from deploy import cell
from deploy.bench import present
from deploy.bench.figure import Figure, count, distribution, duration
from deploy.bench.session import STARTING, Session, alive, running
from robot_stack.clock import now
from robot_stack.spec import Record
from robot_stack.types import RobotStackError, Source

TAKE_OVERS = 20
AT_REST = 0.02
"""Slower than this in every joint is rest [rad/s]."""

WORK, TICK, HOLD, REST = 150e-6, 0.002, 0.1, 0.5
"""Targets: work in a tick; take-over; hold after losing the policy; rest after losing the parent [s]."""


def run(config: DictConfig) -> int:
    """`robot-stack bench spine`."""
    return present("spine", config, measure)


def measure(config: DictConfig, console: Console) -> list[Figure]:
    """All figures of the spine."""
    station = cell.station({**OmegaConf.to_container(config, resolve=True), "rate": 10.0})  # type: ignore[dict-item]
    with tempfile.TemporaryDirectory() as folder:
        arguments = _service(config, Path(folder), console)
        with running(arguments, station) as session:
            _say(console, "starting the service")
            session.until(session.control, flown_by(Source.POLICY), STARTING, engage=False)
            figures = [*_start_up(), *_load(session, config.seconds, console)]
            figures += _take_over(session, console)
            figures += _kill_camera(session, console)
            figures += _kill_recorder(session, console)
            figures += _kill_policy(session, console)
            figures += _kill_parent(session, console)
    return figures


def _service(config: DictConfig, folder: Path, console: Console) -> list[str]:
    """A checkpoint that can fly this robot, and the service that lets it fly for as long as it takes."""
    cell_and_task = [f"robot=sim_{config.robot.name}", f"task={config.task.name}"]
    if config.checkpoint is None:
        _say(console, "recording one episode and training on it, for a policy of the usual size")
        store, policy = folder / "episode.zarr", folder / "policy"
        _command("collect", f"store={store}", "episodes=1", "port=0", *cell_and_task)
        learn = [f"store={store}", "policy=diffusion_mlp", f"task={config.task.name}", "steps=50", f"out={policy}"]
        _command("train", *learn)
    checkpoint = config.checkpoint or folder / "policy"
    endless = ["episodes=0", "time_limit=3600.0", "success_hold=3600.0", "teleop=browser", "port=0"]
    return ["deploy", f"checkpoint={checkpoint}", f"store={folder / 'flown.zarr'}", *endless, *cell_and_task]


def _start_up() -> list[Figure]:
    """What a person waits for at every call."""
    began = now()
    subprocess.run([sys.executable, "-m", "robot_stack", "--help"], stdout=subprocess.DEVNULL, check=True)
    return [duration("robot-stack --help", now() - began, "s", 0.3)]


def _load(session: Session, seconds: float, console: Console) -> list[Figure]:
    _say(console, f"measuring the control loop for {seconds:.0f} s")
    records, chunks, frames = _listen(session, seconds)
    missed = int(records[-1]["missed"] - records[0]["missed"])
    return [
        Figure(
            "control rate",
            {"": (records[-1]["tick"] - records[0]["tick"]) / (records[-1]["time"] - records[0]["time"])},
            "",
        ),
        distribution("work in a tick", [float(record["work"]) for record in records], "us", WORK),
        distribution("lateness of a tick", [float(record["late"]) for record in records], "us"),
        count("ticks missed, of each 1000", 1000 * missed / len(records)),
        distribution("picture to row of the policy", _before([float(c["observed"]) for c in chunks], frames), "ms"),
        distribution(
            "plan to command", _after([float(c["time"]) for c in chunks], [float(r["time"]) for r in records]), "ms"
        ),
        distribution("row to plan (inference)", [float(c["time"] - c["observed"]) for c in chunks], "ms"),
    ]


def _listen(session: Session, seconds: float) -> tuple[list[Record], list[Record], list[float]]:
    """Control records, new chunks and the capture times of the pictures for a while."""
    records: list[Record] = []
    chunks: list[Record] = []
    frames: set[float] = set()
    session.control.drain(), session.chunk.drain()
    end = now() + seconds
    while now() < end:
        time.sleep(0.05)
        session.press(engage=False)
        records += session.control.drain()
        chunks += session.chunk.drain()
        frames |= {float(frame["time"]) for camera in session.cameras.values() for frame in camera.drain()}
    if not chunks:
        raise RobotStackError(f"the policy made no plan in {seconds:.0f} s")
    return records, chunks, sorted(frames)


def _before(times: list[float], events: list[float]) -> list[float]:
    """How long before each time the newest event was."""
    return [t - max(event for event in events if event <= t) for t in times if events[0] <= t]


def _after(times: list[float], events: list[float]) -> list[float]:
    """How long after each time the next event was."""
    return [min(event for event in events if event >= t) - t for t in times if t <= events[-1]]


def _take_over(session: Session, console: Console) -> list[Figure]:
    _say(console, f"taking over {TAKE_OVERS} times")
    from_key, from_operator = [], []
    for number in range(TAKE_OVERS):
        time.sleep(0.2 + 0.013 * number)  # at different phases of every rate
        session.operator.drain()
        pressed = session.press(engage=True)
        session.until(session.control, flown_by(Source.OPERATOR), 5.0, engage=True)
        commanded = now()  # seen from outside: half a millisecond of polling, and the bus, are in it
        engaged = next(float(m["time"]) for m in session.operator.drain() if m["engaged"])
        from_key.append(commanded - pressed)
        from_operator.append(commanded - engaged)
        session.until(session.control, flown_by(Source.POLICY), 5.0, engage=False)
    return [
        distribution("take-over, operator's message to command", from_operator, "ms", 2 * TICK),
        distribution("take-over, key to command", from_key, "ms"),
    ]


def _kill_camera(session: Session, console: Console) -> list[Figure]:
    name = next(iter(session.cameras))
    _say(console, f"kill -9 of camera {name}")
    killed, records = _kill(session, f"camera.{name}"), session.control
    records.drain()
    back = session.until(session.cameras[name], lambda frame: float(frame["time"]) > killed + 0.2, 30.0, engage=False)
    late = max(float(record["late"]) for record in records.drain())
    return [
        duration("camera killed: pictures again", float(back["time"]) - killed, "s"),
        duration("camera killed: latest tick", late, "ms"),
    ]


def _kill_recorder(session: Session, console: Console) -> list[Figure]:
    _say(console, "kill -9 of the recorder")
    _kill(session, "recorder")
    ticks = []
    end = now() + 2.0
    session.control.drain()
    while now() < end:
        time.sleep(0.05)
        session.press(engage=False)
        ticks += session.control.drain()
    gap = float(np.diff([float(record["time"]) for record in ticks]).max())
    return [duration("recorder killed: longest gap of control", gap, "ms")]


def _kill_policy(session: Session, console: Console) -> list[Figure]:
    session.until(session.control, flown_by(Source.POLICY), STARTING, engage=False)
    _say(console, "kill -9 of the policy")
    killed = _kill(session, "inference")
    held = session.until(session.control, flown_by(Source.NOBODY), 10.0, engage=False)
    back = session.until(session.control, flown_by(Source.POLICY), STARTING, engage=False)
    return [
        duration("policy killed: hold", float(held["time"]) - killed, "ms", HOLD),
        duration("policy killed: flies again", float(back["time"]) - killed, "s"),
    ]


def _kill_parent(session: Session, console: Console) -> list[Figure]:
    session.until(session.control, flown_by(Source.POLICY), STARTING, engage=False)
    _say(console, "kill -9 of the service itself")
    workers = [worker.pid for worker in session.workers()]
    session.control.drain()
    killed = now()
    os.kill(session.process.pid, signal.SIGKILL)
    records: list[Record] = []
    while any(map(alive, workers)) and now() < killed + 5.0:
        records += session.control.drain()
        time.sleep(0.01)
    gone = now() - killed
    records += session.control.drain()
    moving = [float(record["time"]) for record in records if np.abs(record["dq"]).max() > AT_REST]
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return [
        duration("service killed: arm at rest", max(moving, default=killed) - killed, "ms", REST),
        duration("service killed: all processes gone", gone, "s"),
        count("service killed: orphans left", len(left), 0),
    ]


def _kill(session: Session, worker: str) -> float:
    """kill -9; returns when [s]."""
    process = session.worker(worker)
    killed = now()
    process.kill()
    return killed


def flown_by(source: Source) -> Callable[[Record], bool]:
    """Whether a control record is of a tick that this source flew."""
    return lambda control: control["source"] == source


def _command(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robot_stack", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise RobotStackError(f"robot-stack {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _say(console: Console, text: str) -> None:
    console.print(f"[dim]{text}[/]")
