"""Grippers: the protocol, and one file per kind."""

from types import TracebackType
from typing import Protocol, Self

from robot_stack.types import GripperState


class Gripper(Protocol):
    """A parallel gripper. Entering connects or raises DeviceError; leaving keeps the grip as it is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read(self) -> GripperState:
        """The newest measurement."""
        ...

    def move(self, opening: float) -> None:
        """Ask for a distance between the fingers [m]; returns at once."""
        ...
