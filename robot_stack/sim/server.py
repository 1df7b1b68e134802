"""The simulated world in real time, in a process of its own: what the hardware would be."""

from collections.abc import Callable

from robot_stack.bus import Bus
from robot_stack.clock import Rate, now
from robot_stack.sim import topics
from robot_stack.sim.scene import TIMESTEP
from robot_stack.sim.stage import Stage
from robot_stack.sim.world import World

CATCH_UP = 0.1
"""Time that was lost beyond this is not made up for [s]: the world stands still that long."""


class WorldServer:
    """Steps a world along the clock, obeys `sim.arm` and `sim.gripper`, and keeps its `Stage`."""

    def __init__(self, bus: Bus, robot: str, task: str) -> None:
        self.world = World(robot, task)
        self._stage = Stage(bus, self.world, TIMESTEP)
        self._servo = bus.subscriber(topics.servo(self.world.station.joints))
        self._grip = bus.subscriber(topics.GRIP)
        self._time = now()

    def run(self, stop: Callable[[], bool]) -> None:
        """Keep the world up with the clock until `stop` says so."""
        rate = Rate(1.0 / TIMESTEP)
        while not stop():
            self.step_to(now())
            rate.sleep()

    def step_to(self, time: float) -> None:
        """Let the world go on to `time` [s]; time that was lost beyond `CATCH_UP` is skipped."""
        self._time = max(self._time, time - CATCH_UP)
        self._obey()
        while self._time + TIMESTEP <= time:
            self.world.step(TIMESTEP)
            self._time += TIMESTEP
            self._stage.publish(self.world.arm(self._time), self.world.gripper(self._time).opening)

    def _obey(self) -> None:
        servo, grip = self._servo.latest(), self._grip.latest()
        if servo is not None:
            self.world.servo(servo["q"])
        if grip is not None:
            self.world.move(float(grip["opening"]))
        self._stage.obey()
