"""The whole station on a virtual clock, as fast as the machine can: for evaluation and tests.

What flies here is what flies in the service: the same `Controller`, the same `Observer`, the same topics. Only the
clock, and who turns the crank, are different.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from robot_stack.bus import LocalBus
from robot_stack.control import Controller
from robot_stack.observe import Observer
from robot_stack.safety import Limits
from robot_stack.sim import station
from robot_stack.sim.world import World
from robot_stack.spec import Record, Spec
from robot_stack.station import CHUNK_STEPS, GRIPPER, REQUEST
from robot_stack.types import Mode

SLOW_TICKS = 10
"""The gripper and the objects are measured every this many control ticks: 50 Hz at 500 Hz."""
OPERATOR_TICKS = 5
"""The operator is asked every this many control ticks: 100 Hz at 500 Hz."""
PICTURE_AGE = 0.02
"""How old a camera's newest picture is when a row is made, about as in the service [s]."""

Operator = Callable[[float, Record, Record, Record], Record]
"""(now, control, gripper, world) -> operator: the newest records that the operator can see, and what is asked for."""


class Rollout(Protocol):
    """Something a policy can be flown on, one row at a time. row, rate [Hz]: of its rows."""

    row: Spec
    rate: float

    @property
    def time(self) -> float:
        """Since the reset [s]."""
        ...

    @property
    def done(self) -> bool:
        """Succeeded, or out of time."""
        ...

    @property
    def success(self) -> bool:
        """Whether the task was solved at any time since the reset."""
        ...

    @property
    def score(self) -> float:
        """How well, 0..1; what a benchmark averages."""
        ...

    def reset(self, seed: int) -> None:
        """Begin another attempt from the start state number `seed`."""
        ...

    def observe(self, steps: int) -> list[Record]:
        """The newest rows, oldest first; right after a reset the first row is repeated."""
        ...

    def advance(self, chunk: Record | None) -> Record:
        """Fly for one row period with a new chunk, or with what is left of the one before; the row at its end."""
        ...


class Lockstep:
    """A `Rollout` of the simulated station.

    cameras: name -> (height, width), drawn once a row; none for policies on states. limits: of this installation.
    rate: rows a second [Hz]. latency: a chunk given at a row's time is seen by control this much later [s], as if it
    had taken so long to compute; 0 is a network without delay. steps: the longest history that `observe` will be asked
    for.
    """

    def __init__(
        self,
        robot: str,
        task: str,
        cameras: dict[str, tuple[int, int]] | None = None,
        limits: Limits | None = None,
        rate: float = 10.0,
        latency: float = 0.0,
        steps: int = CHUNK_STEPS,
    ) -> None:
        self.station = station(robot, task, cameras, rate)
        self.row, self.rate, self.latency = self.station.row, rate, latency
        self.world = World(robot, task, cameras)
        self._controller = Controller(robot, self.station, limits or Limits())
        self._steps = steps
        self._ticks = round(self.station.control_rate / rate)
        self._picture_tick = self._ticks - round(PICTURE_AGE * self.station.control_rate)
        self._period = 1.0 / self.station.control_rate
        self.reset(0)

    @property
    def time(self) -> float:
        return self._tick * self._period

    @property
    def done(self) -> bool:
        return self.success or self.time >= self.world.task.limit

    @property
    def score(self) -> float:
        return float(self.success)

    def reset(self, seed: int) -> None:
        """The arm at home, the objects where `seed` says, time zero, no chunk."""
        self.world.reset(seed, seed)
        self.success, self._tick = False, 0
        self._chunk: Record | None = None
        self._waiting: list[tuple[float, Record]] = []
        self._wish: Record | None = None
        self._open_topics()
        self._controller.seed(self.world.arm(0.0))
        self._measure()
        self._photograph()
        self._control(_request(0.0, Mode.HOLD))
        self._observer.update()

    def observe(self, steps: int) -> list[Record]:
        """The newest rows, oldest first; right after a reset the first row is repeated."""
        rows = self._observer.history(self.time, steps)
        assert rows is not None  # every stream has had a message since `reset`
        return rows

    def advance(self, chunk: Record | None, operator: Operator | None = None) -> Record:
        """One row period of control ticks. chunk: from now (plus `latency`) on, the one to fly; None: the one before.
        operator: asked 100 times a second; flies whenever its answer is engaged."""
        if chunk is not None:
            self._waiting.append((self.time + self.latency, chunk))
        request = _request(self.time, Mode.RUN)
        for tick in range(self._ticks):
            self._deliver()
            if tick % OPERATOR_TICKS == 0:
                self._wish = operator(self.time, self.control, self._grip_record, self._truth) if operator else None
            self._control(request)
            self.world.step(self._period)
            self._tick += 1
            if (tick + 1) % SLOW_TICKS == 0:
                self._measure()
            if tick + 1 == self._picture_tick:
                self._photograph()
        self._observer.update()
        return self.observe(1)[0]

    def _open_topics(self) -> None:
        bus = LocalBus()
        self._observer = Observer(bus, self.station, self._steps)
        self._controls = bus.publisher(self.station.control)
        self._grips = bus.publisher(GRIPPER)
        self._worlds = bus.publisher(self.station.world)
        self._pictures = {name: bus.publisher(self.station.camera(name)) for name in self.station.cameras}

    def _deliver(self) -> None:
        """Make the chunks visible whose latency has passed."""
        while self._waiting and self._waiting[0][0] <= self.time + 1e-9:
            self._chunk = self._waiting.pop(0)[1]

    def _control(self, request: Record) -> None:
        """One tick: measure, decide, command."""
        state = self.world.arm(self.time)
        control = self._controller.step(self.time, state, self._grip, request, self._wish, self._chunk)
        control["tick"] = self._tick
        self.world.servo(control["target.q"])
        self.world.move(float(control["target.grip"]))
        self._controls.send(control)
        self.control = control

    def _measure(self) -> None:
        self._grip = self.world.gripper(self.time)
        self._grip_record = GRIPPER.spec.record(time=self.time, opening=self._grip.opening)
        self._truth = self.world.truth(self.time)
        self.success = self.success or bool(self._truth["success"])
        self._grips.send(self._grip_record)
        self._worlds.send(self._truth)

    def _photograph(self) -> None:
        for name, publisher in self._pictures.items():
            record = np.zeros((), self.station.camera(name).spec.dtype)
            record["time"], record["sequence"], record["image"] = self.time, self._tick, self.world.render(name)
            publisher.send(record)


def _request(time: float, mode: Mode) -> Record:
    return REQUEST.spec.record(time=time, mode=mode, speed=1.0)
