"""The simulated gripper as its driver sees it."""

from types import TracebackType
from typing import Self

from robot_stack.bus import Bus
from robot_stack.clock import now
from robot_stack.robots import robot as find_robot
from robot_stack.sim import topics
from robot_stack.sim.wire import first
from robot_stack.types import GripperState


class SimGripper:
    """The gripper of a `WorldServer` on the same bus."""

    def __init__(self, bus: Bus, robot: str) -> None:
        self._bus = bus
        self._state = topics.state(len(find_robot(robot).joints))

    def __enter__(self) -> Self:
        self._states = self._bus.subscriber(self._state)
        self._commands = self._bus.publisher(topics.GRIP)
        self._newest = first(self._states, "the simulated gripper")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._commands.close()

    def read(self) -> GripperState:
        """The newest measurement."""
        self._newest = self._states.latest() or self._newest
        return GripperState(float(self._newest["time"]), float(self._newest["opening"]))

    def move(self, opening: float) -> None:
        """Ask for a distance between the fingers [m]."""
        self._commands.send(topics.GRIP.spec.record(time=now(), opening=opening))
