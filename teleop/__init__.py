"""The operator's side: devices in, targets out. The protocol, and one file per kind.

A device answers `read(now, view)`: it is shown what the operator can see and says what the operator asks for. It
keeps no time of its own and opens no topic, so that lockstep and the real-time operator process
(`deploy.devices.operator`) call it alike. A device that measures a hand goes through `clutch.Clutch`, which makes
hand-over bumpless.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from robot_stack.spec import Record
from robot_stack.types import Array, TargetKind


@dataclass(frozen=True)
class View:
    """What the operator can see now: the newest record of each topic, None before the first."""

    control: Record | None
    gripper: Record | None = None
    world: Record | None = None
    episode: Record | None = None
    keys: Record | None = None


@dataclass(frozen=True)
class OperatorInput:
    """What the operator asks for.

    engaged: the operator flies. kind: whether `pose` (7,) base_from_tcp or `q` (n,) [rad] is meant; NONE while not
    engaged. grip: opening asked for [m]. verdict: 1 success, 0 failure of this episode, -1 none.
    """

    engaged: bool = False
    kind: TargetKind = TargetKind.NONE
    pose: Array | None = None
    q: Array | None = None
    grip: float = 0.0
    verdict: int = -1


class TeleopDevice(Protocol):
    """Something a person moves the arm with. Entering connects or raises DeviceError; leaving releases it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read(self, now: float, view: View) -> OperatorInput:
        """What the operator asks for at `now` [s], seeing `view`; never waits. Called 100 times a second."""
        ...
