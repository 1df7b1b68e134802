"""A simulated camera: draws, in its own process, what the world published last."""

import time
from types import TracebackType
from typing import Self

from robot_stack.bus import Bus
from robot_stack.clock import Rate, now
from robot_stack.sim import topics
from robot_stack.sim.wire import first
from robot_stack.sim.world import World
from robot_stack.types import DeviceError, Frame

SILENCE = 1.0
"""A world that says nothing new for so long is lost [s]."""


class SimCamera:
    """One camera of the scene.

    name: 'front' or 'wrist'. height, width: of the picture [px]. rate: pictures a second [Hz].
    """

    def __init__(self, bus: Bus, robot: str, task: str, name: str, height: int, width: int, rate: float = 10.0) -> None:
        self.name = name
        self._bus, self._rate = bus, rate
        self._world = World(robot, task, {name: (height, width)})
        self._scene = topics.scene(self._world.scene.size)

    def __enter__(self) -> Self:
        self._scenes = self._bus.subscriber(self._scene)
        first(self._scenes, f"simulated camera {self.name!r}")
        self._world.render(self.name)  # the first picture takes longest
        self._pace = Rate(self._rate)
        self._sequence, self._drawn = 0, -1.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._world.close()

    def read(self) -> Frame:
        """Wait for the next period, draw the newest scene; the time is the scene's."""
        self._pace.sleep()
        deadline = now() + SILENCE
        while (scene := self._scenes.latest()) is None or scene["time"] <= self._drawn:
            if now() > deadline:
                raise DeviceError(f"simulated camera {self.name!r}: the world said nothing new for {SILENCE:.0f} s")
            time.sleep(0.002)
        self._world.scene = scene["scene"]
        self._drawn, self._sequence = float(scene["time"]), self._sequence + 1
        return Frame(self._drawn, self._sequence, self._world.render(self.name))
