"""What the newest messages of all topics say, for the two who must know: the director and the page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deploy.director import ORDERS, Commands, Director, Inputs, Order
from robot_stack.bus import Bus
from robot_stack.robots import robot as find_robot
from robot_stack.spec import Record
from robot_stack.station import GRIPPER, RECORDING, Station
from robot_stack.types import Mode, Source

FRESH = 1.0
"""A stream whose newest message is older is not there [s]."""
AT_HOME = 0.01
"""All joints this near home [rad] and this slow [rad/s] are home."""
OPEN = 1e-3
"""The fingers are sent this near to fully open once the arm is home [m]."""


class Board:
    """Subscribes to every stream of the station; `update` looks, the rest tells what was seen."""

    def __init__(self, bus: Bus, station: Station, robot: str) -> None:
        self._home, self._opening = find_robot(robot).home, find_robot(robot).opening
        self._operator = bus.subscriber(station.operator)
        self._recording = bus.subscriber(RECORDING)
        topics = {"control": station.control, "gripper": GRIPPER}
        topics |= {f"camera.{name}": station.camera(name) for name in station.cameras}
        if station.objects:
            topics["world"] = station.world
        self._streams = {name: bus.subscriber(topic) for name, topic in topics.items()}
        self._newest: dict[str, Record | None] = dict.fromkeys(topics)
        self._ticks: tuple[int, float] | None = None
        self.rate: float | None = None  # of control [Hz]

    def update(self) -> None:
        """Take in what arrived."""
        self._newest = {name: stream.latest() for name, stream in self._streams.items()}
        self._newest |= {"operator": self._operator.latest(), "recording": self._recording.latest()}
        self._measure_rate()

    def ages(self, now: float) -> dict[str, float | None]:
        """By stream: seconds since the capture of its newest message, None before the first."""
        newest = {name: self._newest[name] for name in self._streams}
        return {name: None if record is None else now - float(record["time"]) for name, record in newest.items()}

    def inputs(self, now: float, ready: bool, whole: bool, orders: Sequence[Order]) -> Inputs:
        """For the director. ready: all workers are. whole: all but the one that proposes."""
        control, world = self._newest["control"], self._newest.get("world")
        operator, recording = self._newest["operator"], self._newest["recording"]
        return Inputs(
            alive=ready and all(age is not None and age < FRESH for age in self.ages(now).values()),
            whole=whole,
            mode=Mode.HOLD if control is None else Mode(int(control["mode"])),
            fault=control is not None and control["fault"] != b"",
            home=control is not None and self._is_home(control),
            success=world is not None and bool(world["success"]),
            world=-1 if world is None else int(world["number"]),
            verdict=-1 if operator is None else int(operator["verdict"]),
            open=-1 if recording is None else int(recording["number"]),
            committed=-1 if recording is None else int(recording["committed"]),
            orders=tuple(orders),
        )

    def status(self, now: float, director: Director, commands: Commands) -> dict[str, Any]:
        """For the page: what does not depend on the workers; ready for JSON."""
        control, recording = self._newest["control"], self._newest["recording"]
        if control is not None and now - float(control["time"]) > FRESH:
            control = None  # its process is gone: nobody flies, whoever flew last
        rows = recording if recording is not None and recording["number"] == director.number else None
        return {
            "time": now,
            "phase": director.phase.value,
            "note": director.note,
            "mode": (commands.mode if control is None else Mode(int(control["mode"]))).name.lower(),
            "source": (Source.NOBODY if control is None else Source(int(control["source"]))).name.lower(),
            "reason": "" if control is None else control["reason"].item().decode(errors="replace"),
            "fault": "" if control is None else control["fault"].item().decode(errors="replace"),
            "limited": control is not None and bool(control["limited"]),
            "allowed": [order.value for order in Order if order in ORDERS[director.phase]],
            "finished": director.finished,
            "wanted": director.rules.episodes,
            "episode": {
                "number": director.number,
                "elapsed": now - director.since,
                "time_limit": director.rules.time_limit,
                "rows": 0 if rows is None else int(rows["rows"]),
                "missed": 0 if rows is None else int(rows["missed"]),
            },
            "control": self._control(control),
            "ages": self.ages(now),
        }

    def _control(self, control: Record | None) -> dict[str, float | int | None]:
        if control is None:
            return {"rate": None, "late": None, "work": None, "missed": None}
        late, work = float(control["late"]), float(control["work"])
        return {"rate": self.rate, "late": late, "work": work, "missed": int(control["missed"])}

    def _measure_rate(self) -> None:
        """Ticks a second since the look about a second ago."""
        control = self._newest["control"]
        if control is None:
            return
        tick, time = int(control["tick"]), float(control["time"])
        then = self._ticks
        if then is None or tick < then[0]:
            self._ticks = tick, time
        elif time - then[1] >= 1.0:
            self.rate, self._ticks = (tick - then[0]) / (time - then[1]), (tick, time)

    def _is_home(self, control: Record) -> bool:
        away, speed = np.abs(control["q"] - self._home).max(), np.abs(control["dq"]).max()
        opened = control["target.grip"] > self._opening - OPEN
        return bool(away < AT_HOME and speed < AT_HOME and opened)
