"""`robot-stack home`: the arm flies home, as the service flies it before each episode, and nothing else happens."""

from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from deploy import cell
from deploy.consent import agree
from deploy.flight import Flight, FlightError
from robot_stack.clock import now
from robot_stack.progress import bar
from robot_stack.robots import Robot
from robot_stack.robots import robot as find_robot
from robot_stack.safety import Limits
from robot_stack.types import Mode

THERE = 0.01
"""Home is reached when every measured joint is this near [rad], as the service judges it."""
PATIENCE = 180.0
"""Longest way home [s]: at 5 % of the speed it takes two minutes."""


def run(config: DictConfig) -> int:
    """The verb: 0 once the arm is home, 1 when the person did not agree. FlightError says what stopped it."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    robot, limits = find_robot(plain["robot"]["name"]), cell.driver(plain["robot"]["limits"])
    if not agree(describe(robot, limits, plain["speed"]), plain["yes"]):
        print("Nothing was moved.")
        return 1
    with Flight(plain, plain["speed"]) as flight:
        seconds = fly(flight, robot)
    print(f"The arm is home, after {seconds:.1f} s.")
    return 0


def describe(robot: Robot, limits: Limits, speed: float) -> str:
    """What will happen, for the person who is to agree."""
    fastest = np.degrees(speed * limits.joint_velocity * robot.velocity.max())
    return (
        f"The {robot.name} will fly home: straight with the tool from wherever it is to the home pose, there with its "
        f"joints to {np.round(np.degrees(robot.home))} deg, at most {1e3 * speed * limits.tcp_speed:.0f} mm/s at the "
        f"tool and {fastest:.0f} deg/s in a joint ({speed:.0%} of the limits). There the fingers open: what they hold "
        "falls. Fingers that are not activated yet open and close once before anything else. It knows nothing of what "
        "is in the way."
    )


def fly(flight: Flight, robot: Robot) -> float:
    """Fly home, show how far it still is, and return how long it took [s]."""
    began = now()
    away = _away(flight, robot)
    flight.go_home()
    with bar("home [deg]", round(np.degrees(away), 1)) as progress:
        while not _is_home(flight, robot):
            flight.step()
            still = _away(flight, robot)
            progress.update(round(np.degrees(max(0.0, away - still)), 1), _remark(flight, still))
            if now() - began > PATIENCE:
                raise FlightError(f"not home after {PATIENCE:.0f} s: {_remark(flight, still)}")
    return now() - began


def _away(flight: Flight, robot: Robot) -> float:
    return float(np.abs(flight.control["q"] - robot.home).max())


def _is_home(flight: Flight, robot: Robot) -> bool:
    """Control says so, and the arm was measured there."""
    said = flight.control["mode"] == Mode.HOLD and flight.control["reason"] == b"home"
    return bool(said) and _away(flight, robot) < THERE


def _remark(flight: Flight, away: float) -> str:
    reason = flight.control["reason"].item().decode(errors="replace")
    return f"{np.degrees(away):.1f} deg to go{f' ({reason})' if reason else ''}"
