"""One child process of the service: how it is started, told to stop, watched, and ended when its parent is gone.

Parent side: `spawn(kind, session, config, folder) -> Worker`. Child side: `python -m deploy.worker` makes a `Context`
and calls the function that `KINDS` names for the kind, `function(context) -> None`, which returns soon after
`context.stop()` became true.

The child's standard input is a pipe that its parent holds open and never writes to. However the parent ends, the kernel
closes the pipe, and the child reads its end: no polling, and unlike PR_SET_PDEATHSIG it does not fire when merely the
*thread* ends that started the child. Children stand in process groups of their own, so Ctrl-C in a terminal reaches the
parent only, and the parent decides.
"""

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_stack.bus import Bus, SharedBus
from robot_stack.clock import now
from robot_stack.station import HEALTH, Topic
from robot_stack.types import ConfigError, RobotStackError

KINDS = {
    "control": "deploy.devices:control",
    "world": "deploy.devices:world",
    "camera": "deploy.devices:camera",
    "gripper": "deploy.devices:gripper",
    "operator": "deploy.devices:operator",
    "inference": "deploy.inference:run",
    "replay": "deploy.replay:run",
    "recorder": "deploy.recorder:run",
}

GRACE = 0.4
"""A child that has not returned this long after its parent was gone ends itself where it stands [s]."""

STARTED, UNEXPECTED = "started as process", "ended by an error"
"""What a worker logs first, and last, before the traceback of an error that is none of ours."""

QUIET_THREADS = {
    "OMP_NUM_THREADS": "1",  # a pool of spinning OpenMP threads takes the cores that control needs
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

log = logging.getLogger(__name__)


def health_topic(name: str) -> Topic:
    """Where the worker of this name reports."""
    return Topic(f"health.{name}", HEALTH, 8)


# --- parent ----------------------------------------------------------------------------------------------------------


class Worker:
    """A child process as its parent sees it. `stop` it also when it died by itself: that closes its pipe."""

    def __init__(self, kind: str, name: str, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.kind = kind
        self.name = name
        self.log = log
        self._process = process
        self._asked = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        """None while it runs; 0 after a clean end, 1 after an error (see `log_tail`), -N when signal N killed it."""
        code = self._process.poll()
        return 0 if self._asked and code == -signal.SIGTERM else code  # asked before it had begun: nothing to clean up

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.exitcode is None

    def ask_to_stop(self) -> None:
        """Tell it to end and return at once: to stop several, ask all, then `stop` each."""
        if self.alive:
            self._asked = True
            self._process.terminate()

    def stop(self, timeout: float = 3.0) -> int:
        """Tell it to end; kill it if it still runs after `timeout` [s]. Returns its exit code."""
        self.ask_to_stop()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        code = self.exitcode
        assert code is not None
        return code

    @property
    def ending(self) -> str:
        """How it ended, once it has."""
        code = self.exitcode
        return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"

    @property
    def reason(self) -> str:
        """Why it gave up, in its own words; empty if it did not say. Of an unexpected error, the last line."""
        said = [words for _, is_error, words in (line.partition(" ERROR ") for line in self._last_run()) if is_error]
        if not said:
            return ""
        words = self.log_tail(1) if said[-1] == UNEXPECTED else said[-1]
        return words.removeprefix("DeviceError: ").removeprefix("ConfigError: ")

    def _last_run(self) -> list[str]:
        """What it has logged since it was last started; libraries may have their say in between."""
        lines = self.log.read_text(errors="replace").splitlines()
        starts = [number for number, line in enumerate(lines) if f" {STARTED} " in line]
        return lines[starts[-1] if starts else 0 :]

    @property
    def warnings(self) -> list[str]:
        """What it warned of, in its own words."""
        return [words for _, said, words in (line.partition(" WARNING ") for line in self._last_run()) if said]

    def wait(self, seconds: float) -> None:
        """Return when it has ended, or after so long [s]."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def spawn(
    kind: str,
    session: str,
    config: Mapping[str, Any],
    folder: Path,
    name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Worker:
    """Start a worker; returns at once, before it is ready: its first health record says that it works.

    kind: a key of KINDS, or 'module:function'. session: of the bus. config: what its function reads from
    `context.config`; JSON values only. folder: takes `<name>.json` (the config) and `<name>.log` (appended).
    name: of its log, its health topic and its messages; `kind` if None. environment: added to this process's.
    """
    _dotted(kind)
    name = name or kind
    folder.mkdir(parents=True, exist_ok=True)
    config_file = folder / f"{name}.json"
    config_file.write_text(json.dumps(config, indent=1))
    log_file = folder / f"{name}.log"
    with log_file.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-X", "faulthandler", "-m", "deploy.worker", kind, name, session, str(config_file)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **QUIET_THREADS, **(environment or {})},
            process_group=0,
        )
    return Worker(kind, name, log_file, process)


def _dotted(kind: str) -> str:
    dotted = KINDS.get(kind, kind)
    if ":" not in dotted:
        raise ConfigError(f"no kind of worker {kind!r}; there are: {', '.join(KINDS)}, or 'module:function'")
    return dotted


# --- child -----------------------------------------------------------------------------------------------------------


class Health:
    """Reports once a second, on the topic `health.<name>`, that the worker's loop turns and how well."""

    PERIOD = 1.0  # [s]

    def __init__(self, bus: Bus, name: str) -> None:
        self._publisher = bus.publisher(health_topic(name))
        self._record = HEALTH.record()
        self._count = 0
        self._work = 0.0
        self._late = 0.0
        self._since = now()
        self._count_then = 0
        self._due = self._since  # the first beat reports at once: the worker is ready

    def beat(self, work: float, late: float = 0.0) -> None:
        """To be called once in every turn of the loop. work: how long this turn took; late: how late it began [s]."""
        self._count += 1
        self._work = max(self._work, work)
        self._late = max(self._late, late)
        time = now()
        if time >= self._due:
            self._report(time)

    def _report(self, time: float) -> None:
        elapsed = time - self._since
        record = self._record
        record["time"] = time
        record["count"] = self._count
        record["rate"] = (self._count - self._count_then) / elapsed if elapsed > 0.0 else 0.0
        record["work"], record["late"] = self._work, self._late
        self._publisher.send(record)
        self._work = self._late = 0.0
        self._since, self._count_then, self._due = time, self._count, time + self.PERIOD


@dataclass(frozen=True)
class Context:
    """What a worker's function is given. stop: true once it should return."""

    name: str
    session: str
    config: dict[str, Any]
    bus: Bus
    stop: Callable[[], bool]
    health: Health


def main() -> None:
    """Run one worker until it is told to stop, its parent is gone, or it fails; ends the process."""
    kind, name, session, config_file = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    threading.Thread(target=_watch_parent, args=(stopping,), name="parent", daemon=True).start()
    logging.basicConfig(format=f"%(asctime)s {name} %(levelname)s %(message)s", level=logging.INFO)
    log.info("%s %d", STARTED, os.getpid())
    try:
        _run(kind, name, session, json.loads(Path(config_file).read_text()), stopping.is_set)
    except RobotStackError as error:
        log.error("%s: %s", type(error).__name__, error)
        sys.exit(1)
    except Exception:
        log.exception(UNEXPECTED)
        sys.exit(1)
    log.info("ended")


def _run(kind: str, name: str, session: str, config: dict[str, Any], stop: Callable[[], bool]) -> None:
    module, _, function = _dotted(kind).partition(":")
    run = getattr(importlib.import_module(module), function)
    with SharedBus(session) as bus:
        run(Context(name, session, config, bus, stop, Health(bus, name)))


def _watch_parent(stopping: threading.Event) -> None:
    """Wait for the end of the parent; then ask the loop to stop, and end the process if it does not."""
    while os.read(0, 1):
        pass
    stopping.set()
    threading.Event().wait(GRACE)
    log.error("parent gone and no end after %.1f s: leaving", GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
