"""The cell that `bench store` records: an arm at 500 Hz and cameras at 30 Hz that publish what is known beforehand.

It runs as a worker of its own. What it published, and when, it writes to files when it ends: the truth that a recording
is held against.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from deploy import cell
from deploy.bench.store_scene import FILMED, shown
from deploy.worker import Context
from robot_stack.bus import Bus
from robot_stack.clock import Rate, now
from robot_stack.station import GRIPPER, Station
from robot_stack.types import Source

GRIPPED = 30.0
"""Messages of the gripper a second [Hz]."""


def publish(context: Context) -> None:
    """The process: config station, film (.npy of frames, cameras, height, width, 3), truth (folder)."""
    station = cell.from_json(context.config["station"])
    arm = Cell(context.bus, station, np.load(context.config["film"]))
    rate = Rate(station.control_rate)
    while not context.stop():
        late = rate.sleep()
        began = now()
        arm.tick(began)
        context.health.beat(now() - began, late)
    folder = Path(context.config["truth"])
    for topic, times in arm.times.items():
        np.save(folder / f"{topic}.npy", times)


class Cell:
    """times: topic -> when each of its messages was captured and when it was sent [s]; a camera's `sequence` is the
    place in that list."""

    def __init__(self, bus: Bus, station: Station, film: np.ndarray[Any, Any]) -> None:
        self.times: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._film = film
        self._control = bus.publisher(station.control)
        self._state = station.control.spec.record(source=Source.OPERATOR)
        self._gripper = bus.publisher(GRIPPER)
        topics = [station.camera(name) for name in station.cameras]
        self._cameras = [(topic, bus.publisher(topic), topic.spec.record()) for topic in topics]
        period = 1 / FILMED
        starts = [now() + number * period / (1 + len(topics)) for number in range(1 + len(topics))]
        self._due = dict(zip([GRIPPER.name, *(topic.name for topic in topics)], starts, strict=True))

    def tick(self, time: float) -> None:
        """Publish the arm's state, and what else is due at `time` [s]."""
        number = len(self.times["control"])
        self._state["time"], self._state["tick"] = time, number
        self._state["q"] = self._state["target.q"] = np.sin(0.002 * number + np.arange(self._state["q"].size))
        self._control.send(self._state)
        self.times["control"].append((time, now()))
        if self._is_due(GRIPPER.name, time, GRIPPED):
            self._gripper.send(GRIPPER.spec.record(time=time, opening=0.04))
            self.times[GRIPPER.name].append((time, now()))
        for place, (topic, publisher, frame) in enumerate(self._cameras):
            if self._is_due(topic.name, time, FILMED):
                sequence = len(self.times[topic.name])
                frame["time"], frame["sequence"] = time, sequence
                frame["image"] = self._film[shown(sequence, len(self._film)), place]
                publisher.send(frame)
                self.times[topic.name].append((time, now()))

    def _is_due(self, topic: str, time: float, hertz: float) -> bool:
        if time < self._due[topic]:
            return False
        self._due[topic] = max(self._due[topic], time - 1 / hertz) + 1 / hertz
        return True
