"""Clearing a fault of a UR controller, step by step, after a person has asked for it.

The order is that of Universal Robots' ROS 2 driver documentation: a stop only pauses the program, and resuming it goes
on with the old motion. So the stop is unlocked, the program ended, and uploaded anew; nothing is ever resumed.
"""

import logging
import threading
import time
from collections.abc import Callable

from robot_stack.arms import ur_status
from robot_stack.arms.ur_admission import bring_power, check_remote, check_safety
from robot_stack.arms.ur_dashboard import Dashboard
from robot_stack.arms.ur_library import Library
from robot_stack.clock import now
from robot_stack.types import DeviceError, RobotStackError

UNLOCKING = 10.0
"""Longest that a protective stop may refuse to be unlocked [s]: the controller does for its first 5 s."""

STARTING = 5.0
"""Longest that ending a program, and starting ours, may take [s]."""

log = logging.getLogger(__name__)


class Recovery:
    """One attempt, in a thread of its own; the control interface is this thread's until it is over.

    prepare: what is to be told to a program that was started anew. words: the step under way, why it failed, or
    nothing once the arm can be commanded.
    """

    def __init__(self, host: str, library: Library, power_on: bool, prepare: Callable[[], None]) -> None:
        self.words = "recovering"
        self._host, self._library, self._power_on, self._prepare = host, library, power_on, prepare
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recovery", daemon=True)
        self._thread.start()

    @property
    def under_way(self) -> bool:
        """Whether it is not over yet."""
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Give up at the next step, and wait for that."""
        self._cancelled.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with Dashboard(self._host) as dashboard:
                self._recover(dashboard)
        except RobotStackError as error:
            self._say(f"not recovered: {error}")
        else:
            self._say("")

    def _say(self, words: str) -> None:
        if words != self.words:
            log.info(words or "recovered")
        self.words = words

    def _step(self, words: str) -> None:
        if self._cancelled.is_set():
            raise DeviceError("given up, because the driver is being closed")
        self._say(f"recovering: {words}")

    def _recover(self, dashboard: Dashboard) -> None:
        self._unlock(dashboard)
        check_safety(dashboard)
        check_remote(dashboard)
        bring_power(dashboard, self._power_on, self._step)
        self._step("ending the old program")
        if dashboard.playing():
            dashboard.order("stop", "Stopped")
        self._wait(lambda: self._runtime() == ur_status.STOPPED, STARTING, "the old program does not end")
        self._step("starting the program anew")
        with self._library.patience(STARTING) as control:
            control.kickWatchdog()  # or the new program begins with the last command, which the registers still hold
            control.reuploadScript()
        self._wait(
            lambda: self._runtime() == ur_status.PLAYING, STARTING, "our program does not start: see the pendant"
        )
        self._prepare()

    def _unlock(self, dashboard: Dashboard) -> None:
        """Of a protective stop; the controller says itself whether it is too early."""
        self._step("closing the controller's message")
        dashboard.ask("close safety popup")
        deadline = now() + UNLOCKING
        while dashboard.safety_mode() == ur_status.PROTECTIVE_STOP:
            self._step("unlocking the protective stop, which the controller allows 5 s after it")
            answer = dashboard.ask("unlock protective stop")
            if now() > deadline:
                raise DeviceError(f"the protective stop cannot be unlocked: {answer}")
            time.sleep(0.25)

    def _runtime(self) -> int:
        return int(self._library.receive.getRuntimeState())

    def _wait(self, true: Callable[[], bool], seconds: float, otherwise: str) -> None:
        deadline = now() + seconds
        while not true():
            if now() > deadline:
                raise DeviceError(otherwise)
            self._cancelled.wait(0.02)
