"""Cameras: the protocol, and one file per kind."""

from types import TracebackType
from typing import Protocol, Self

from robot_stack.types import Frame


class Camera(Protocol):
    """A colour camera. Entering connects or raises DeviceError."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read(self) -> Frame:
        """Block until a new frame is there; its time is when it was captured, not when it arrived."""
        ...
