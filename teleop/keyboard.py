"""Flying by keys: those of the page or of the terminal, both as records of the topic `keys`.

Translations are along the axes of the base, so that "w" is away from the robot whatever the gripper's attitude.
"""

from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np

from robot_stack.pose import IDENTITY, compose, exp
from robot_stack.robots import robot as find_robot
from robot_stack.spec import Record
from robot_stack.types import Array, TargetKind
from teleop import OperatorInput, View
from teleop.clutch import Clutch

KEYS = {
    "KeyW": ("w", "away", (1, 0, 0, 0, 0, 0)),
    "KeyS": ("s", "near", (-1, 0, 0, 0, 0, 0)),
    "KeyA": ("a", "left", (0, 1, 0, 0, 0, 0)),
    "KeyD": ("d", "right", (0, -1, 0, 0, 0, 0)),
    "KeyR": ("r", "up", (0, 0, 1, 0, 0, 0)),
    "KeyF": ("f", "down", (0, 0, -1, 0, 0, 0)),
    "KeyQ": ("q", "turn left", (0, 0, 0, 0, 0, 1)),
    "KeyE": ("e", "turn right", (0, 0, 0, 0, 0, -1)),
    "ArrowUp": ("↑", "tip away", (0, 0, 0, 0, 1, 0)),
    "ArrowDown": ("↓", "tip near", (0, 0, 0, 0, -1, 0)),
    "ArrowLeft": ("←", "tip left", (0, 0, 0, -1, 0, 0)),
    "ArrowRight": ("→", "tip right", (0, 0, 0, 1, 0, 0)),
    "KeyG": ("g", "open or close the gripper", None),
    "ShiftLeft": ("shift", "slowly", None),
    "Enter": ("enter", "success", None),
    "Backspace": ("backspace", "failure", None),
}
"""Code of the key, as browsers name it: (its label, what it does, direction of v in the base and w about its axes)."""

CODES = tuple(KEYS)
DIRECTIONS: Array = np.array([direction or (0,) * 6 for _, _, direction in KEYS.values()], dtype=float)  # (16, 6)

STALE = 0.3
"""A key that was not confirmed for so long is up: the page confirms 20 times a second [s]. The arm then holds."""
LONGEST_STEP = 0.05
"""After a pause the hand moves on from where it was, not by the whole pause [s]."""


class KeyboardOperator:
    """Keys as a teleoperation device: the space bar engages, letters and arrows move a hand that the clutch follows.

    robot: its gripper's stroke is what "close" and "open" mean. speed: v [m/s]. turn: w [rad/s]. slow: factor with
    shift.
    """

    def __init__(self, robot: str, speed: float = 0.15, turn: float = 0.6, slow: float = 0.25) -> None:
        self.stroke = find_robot(robot).opening
        self.twist = np.array([speed] * 3 + [turn] * 3)
        self.slow = slow
        self.clutch = Clutch()
        self._hand = np.array(IDENTITY)
        self._grip: float | None = None
        self._then: float | None = None
        self._toggling = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release."""

    def read(self, now: float, view: View) -> OperatorInput:
        """What the newest keys ask for."""
        keys, arm = view.keys, view.control
        if keys is None or arm is None:
            return self._released()
        if now - keys["time"] > STALE:
            lost = self._released()
            return replace(lost, engaged=bool(keys["engage"]))  # who fell silent flying has not handed back: hold
        pressed = keys["pressed"].astype(bool)
        verdict = 1 if pressed[CODES.index("Enter")] else 0 if pressed[CODES.index("Backspace")] else -1
        if not keys["engage"]:
            return self._released(verdict)
        self._move(now, pressed)
        return OperatorInput(
            engaged=True,
            kind=TargetKind.POSE,
            pose=self.clutch.target(True, self._hand, arm["target.pose"]),
            grip=self._gripped(bool(pressed[CODES.index("KeyG")]), arm),
            verdict=verdict,
        )

    def _released(self, verdict: int = -1) -> OperatorInput:
        self.clutch.target(False, self._hand, self._hand)
        self._grip, self._then = None, None
        return OperatorInput(verdict=verdict)

    def _move(self, now: float, pressed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> None:
        step = 0.0 if self._then is None else min(now - self._then, LONGEST_STEP)
        self._then = now
        twist = self.twist * (pressed @ DIRECTIONS)
        if pressed[CODES.index("ShiftLeft")]:
            twist = self.slow * twist
        self._hand[:3] += step * twist[:3]
        turn = exp(np.append(np.zeros(3), step * twist[3:]))
        self._hand[3:] = compose(turn, np.append(np.zeros(3), self._hand[3:]))[3:]

    def _gripped(self, toggle: bool, arm: Record) -> float:
        if self._grip is None:
            self._grip = float(arm["target.grip"])
        if toggle and not self._toggling:
            self._grip = 0.0 if self._grip > self.stroke / 2 else self.stroke
        self._toggling = toggle
        return self._grip
