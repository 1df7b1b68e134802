"""A world before its audience: what cameras, recorders and judges hear of it, and the episodes it is set up for."""

from robot_stack.bus import Bus
from robot_stack.sim import topics
from robot_stack.sim.world import World
from robot_stack.station import EPISODE
from robot_stack.types import ArmState

SCENE_PERIOD = 0.01
"""Cameras hear of the scene this often [s]."""
WORLD_PERIOD = 0.02
"""The objects are published this often [s]."""


class Stage:
    """Publishes `sim.state`, `sim.scene` and `world` as time passes in a world, and obeys `episode`.

    period: how often `publish` is called [s]. A new `number` on the topic `episode` puts the objects where its `seed`
    says; the arm stays where it is held.
    """

    def __init__(self, bus: Bus, world: World, period: float) -> None:
        self._world = world
        self._state, self._scene = topics.state(world.station.joints), topics.scene(world.scene.size)
        self._states, self._scenes = bus.publisher(self._state), bus.publisher(self._scene)
        self._truths = bus.publisher(world.station.world)
        self._episodes = bus.subscriber(EPISODE)
        self._scene_ticks = round(SCENE_PERIOD / period)
        self._world_ticks = round(WORLD_PERIOD / period)
        self._ticks = 0
        self._measured = self._state.spec.record()

    def obey(self) -> None:
        """Set the world up for an episode that has begun."""
        for episode in self._episodes.drain():
            if episode["number"] != self._world.number:
                self._world.reset(int(episode["seed"]), int(episode["number"]), keep_arm=True)

    def publish(self, arm: ArmState, opening: float) -> None:
        """Once a period: what the arm measured now, and the distance between the fingers [m]."""
        record = self._measured
        record["time"], record["q"], record["dq"] = arm.time, arm.q, arm.dq
        record["pose"], record["wrench"], record["opening"] = arm.base_from_tcp, arm.wrench, opening
        self._states.send(record)
        if self._ticks % self._scene_ticks == 0:
            self._scenes.send(self._scene.spec.record(time=arm.time, scene=self._world.scene))
        if self._ticks % self._world_ticks == 0:
            self._truths.send(self._world.truth(arm.time))
        self._ticks += 1
