"""A session that flies before an emulated controller, and a hand on its page: what losses and kills are tried on."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import cycle

import numpy as np

from deploy.bench.control_cell import Bench, journal
from deploy.bench.control_service import START_PATIENCE
from deploy.bench.control_trace import Trace
from deploy.bench.session import Session, running
from robot_stack.bus import SharedBus
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.spec import Record
from robot_stack.station import KEYS
from robot_stack.types import RobotStackError
from teleop.browser import record

MOVING = 0.15
"""An arm whose fastest joint is commanded to move faster moves [rad/s]."""
FRESH = 0.1
"""A record that is older tells nothing [s]."""
ASKED = 0.3
"""Between two words to the page [s]."""
CONFIRMED = 0.05
"""A page confirms held keys so often [s]."""
SWING = 1.2
"""The hand turns round after this [s]."""
ENDLESS = ["episodes=0", "success_hold=3600.0", "port=0"]


@contextmanager
def flying(bench: Bench, verb: str, *keys: str, blind: bool = False) -> Iterator[Session]:
    """A session of the service. blind: without cameras."""
    robot = [f"robot={bench.robot}_emulated", f"robot.arm.host={bench.host}", "robot.speed=1.0"]
    task = f"task={bench.config['task']['name']}"
    station = replace(bench.station, cameras={}) if blind else bench.station
    words = [*["blind"] * blind, verb, *robot, task, *ENDLESS, *keys]
    with running(words, station, module="deploy.bench.control_service") as session:
        yield session


def moving(session: Session, wanted: Callable[[Record], bool], patience: float = START_PATIENCE) -> Record:
    """The newest control record once the arm moves, and is as wanted. Whatever stops it is cleared, as a person does
    who has looked at the arm."""
    end, asked = now() + patience, 0.0
    while now() < end:
        newest = session.control.latest()
        if newest is not None and _moves(newest) and wanted(newest):
            return newest
        if session.process.poll() is not None:
            raise RobotStackError(f"the service ended with exit code {session.process.returncode}")
        if now() > asked + ASKED:
            asked = now()
            revive(session)
        time.sleep(0.002)
    raise RobotStackError(f"the arm did not move within {patience:.0f} s: {status(session)}; logs of {session.name}")


def _moves(newest: Record) -> bool:
    return now() - float(newest["time"]) < FRESH and float(np.abs(newest["target.dq"]).max()) > MOVING


def revive(session: Session) -> None:
    """Say what a person says to an arm that is stopped, and to one that waits: recover, reset, run, as it needs."""
    said = status(session)
    if said.get("fault"):
        order(session, "recover")
    elif said.get("mode") == "stop" or "reset to go on" in str(said.get("note")):
        order(session, "reset")
    elif "run to go on" in str(said.get("note")):
        order(session, "run")


def status(session: Session) -> dict[str, object]:
    """What the page shows; empty when it does not answer."""
    with suppress(OSError), urllib.request.urlopen(f"{session.url}/api/status", timeout=2.0) as answer:
        return dict(json.load(answer))
    return {}


def order(session: Session, mode: str) -> bool:
    """Press one of the page's buttons; whether that meant something."""
    body, headers = json.dumps({"mode": mode}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{session.url}/api/mode", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=2.0):
            return True
    except (urllib.error.HTTPError, OSError):
        return False


def trace(bench: Bench, emulator: EmulatorProcess, since: float) -> Trace:
    """What the controller did after `since` [s]."""
    return Trace.of(journal(bench, emulator, "commands", since), journal(bench, emulator, "cycles", since))


class Hand:
    """A person at the page, who swings the arm to and fro while `engaged`."""

    def __init__(self, session: Session) -> None:
        self.engaged = False
        self._bus = SharedBus(session.name)
        self._keys = self._bus.publisher(KEYS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._press, name="hand", daemon=True)
        self._thread.start()

    def _press(self) -> None:
        ways, way, turns = cycle(("KeyD", "KeyA")), "KeyA", now() + 0.5 * SWING
        while not self._ended.wait(CONFIRMED):
            if now() > turns:
                way, turns = next(ways), now() + SWING
            self._keys.send(record(now(), [way] if self.engaged else [], self.engaged))

    def close(self) -> None:
        """Let go."""
        self._ended.set()
        self._thread.join()
        self._bus.close()
