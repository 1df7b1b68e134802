"""The simulated arm as its driver sees it: a stream of measurements, and joints sent to a servo."""

from types import TracebackType
from typing import Self

from robot_stack.bus import Bus
from robot_stack.clock import now
from robot_stack.robots import robot as find_robot
from robot_stack.sim import topics
from robot_stack.sim.wire import first
from robot_stack.types import ArmState, Array


class SimArm:
    """The arm of a `WorldServer` on the same bus."""

    def __init__(self, bus: Bus, robot: str) -> None:
        joints = len(find_robot(robot).joints)
        self._bus = bus
        self._state, self._servo = topics.state(joints), topics.servo(joints)
        self._command = self._servo.spec.record()

    def __enter__(self) -> Self:
        self._states = self._bus.subscriber(self._state)
        self._commands = self._bus.publisher(self._servo)
        self._newest = first(self._states, "the simulated arm")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.halt()
        self._commands.close()

    def read(self) -> ArmState:
        """The newest measurement; its `time` is when it was measured."""
        self._newest = self._states.latest() or self._newest
        state = self._newest
        return ArmState(float(state["time"]), state["q"], state["dq"], state["pose"], state["wrench"])

    def servo(self, q: Array, dq: Array) -> None:
        """Command the joints (n,) [rad]; the arm holds there until the next command, so `dq` is not needed."""
        self._command["time"], self._command["q"] = now(), q
        self._commands.send(self._command)

    def halt(self) -> None:
        """Hold where the arm is."""
        q = self.read().q
        self.servo(q, 0.0 * q)

    def guide(self, on: bool) -> None:
        """Nothing to be switched: nobody's hand reaches into the simulation, and the arm holds where it is."""

    def recover(self) -> None:
        """There is nothing to recover from: a simulated arm has no faults."""
