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

    def servo(self, q: Array, dq: Array) -> None:
        """Command the joints (n,) [rad], on their way at dq (n,) [rad/s], for the next control period.

        While the arm's controller has a fault, and until it has been recovered from, nothing is commanded.
        """
        ...

    def halt(self) -> None:
        """Come to rest as fast as the arm safely can and hold; may be called at any time, more than once."""
        ...

    def guide(self, on: bool) -> None:
        """Let a person lead the arm by hand, or hold it again where it then is; DeviceError where the arm cannot."""
        ...

    def recover(self) -> None:
        """Begin to clear the fault of the arm's controller, in the order that its maker prescribes.

        Only ever called because a person asked for it who has looked at the arm. Returns at once; `read().fault` says
        how it goes on, and is empty when the arm can be commanded again, from where it then is.
        """
        ...
