"""`robot-stack check`: is this robot, with its gripper and cameras, what the rest of the code takes it for?

It connects through the drivers that the service uses, measures for a while, and compares. It is the contract of the
device protocols, for users: whoever writes a driver runs it. Nothing moves, unless `move` is asked for and agreed to:
then a small motion test follows, if nothing speaks against it (see `motion_test`).
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf

from deploy import cell, motion_test, probe
from deploy.consent import agree
from deploy.worker import Worker, spawn
from robot_stack import terminal
from robot_stack.bus import SharedBus
from robot_stack.clock import now
from robot_stack.doctor import table
from robot_stack.doctor.finding import Finding, Level, fail, warn
from robot_stack.doctor.robot import judge_limits, judge_sight
from robot_stack.robots import robot as find_robot
from robot_stack.types import ConfigError

PATIENCE = 60.0
"""Longest that one device may take beyond the time it is measured for [s]: the first time, meshes are decimated."""


def run(config: DictConfig) -> int:
    """The verb: 0 when the robot may be flown, 1 when it should not, or when the motion test was not agreed to."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    console = terminal.console()
    with console.status("measuring; nothing moves"):
        findings = examine(plain)
    console.print(table(findings))
    if plain["move"] and not _failed(findings):
        limits = cell.driver(plain["robot"]["limits"])
        console.print()
        if not agree(motion_test.describe(plain["robot"]["name"], limits), plain["yes"]):
            console.print("Nothing was moved: this robot was not tested.")
            return 1
        moved = motion_test.run(plain, limits)
        console.print(table(moved))
        findings += moved
    console.print(verdict(findings, plain["move"]))
    return int(bool(_failed(findings)))


def verdict(findings: list[Finding], moved: bool) -> str:
    """What a person should make of it, in a line."""
    if failed := _failed(findings):
        untested = "" if not moved or "motion" in failed or "return" in _subjects(findings) else " It was not moved."
        return f"\nDo not fly this robot yet: {', '.join(failed)}.{untested}"
    warned = sum(finding.level is Level.WARN for finding in findings)
    known = f", with {warned} {'thing' if warned == 1 else 'things'} to know" if warned else ""
    return f"\nThis robot can be flown{known}." + ("" if moved else " Next: robot-stack check --move.")


def _subjects(findings: list[Finding]) -> set[str]:
    return {finding.subject for finding in findings}


def _failed(findings: list[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.subject for finding in findings if finding.level is Level.FAIL))


def examine(config: Mapping[str, Any]) -> list[Finding]:
    """Measure the arm, then the rest at once, for `config['seconds']`; what cannot be reached is a finding too."""
    parts = config["robot"]
    robot, limits = find_robot(parts["name"]), cell.driver(parts["limits"])
    rate = cell.station({**config, "rate": 10.0}).control_rate
    with _session(config) as begin:
        findings = begin("arm", "arm", parts["arm"], limits=parts["limits"], rate=rate)()
        findings += judge_limits(robot, limits, parts["speed"], parts["hardware"], parts["world"] is None)
        others = [begin("gripper", "gripper", parts["gripper"], limits=parts["limits"])]
        others += [begin("camera", f"camera {name}", part, name=name) for name, part in parts["cameras"].items()]
        return [*findings, *(finding for other in others for finding in other()), *judge_sight(list(parts["cameras"]))]


class Begin(Protocol):
    """Begins to measure a device: kind of its probe, what findings call it, its driver, what else the probe reads."""

    def __call__(self, kind: str, subject: str, driver: Mapping[str, Any], **own: Any) -> Callable[[], list[Finding]]:
        """Start; the result waits for the findings."""
        ...


@contextmanager
def _session(config: Mapping[str, Any]) -> Iterator[Begin]:
    """A bus, and the simulated world if the robot has one, for as long as devices are measured."""
    session = f"check-{os.getpid()}"
    robot, task, world = config["robot"]["name"], config["task"]["name"], None
    shared = {"robot": robot, "task": task, "seconds": config["seconds"]}
    with tempfile.TemporaryDirectory(prefix="robot-stack-check-") as name, SharedBus(session):
        folder = Path(name)
        if config["robot"]["world"] is not None:
            world = spawn("world", session, {**shared, "driver": config["robot"]["world"]}, folder)

        def begin(kind: str, subject: str, driver: Mapping[str, Any], **own: Any) -> Callable[[], list[Finding]]:
            words = subject.replace(" ", ".")
            answer = folder / f"{words}.findings.json"
            asked = {**shared, "driver": driver, "answer": str(answer), **own}
            worker = spawn(f"deploy.probe:{kind}", session, asked, folder, words)
            return partial(conclude, subject, worker, world, answer, config["seconds"] + PATIENCE)

        try:
            yield begin
        finally:
            if world is not None:
                world.stop()


def conclude(subject: str, worker: Worker, world: Worker | None, answer: Path, patience: float) -> list[Finding]:
    """Wait for a probe. What it found, with what its driver warned of; or why it gave up, in its driver's words."""
    deadline = now() + patience
    while worker.alive and now() < deadline and (world is None or world.alive):
        worker.wait(0.1)
    if world is not None and not world.alive:
        worker.stop()
        raise ConfigError(world.reason or f"the world {world.ending}: {world.log_tail()}")
    in_time = not worker.alive
    worker.stop()
    if answer.exists():
        return [*(_warning(subject, words) for words in worker.warnings), *probe.answer(answer)]
    if worker.reason.startswith("NotAllowedError: "):
        remedy = "nothing, if it may: robot-stack check --move and every session do it; or do it at the pendant"
        return [
            warn(subject, worker.reason.removeprefix("NotAllowedError: "), "not measured: it would have moved", remedy)
        ]
    found = worker.reason or (f"its driver {worker.ending}" if in_time else f"no answer within {patience:.0f} s")
    return [fail(subject, found, "it cannot be used", "what the message says; then robot-stack check again")]


def _warning(subject: str, words: str) -> Finding:
    return warn(subject, words, "its driver goes on", "what the message says")
