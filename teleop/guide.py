"""Kinesthetic demonstrations: while the space bar or the page's button is held, the arm is led by hand."""

from dataclasses import replace
from types import TracebackType
from typing import Self

from robot_stack.types import TargetKind
from teleop import OperatorInput, View
from teleop.keyboard import KeyboardOperator


class Guide:
    """A hand on the arm, and keys for the rest: G works the gripper, enter and backspace judge.

    While it is led, the arm's targets are where it is: what is recorded is what the hand did. Limits cannot hold back
    a hand, so the arm's own controller has the only word on them meanwhile; let go, the arm stays where it is.

    robot: its gripper's stroke is what "close" and "open" mean.
    """

    def __init__(self, robot: str) -> None:
        self._keys = KeyboardOperator(robot)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release."""

    def read(self, now: float, view: View) -> OperatorInput:
        """What the newest keys ask for; a key that would move the arm asks for nothing."""
        asked = self._keys.read(now, view)
        return replace(asked, kind=TargetKind.GUIDE, pose=None) if asked.kind == TargetKind.POSE else asked
