"""The Franka hand, through franky or panda-py: the same hand, and the same protocol, on an FR3 and on a Panda.

The hand does one thing at a time, and takes half a second or more for it; what is asked meanwhile waits, and only the
newest is done. It says ten times a second where its fingers are.
"""

import logging
import threading
from functools import partial
from importlib import import_module
from math import inf, isfinite
from types import TracebackType
from typing import Any, Self

from robot_stack.clock import now
from robot_stack.robots import robot as find_robot
from robot_stack.types import ConfigError, DeviceError, GripperState

LIBRARIES = {"franky": ("franky", "state"), "panda_py": ("panda_py.libfranka", "read_once")}
"""Where a library has its `Gripper`, and what reads it."""

PACE = 0.09
"""The next state is waited for in the library, which may keep Python's lock meanwhile, only at the end [s]."""
LOST = 1.5
"""A hand that has said nothing for so long is not there any more [s]; libfranka waits for 1 s."""
FASTEST, STRONGEST = 0.1, 70.0
"""Of the fingers [m/s] and of their grip [N]; Franka hand, product manual."""
CLOSED = 0.005
"""Asked for less than this, the fingers close until they meet something, and press [m]."""
ALIKE = 0.001
"""Openings that differ by less are the same: the hand is not started for it [m]."""
ELSEWHERE = 0.01
"""Asked for an opening this far from where the fingers are going, they are stopped on their way [m]."""
LEAVING = 2.0
"""What the hand is doing is over by then, or never will be [s]."""
NOT_HOMED = 0.02
"""A hand that knows of less stroke than this has not looked for its stops [m]."""

log = logging.getLogger(__name__)


class FrankaHand:
    """The hand of the arm at `host`; see `configs/robot/fr3.yaml` for the arguments and their units."""

    def __init__(self, host: str, library: str, speed: float, force: float, homing: bool) -> None:
        if library not in LIBRARIES:
            raise ConfigError(f"no library {library!r} for the Franka hand; there are: {', '.join(LIBRARIES)}")
        if not 0.0 < speed <= FASTEST or not 0.0 < force <= STRONGEST:
            raise ConfigError(
                f"speed {speed} m/s, force {force} N of the Franka hand: expected up to {FASTEST} m/s, {STRONGEST} N"
            )
        self._host, self._library, self._speed, self._force, self._homing = host, library, speed, force, homing
        self._stroke = find_robot("fr3").opening
        self._wanted: float | None = None
        self._goes_to = inf  # where the fingers are on their way to [m]; inf when they are not
        self._state = GripperState(0.0, 0.0)
        self._broken = ""
        self._asked, self._leaves = threading.Condition(), threading.Event()

    def __enter__(self) -> Self:
        module, self._read_name = LIBRARIES[self._library]
        try:
            gripper = import_module(module).Gripper
        except ImportError as error:
            raise DeviceError(f"{module} is missing ({error}): install the extra of `configs/robot`") from error
        try:
            self._hand = gripper(self._host)
            if self._homing:
                log.warning("the hand looks for its stops: it opens and closes")
                self._hand.homing()
            stroke = self._look()
        except Exception as error:  # the libraries' errors have no base but this
            raise DeviceError(_explain(self._host, str(error))) from error
        if stroke < NOT_HOMED:
            raise DeviceError(
                f"the hand at {self._host} knows of {1e3 * stroke:.0f} mm between its fingers: it has not looked for "
                "its stops. Do it in Desk, or with gripper.homing=true (it then opens and closes once)"
            )
        self._threads = [threading.Thread(target=action, daemon=True) for action in (self._watch, self._work)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaves.set()
        with self._asked:
            self._asked.notify()
        for thread in self._threads:
            thread.join(LEAVING)
        if any(thread.is_alive() for thread in self._threads):  # daemons: they do not keep the process from ending
            log.error("the connection to the hand at %s did not end: left as it is", self._host)
        del self._hand  # which disconnects

    def read(self) -> GripperState:
        """The newest measurement; DeviceError when the hand sends none any more."""
        silence = now() - self._state.time
        if self._broken or silence > LOST:
            raise DeviceError(self._broken or f"the hand at {self._host} has sent nothing for {silence:.1f} s")
        return self._state

    def move(self, opening: float) -> None:
        """Ask for a distance between the fingers [m]; returns at once. What they hold on the way is held."""
        if not isfinite(opening):
            raise DeviceError(f"the hand was asked for an opening of {opening} m")
        wanted = min(max(opening, 0.0), self._stroke)
        with self._asked:
            if self._wanted is not None and abs(wanted - self._wanted) < ALIKE:
                return
            self._wanted = wanted
            self._asked.notify()

    # --- where the fingers are ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Read what comes, and stop fingers that go where they should not go any more."""
        while not self._leaves.wait(PACE):
            try:
                self._look()
                if self._goes_astray():
                    self._hand.stop()
            except Exception as error:  # the libraries' errors have no base but this
                self._broken = _explain(self._host, str(error))
                return

    def _look(self) -> float:
        """Take in the next state; returns the stroke of the hand [m]."""
        state: Any = getattr(self._hand, self._read_name)
        state = state() if callable(state) else state
        self._state = GripperState(now(), float(state.width))  # it drops what lay unread, and waits for the next
        return float(state.max_width)

    def _goes_astray(self) -> bool:
        return self._goes_to < inf and self._wanted is not None and abs(self._wanted - self._goes_to) > ELSEWHERE

    # --- where they should be -----------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Do what is wanted, one after the other, always the newest."""
        done: float | None = None
        while True:
            with self._asked:
                self._asked.wait_for(partial(self._is_due, done))
                if self._leaves.is_set() or self._wanted is None:
                    return
                done = self._goes_to = self._wanted
            try:
                self._go(done)
            except Exception as error:  # most often: aborted, because something else was wanted
                log.info("the hand did not go to %.0f mm: %s", 1e3 * done, error)
            self._goes_to = inf

    def _is_due(self, done: float | None) -> bool:
        return self._leaves.is_set() or self._wanted != done

    def _go(self, opening: float) -> None:
        """Blocks until the fingers are there, or hold something that is in the way."""
        if opening < CLOSED:
            self._grasp(0.0)
        elif not self._hand.move(opening, self._speed) and self._state.opening > opening + CLOSED:
            self._grasp(opening)

    def _grasp(self, width: float) -> None:
        """Press on whatever there is: a grasp that is not of the width which was meant lets go again."""
        self._hand.grasp(width, self._speed, self._force, self._stroke, self._stroke)


def _explain(host: str, words: str) -> str:
    own = words.strip().split("\n")[0]
    if "refused" in own or "Connection" in own:
        return (
            f"no hand at {host}: is it mounted, and chosen as end effector in Desk? Is FCI activated? Else use another "
            f"gripper in the robot's config ({own})"
        )
    return f"the hand at {host}: {own}"
