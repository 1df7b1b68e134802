"""A running service seen from outside: its processes, its topics, and a hand on the keys."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from robot_stack.bus import Bus, SharedBus, Subscriber
from robot_stack.clock import now
from robot_stack.spec import Record
from robot_stack.station import KEYS, Station
from robot_stack.types import RobotStackError
from teleop.browser import record

STARTING = 120.0
"""A service must have brought everything up in this time [s]."""


class Session:
    """One service in a process of its own, and this process on its bus."""

    def __init__(self, process: subprocess.Popen[str], name: str, url: str, bus: Bus, station: Station) -> None:
        self.process, self.name, self.url, self.bus, self.station = process, name, url, bus, station
        self.control = bus.subscriber(station.control)
        self.operator = bus.subscriber(station.operator)
        self.chunk = bus.subscriber(station.chunk)
        self.cameras = {camera: bus.subscriber(station.camera(camera)) for camera in station.cameras}
        self._keys = bus.publisher(KEYS)
        self._workers = psutil.Process(process.pid)

    def worker(self, name: str) -> psutil.Process:
        """The process of a worker."""
        for child in self.workers():
            if name in child.cmdline():
                return child
        raise RobotStackError(f"the service has no worker {name!r}")

    def workers(self) -> list[psutil.Process]:
        """All workers that run."""
        return [child for child in self._workers.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]

    def press(self, engage: bool) -> float:
        """Say that the space bar is down, or up; returns when [s]. A held key must be said every 0.1 s."""
        time = now()
        self._keys.send(record(time, (), engage))
        return time

    def until(self, subscriber: Subscriber, wanted: Callable[[Record], bool], patience: float, engage: bool) -> Record:
        """The first new record that is as wanted, while the space bar is held or left alone."""
        deadline, said = now() + patience, 0.0
        subscriber.drain()
        while now() < deadline:
            if now() - said > 0.05:
                said = self.press(engage)
            for message in subscriber.drain():
                if wanted(message):
                    return message
            if self.process.poll() is not None:
                raise RobotStackError(f"the service ended with exit code {self.process.returncode}; see above")
            time.sleep(0.0005)
        raise RobotStackError(f"bench waited {patience:.0f} s in vain; the logs of its session are of {self.name}")


@contextmanager
def running(arguments: list[str], station: Station, module: str = "robot_stack") -> Iterator[Session]:
    """Start `robot-stack` with these arguments, or a module in its place; whatever happens, none of its processes is
    left."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        name, url = _introduction(process)
        threading.Thread(target=_listen, args=(process,), daemon=True).start()
        with SharedBus(name) as bus:
            yield Session(process, name, url, bus, station)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()


def _introduction(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The service's first line says where its page and its logs are; the folder is named like the session."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"page at (\S+), logs in (\S+)", line):
            return Path(found.group(2)).name, found.group(1)
    raise RobotStackError(f"the service ended at once with exit code {process.wait()}")


def _listen(process: subprocess.Popen[str]) -> None:
    """Take what it says until it ends: a service whose terminal does not read would stop."""
    assert process.stdout is not None
    with process.stdout:
        for _ in process.stdout:
            pass


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
