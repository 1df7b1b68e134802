"""Arms: the protocol, and one file per kind."""

from types import TracebackType
from typing import Protocol, Self

from robot_stack.types import ArmState, Array


class Arm(Protocol):
    """A position-servoed arm. Entering connects or raises DeviceError; leaving always leaves it at rest."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read(self) -> ArmState:
        """The newest measurement; its `time` is when it was measured, so a stale one shows its age."""
        ...

    def servo(self, q: Array) -> None:
        """Command the joints (n,) [rad] for the next control period."""
        ...

    def halt(self) -> None:
        """Come to rest as fast as the arm safely can and hold; may be called at any time, more than once."""
        ...
