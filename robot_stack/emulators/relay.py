"""Brings the scene of an emulated robot into a session: what the cameras of a rehearsal see."""

from collections.abc import Callable

from robot_stack.bus import Bus, SharedBus
from robot_stack.clock import Rate, now
from robot_stack.emulators.body import session
from robot_stack.sim import station, topics
from robot_stack.sim.wire import first
from robot_stack.sim.world import World
from robot_stack.station import EPISODE
from robot_stack.types import DeviceError

RATE = 250.0
"""The scene comes 100 times a second and is at most this period late [Hz]."""
PATIENCE = 3.0
"""An emulator that runs is heard of by then [s]."""
SILENCE = 5.0
"""An emulator that says nothing for so long has ended [s]; a machine that is too busy holds it up for one or two."""
NO_EPISODE = -1
"""The number before the first: an emulator outlives a session, whose first number may be the last one's."""


class Relay:
    """Passes scene and objects of the emulator at `host` to a session's bus, and the session's episodes back to it.

    Takes the place of a `WorldServer` where arm and gripper are reached over the wire.
    """

    def __init__(self, bus: Bus, robot: str, task: str, host: str) -> None:
        self._name = f"the scene of the emulated {robot} at {host} with task={task} (robot-stack emulate)"
        self._emulator = SharedBus(session(robot, host))
        scene, truth = topics.scene(World(robot, task).scene.size), station(robot, task).world
        self._streams = [(self._emulator.subscriber(topic), bus.publisher(topic)) for topic in (scene, truth)]
        self._orders, self._episodes = self._emulator.publisher(EPISODE), bus.subscriber(EPISODE)

    def run(self, stop: Callable[[], bool]) -> None:
        """Relay until `stop` says so; DeviceError when there is no emulator, or none any more."""
        with self._emulator:
            for source, _ in self._streams:
                first(source, self._name, PATIENCE)
            self._orders.send(EPISODE.spec.record(time=now(), number=NO_EPISODE))
            rate, heard = Rate(RATE), now()
            while not stop():
                heard = now() if self._pass_on() else heard
                if now() - heard > SILENCE:
                    raise DeviceError(f"{self._name} was last heard of {SILENCE:.0f} s ago: did its process end?")
                rate.sleep()

    def _pass_on(self) -> bool:
        """One turn; whether anything new came from the emulator."""
        for episode in self._episodes.drain():
            self._orders.send(episode)
        heard = False
        for source, copy in self._streams:
            for record in source.drain():
                copy.send(record)
                heard = True
        return heard
