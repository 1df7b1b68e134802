"""The simulated world in real time, in a process of its own: what the hardware would be."""

from collections.abc import Callable

import numpy as np

from robot_stack.bus import Bus
from robot_stack.clock import Rate, now
from robot_stack.sim import topics
from robot_stack.sim.scene import TIMESTEP
from robot_stack.sim.world import World
from robot_stack.spec import Record
from robot_stack.station import EPISODE

SCENE_TICKS = 5
"""Cameras hear of the scene every this many physics steps: 100 Hz."""
WORLD_TICKS = 10
"""The objects are published every this many physics steps: 50 Hz."""
CATCH_UP = 0.1
"""Time that was lost beyond this is not made up for [s]: the world stands still that long."""


class WorldServer:
    """Steps a world along the clock, obeys `sim.arm` and `sim.gripper`, publishes `sim.state`, `sim.scene` and `world`.

    A new `number` on the topic `episode` puts the objects where its `seed` says; the arm stays where it is held.
    """

    def __init__(self, bus: Bus, robot: str, task: str) -> None:
        self.world = World(robot, task)
        joints = self.world.station.joints
        self._state, self._scene = topics.state(joints), topics.scene(self.world.scene.size)
        self._states, self._scenes = bus.publisher(self._state), bus.publisher(self._scene)
        self._truths = bus.publisher(self.world.station.world)
        self._servo, self._grip = bus.subscriber(topics.servo(joints)), bus.subscriber(topics.GRIP)
        self._episode = bus.subscriber(EPISODE)
        self._time = now()
        self._ticks = 0

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
            self._publish()

    def _obey(self) -> None:
        servo, grip, episode = self._servo.latest(), self._grip.latest(), self._episode.latest()
        if servo is not None:
            self.world.servo(servo["q"])
        if grip is not None:
            self.world.move(float(grip["opening"]))
        if episode is not None and episode["number"] != self.world.number:
            self.world.reset(int(episode["seed"]), int(episode["number"]), keep_arm=True)

    def _publish(self) -> None:
        self._states.send(self._measured())
        if self._ticks % SCENE_TICKS == 0:
            self._scenes.send(self._scene.spec.record(time=self._time, scene=self.world.scene))
        if self._ticks % WORLD_TICKS == 0:
            self._truths.send(self.world.truth(self._time))
        self._ticks += 1

    def _measured(self) -> Record:
        arm = self.world.arm(self._time)
        record = np.zeros((), self._state.spec.dtype)
        record["time"], record["q"], record["dq"] = arm.time, arm.q, arm.dq
        record["pose"], record["wrench"] = arm.base_from_tcp, arm.wrench
        record["opening"] = self.world.gripper(self._time).opening
        return record
