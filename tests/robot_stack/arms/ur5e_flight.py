"""A UR5e flown in a process of its own, because a lost link ends the process that flies.

Run as a program, it enters the driver and obeys lines of JSON on its standard input, once every control period, and
says on its standard output what happens. `Flight` is that process as a test sees it.
"""

import importlib.util
import json
import logging
import os
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.arms.ur5e import UR5e
from robot_stack.clock import Rate, now
from robot_stack.realtime import real_time
from robot_stack.types import Array, DeviceError

ROOT = Path(__file__).parents[3]
TOOL = [0.0, 0.0, 0.156, 0.0, 0.0, -0.707107, 0.707107]
SWING, PACE = 0.25, 0.8
"""Of the shoulder and of the last wrist joint: there and back by this much [rad], at most SWING * PACE [rad/s]."""
FASTEST = SWING * PACE
PERIOD = 0.002
Way = Callable[[float], tuple[Array, Array]]
"""Joints and their velocities at a time [s]."""


def make(host: str, **arguments: Any) -> UR5e:
    """The driver as configs/robot/ur5e.yaml makes it."""
    return UR5e(host, **{"flange_from_tcp": TOOL, "payload": 0.95, "payload_center": [0.0, 0.0, 0.06], **arguments})


class Flight:
    """The process. `tell` it what to do; `hear` what it says next. log: what it wrote to standard error."""

    def __init__(self, host: str, what: Any = None, **arguments: Any) -> None:
        """what: "contracts" to keep them and end; arguments: of the driver."""
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", __file__, host, json.dumps(what or arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self.log = ""
        self._readers = [threading.Thread(target=self._listen), threading.Thread(target=self._read_log)]
        for reader in self._readers:
            reader.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # the library prints, too
                self._said.put(json.loads(line))

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log += line

    def tell(self, do: str, **what: Any) -> None:
        """fly, hold, halt, guide (on), recover, servo (q: offset from where it is), quit."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()

    def hear(self, key: str, true: Callable[[Any], bool] = lambda value: True, patience: float = 20.0) -> Any:
        """The value of the next thing it says under `key` that is true; what it says before is forgotten."""
        deadline = now() + patience
        while True:
            try:
                said = self._said.get(timeout=max(0.0, deadline - now()))
            except queue.Empty:
                raise AssertionError(f"nothing said of {key!r} in {patience:.0f} s\n{self.log}") from None
            if key in said and true(said[key]):
                return said[key]

    def end(self, patience: float = 20.0) -> int:
        """Wait for its end; its exit code."""
        code = self._process.wait(patience)
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        return code

    def quit(self) -> None:
        """Let it leave the driver in order."""
        self.tell("quit")
        assert self.end() == 0, self.log

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Where it stands; harmless when it has ended."""
        self._process.kill()
        self.end()


class Pilot:
    """The loop of the process."""

    def __init__(self, arm: UR5e) -> None:
        self._arm = arm
        self._fault = ""
        self._told = b""
        self._follow(None)

    def run(self) -> None:
        say(entered=now())
        rate, quits = Rate(1.0 / PERIOD), False
        while not quits:
            rate.sleep()
            self._state = self._arm.read()
            if self._state.fault != self._fault:
                self._fault = self._state.fault
                self._follow(None)
                say(fault=self._fault, time=now(), q=self._state.q.tolist())
            quits = self._obey()
            self._move()

    def _obey(self) -> bool:
        """Do what was told; whether to quit."""
        while select.select([0], [], [], 0.0)[0] and (data := os.read(0, 4096)):
            self._told += data
        while b"\n" in self._told:
            line, _, self._told = self._told.partition(b"\n")
            order = json.loads(line)
            do = order.pop("do")
            if do == "quit":
                return True
            getattr(self, f"_{do}")(**order)
            say(done=do, time=now(), q=self._state.q.tolist(), dq=self._state.dq.tolist())
        return False

    def _move(self) -> None:
        """One period further on the path, however late: a process that was held up goes on where it was."""
        if self._path is not None:
            self._arm.servo(*self._path(self._ticks * PERIOD))
            self._ticks += 1

    def _fly(self) -> None:
        start, axes = self._state.q.copy(), np.array([1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
        self._follow(
            lambda t: (
                start + 0.5 * SWING * (1.0 - np.cos(2.0 * PACE * t)) * axes,
                SWING * PACE * np.sin(2.0 * PACE * t) * axes,
            )
        )

    def _stay(self) -> None:
        start = self._state.q.copy()
        self._follow(lambda t: (start, 0.0 * start))

    def _follow(self, path: Way | None) -> None:
        self._path, self._ticks = path, 0

    def _halt(self) -> None:
        self._follow(None)
        self._arm.halt()

    def _guide(self, on: bool) -> None:
        self._follow(None)
        self._arm.guide(on)

    def _recover(self) -> None:
        self._arm.recover()

    def _servo(self, q: list[float]) -> None:
        """One command, as an offset from where the arm is; what the driver answers."""
        offset = np.array([float(value) for value in q])
        try:
            self._arm.servo(np.resize(self._state.q, offset.shape) + offset, 0.0 * np.nan_to_num(offset))
            say(refused="")
        except DeviceError as error:
            say(refused=str(error))


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def check_contracts(host: str) -> None:
    """Every promise of an arm, each said when it was kept."""
    spec = importlib.util.spec_from_file_location("contracts", ROOT / "tests" / "contracts.py")
    assert spec is not None
    assert spec.loader is not None
    contracts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contracts)
    real_time(60)
    contracts.arm_measures_its_state_and_says_when(lambda: make(host), 6)
    print("ok", file=sys.stderr, flush=True)
    contracts.arm_goes_where_it_is_servoed(lambda: make(host))
    print("ok", file=sys.stderr, flush=True)
    contracts.arm_comes_to_rest_when_halted_as_often_as_it_is_asked(lambda: make(host))
    print("ok", file=sys.stderr, flush=True)
    contracts.arm_is_at_rest_after_it_was_left(lambda: make(host))
    print("ok", file=sys.stderr, flush=True)
    say(kept=4)


def fly(host: str, arguments: dict[str, Any]) -> None:
    """Obey until told to quit."""
    try:
        with make(host, **arguments) as arm:
            pilot = Pilot(arm)
            real_time(60)  # as the process that owns the driver does
            pilot.run()
    except DeviceError as error:
        say(error=str(error))
        sys.exit(1)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    host, arguments = sys.argv[1], json.loads(sys.argv[2])
    if arguments == "contracts":
        check_contracts(host)
    else:
        fly(host, arguments)


if __name__ == "__main__":
    main()
