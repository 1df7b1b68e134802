"""`robot-stack check`: is this robot, with its gripper and cameras, what the rest of the code takes it for?

It connects through the drivers that the service uses, measures for a while, and compares. It is the contract of the
device protocols, for users: whoever writes a driver runs it. Nothing moves: `servo` and `move` are never called.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from deploy import cell
from deploy.worker import spawn
from robot_stack.arms import Arm
from robot_stack.bus import Bus, SharedBus
from robot_stack.cameras import Camera
from robot_stack.clock import Rate, now
from robot_stack.doctor import table
from robot_stack.doctor.finding import Finding, Level, fail
from robot_stack.doctor.robot import Reading, judge_arm, judge_camera, judge_gripper, judge_pacing
from robot_stack.grippers import Gripper
from robot_stack.robots import Robot
from robot_stack.robots import robot as find_robot
from robot_stack.safety import Limits
from robot_stack.types import RobotStackError


def run(config: DictConfig) -> int:
    """The verb: 0 when the robot may be flown, 1 when it should not."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    console = Console(highlight=False)
    with connected(plain) as bus, console.status("measuring; nothing moves"):
        findings = examine(plain, bus)
    console.print(table(findings))
    failed = [finding.subject for finding in findings if finding.level is Level.FAIL]
    console.print(f"\nDo not fly this robot yet: {', '.join(failed)}." if failed else "\nThis robot can be flown.")
    return int(bool(failed))


@contextmanager
def connected(config: Mapping[str, Any]) -> Iterator[Bus]:
    """A bus of its own; the simulated world is on it, where the robot is a simulated one."""
    session = f"check-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder, SharedBus(session) as bus:
        if config["robot"]["world"] is None:
            yield bus
            return
        wanted = {"robot": config["robot"]["name"], "task": config["task"]["name"], "driver": config["robot"]["world"]}
        world = spawn("world", session, wanted, Path(folder))
        try:
            yield bus
        finally:
            world.stop()


def _device(config: Mapping[str, Any], part: Mapping[str, Any], bus: Bus, **given: Any) -> Any:
    return cell.driver(part, bus=bus, robot=config["robot"]["name"], task=config["task"]["name"], **given)


def examine(config: Mapping[str, Any], bus: Bus) -> list[Finding]:
    """Measure one device after the other, each for `config['seconds']`; one that cannot be reached is a finding too."""
    parts, seconds = config["robot"], config["seconds"]
    robot, limits = find_robot(parts["name"]), cell.driver(parts["limits"])
    rate = cell.station({**config, "rate": 10.0}).control_rate

    def gripper() -> list[Finding]:
        return check_gripper(_device(config, parts["gripper"], bus), robot, limits, seconds)

    def camera(name: str) -> list[Finding]:
        part = parts["cameras"][name]
        return check_camera(_device(config, part, bus, name=name), name, part, seconds)

    return [
        *attempt("arm", lambda: check_arm(_device(config, parts["arm"], bus), robot, limits, rate, seconds)),
        *attempt("gripper", gripper),
        *(finding for name in parts["cameras"] for finding in attempt(f"camera {name}", partial(camera, name))),
        judge_pacing(lateness(rate, seconds), rate),
    ]


def attempt(subject: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """What a check finds, or that the device could not be reached."""
    try:
        return check()
    except RobotStackError as error:
        return [fail(subject, str(error), "it cannot be used", "what the message says; then robot-stack check again")]


def sample[T](read: Callable[[], T], seconds: float, rate: float | None = None) -> list[Reading[T]]:
    """What `read` returns within `seconds`; `rate` paces it [Hz], without it `read` blocks for something new."""
    readings: list[Reading[T]] = []
    pace = Rate(rate) if rate else None
    end = now() + seconds
    while now() < end:
        if pace is not None:
            pace.sleep()
        value = read()
        readings.append(Reading(now(), value))
    return readings


def lateness(rate: float, seconds: float) -> list[float]:
    """How late an empty loop of that rate wakes [s]."""
    pace, end, late = Rate(rate), now() + seconds, []
    while now() < end:
        late.append(pace.sleep())
    return late


# --- connecting ------------------------------------------------------------------------------------------------------


def check_arm(arm: Arm, robot: Robot, limits: Limits, rate: float, seconds: float) -> list[Finding]:
    """Read the arm at the control rate."""
    with arm:
        readings = sample(arm.read, seconds, rate)
    return judge_arm(readings, robot, limits, rate)


def check_gripper(gripper: Gripper, robot: Robot, limits: Limits, seconds: float) -> list[Finding]:
    """Read the gripper as often as the service does."""
    with gripper:
        readings = sample(gripper.read, seconds, 30.0)
    return judge_gripper(readings, robot, limits)


def check_camera(camera: Camera, name: str, config: Mapping[str, Any], seconds: float) -> list[Finding]:
    """Take pictures as they come."""
    with camera:
        camera.read()  # the first is late by how long the camera takes to start
        readings = sample(camera.read, seconds)
    return judge_camera(readings, name, (config["height"], config["width"], 3), config.get("rate"))
