"""Measures one device for `robot-stack check`, in a process of its own as in the service: a driver may take it along.

Nothing moves: `servo` and `move` are never called, and what a driver would move by itself at the start is forbidden it.
What was found is written as JSON; a driver that gives up says why in the log, as everywhere.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from deploy import cell
from deploy.devices import CONTROL_PRIORITY
from deploy.worker import Context
from robot_stack.arms import Arm
from robot_stack.cameras import Camera
from robot_stack.clock import Rate, now
from robot_stack.doctor.finding import Finding, Level
from robot_stack.doctor.robot import Reading, judge_arm, judge_camera, judge_cost, judge_gripper, judge_pacing
from robot_stack.grippers import Gripper
from robot_stack.realtime import real_time
from robot_stack.robots import robot as find_robot
from robot_stack.types import DeviceError

GRIPPER_RATE = 30.0
"""As often as the gripper is read here [Hz]."""
SELF_MOVING = ("power_on", "activate", "homing")
"""Arguments of drivers that let them move something at the start: released brakes, fingers that open and close."""


class NotAllowedError(DeviceError):
    """A driver that would have to move something first, in its own words."""


class Sample[T](NamedTuple):
    """What was read, what each reading took [s], and how late each began [s]."""

    readings: list[Reading[T]]
    costs: list[float]
    late: list[float]


def arm(context: Context) -> None:
    """Read the arm at the control rate, as punctually as control does. Config: robot, driver, limits, rate, seconds."""
    config = context.config
    robot, limits = find_robot(config["robot"]), cell.driver(config["limits"])
    device: Arm
    began = now()
    with _held_still(context) as device:
        connecting = now() - began
        real_time(CONTROL_PRIORITY)
        seen = sample(device.read, config["seconds"], config["rate"])
    findings = judge_arm(seen.readings, robot, limits)
    _answer(
        context,
        [
            *findings,
            judge_cost(connecting, seen.costs, config["rate"]),
            judge_pacing(seen.late, config["rate"]),
        ],
    )


def gripper(context: Context) -> None:
    """Read the gripper. Config: robot, driver, limits, seconds."""
    config = context.config
    device: Gripper
    with _held_still(context) as device:
        seen = sample(device.read, config["seconds"], GRIPPER_RATE)
    _answer(context, judge_gripper(seen.readings, find_robot(config["robot"]), cell.driver(config["limits"])))


def camera(context: Context) -> None:
    """Take pictures as they come. Config: robot, task, driver, name, seconds."""
    config = context.config
    driver = config["driver"]
    device: Camera
    with _held_still(context) as device:
        device.read()  # the first is late by how long the camera takes to start
        seen = sample(device.read, config["seconds"])
    shape = (driver["height"], driver["width"], 3)
    _answer(context, judge_camera(seen.readings, config["name"], shape, driver.get("rate")))


def sample[T](read: Callable[[], T], seconds: float, rate: float | None = None) -> Sample[T]:
    """What `read` returns within `seconds`; `rate` paces it [Hz], without it `read` blocks for something new."""
    seen = Sample[T]([], [], [])
    pace = Rate(rate) if rate else None
    end = now() + seconds
    while now() < end:
        if pace is not None:
            seen.late.append(pace.sleep())
        began = now()
        value = read()
        seen.readings.append(Reading(now(), value))
        seen.costs.append(now() - began)
    return seen


def still(driver: Mapping[str, Any]) -> dict[str, Any]:
    """The driver's arguments, without leave to move anything by itself."""
    return {name: False if name in SELF_MOVING else value for name, value in driver.items()}


@contextmanager
def _held_still(context: Context) -> Iterator[Any]:
    """The device, connected; NotAllowedError where it only lacks a leave that the robot's file gives it."""
    config = context.config
    given = {"bus": context.bus, "robot": config["robot"], "task": config["task"]}
    driver = still(config["driver"])
    try:
        with cell.driver(driver, **given) as device:
            yield device
    except DeviceError as error:
        lacking = [name for name in driver if driver[name] != config["driver"][name] and f"{name}=true" in str(error)]
        if lacking:
            raise NotAllowedError(str(error)) from error
        raise


# --- across the border of the process ---------------------------------------------------------------------------------


def _answer(context: Context, findings: Sequence[Finding]) -> None:
    path = Path(context.config["answer"])
    rows = [{**asdict(finding), "level": finding.level.value} for finding in findings]
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(rows))
    temporary.replace(path)


def answer(path: Path) -> list[Finding]:
    """What a probe wrote."""
    return [Finding(**{**row, "level": Level(row["level"])}) for row in json.loads(path.read_text())]
