"""What stops a UR5e in flight: its controller, somebody at the pendant, a lost link; and how flying goes on."""

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.arms.ur_dashboard import Dashboard
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.arms.conftest import Fly, is_at_rest, until
from tests.robot_stack.arms.ur5e_flight import PERIOD, Flight

MOVES = 0.002
"""An arm that was not asked to move has moved when it is so far from where it was [rad]."""


def begin(fly: Fly, seconds: float = 0.5, **arguments: Any) -> Flight:
    """A flight that moves."""
    flight = fly(**arguments)
    flight.tell("fly")
    flight.hear("done")
    time.sleep(seconds)
    return flight


def joints(ur: EmulatorProcess) -> np.ndarray:
    until(lambda: is_at_rest(ur))
    return np.array(ur.state()["q"])


def recover(flight: Flight) -> list[str]:
    """Ask for it; every step that was told."""
    steps = []
    flight.tell("recover")
    flight.hear("fault", lambda words: steps.append(words) or not words or words.startswith("not recovered"))
    return steps


# --- stopped by its controller ----------------------------------------------------------------------------------------


def test_after_a_protective_stop_nothing_moves_until_a_person_asks_and_then_from_where_the_arm_is(
    ur: EmulatorProcess, fly: Fly
) -> None:
    flight, began = begin(fly), now()
    ur.ask("pstop")
    assert flight.hear("fault", bool).startswith("protective stop (safety mode 3): look what stopped it")
    there = joints(ur)
    flight.tell("fly")  # whoever asks
    time.sleep(0.3)
    assert np.abs(joints(ur) - there).max() < MOVES
    assert recover(flight)[-1] == ""
    time.sleep(0.3)
    assert np.abs(joints(ur) - there).max() < MOVES  # the new program did not begin with an old command
    order = [event["event"] for event in ur.events(began)]
    assert order.index("unlocked") < order.index("program-stopped") < order.index("program-started")
    assert "program-resumed" not in order
    flight.tell("fly")
    time.sleep(0.4)
    assert not is_at_rest(ur)
    flight.quit()


def test_a_protective_stop_is_not_unlocked_before_the_controller_allows_it(ur: EmulatorProcess, fly: Fly) -> None:
    flight = begin(fly)
    began = now()
    ur.ask("pstop")
    flight.hear("fault", bool)
    assert "recovering: unlocking the protective stop, which the controller allows 5 s after it" in recover(flight)
    unlocked = next(event["time"] for event in ur.events(began) if event["event"] == "unlocked")
    assert unlocked - began > 0.45  # as this controller was told
    flight.quit()


def test_after_an_emergency_stop_a_person_frees_the_button_and_powers_the_arm(ur: EmulatorProcess, fly: Fly) -> None:
    flight = begin(fly)
    ur.ask("estop")
    assert flight.hear("fault", bool).startswith("emergency stop (safety mode 7): pull the button out")
    assert "not recovered: emergency stop" in recover(flight)[-1]
    ur.ask("estop", pressed=False)
    assert "arm.power_on=true" in recover(flight)[-1]
    with Dashboard(ur.host) as pendant:
        pendant.order("power on", "Powering on")
        pendant.order("brake release", "Brake releasing")
    assert recover(flight)[-1] == ""
    flight.tell("fly")
    time.sleep(0.4)
    assert not is_at_rest(ur)
    flight.quit()


def test_the_driver_powers_the_arm_on_only_where_it_may(ur: EmulatorProcess, fly: Fly) -> None:
    flight = begin(fly, power_on=True)
    ur.ask("estop")
    flight.hear("fault", bool)
    ur.ask("estop", pressed=False)
    assert recover(flight)[-1] == ""
    assert "recovering: releasing the brakes: the arm may move a little" in flight.log
    flight.quit()


def test_a_stop_while_a_hand_leads_the_arm_ends_the_leading(ur: EmulatorProcess, fly: Fly) -> None:
    flight = fly()
    flight.tell("guide", on=True)
    flight.hear("done")
    ur.ask("safeguard")
    assert "safeguard stop (safety mode 5)" in flight.hear("fault", bool)
    flight.tell("guide", on=False)
    flight.hear("done")
    ur.ask("safeguard", open=False)
    assert recover(flight)[-1] == ""
    there = joints(ur)
    ur.ask("push", force=[0.0, 30.0, 0.0], seconds=0.3)
    time.sleep(0.4)
    assert np.abs(joints(ur) - there).max() < 0.02
    flight.quit()


def test_leaving_during_a_stop_leaves_no_program_to_be_resumed(ur: EmulatorProcess, fly: Fly) -> None:
    flight = begin(fly)
    ur.ask("pstop")
    flight.hear("fault", bool)
    flight.quit()
    assert ur.state()["runtime"] == "STOPPED"
    time.sleep(0.6)
    with Dashboard(ur.host) as pendant:
        pendant.order("unlock protective stop", "Protective stop releasing")


# --- stopped by somebody at the pendant -------------------------------------------------------------------------------


def test_a_program_that_was_ended_at_the_pendant_is_started_again_only_on_request(
    ur: EmulatorProcess, fly: Fly
) -> None:
    flight = begin(fly)
    with Dashboard(ur.host) as pendant:
        pendant.order("pause", "Pausing program")
        assert "our program on the controller is paused" in flight.hear("fault", bool)
        there = joints(ur)
        pendant.order("play", "Starting program")
        time.sleep(0.3)
        pendant.order("stop", "Stopped")
    flight.tell("fly")
    time.sleep(0.3)
    assert np.abs(joints(ur) - there).max() < 0.05  # `play` let the arm finish what it had begun, and no more
    assert recover(flight)[-1] == ""
    flight.quit()


def test_in_local_control_nothing_is_recovered(ur: EmulatorProcess, fly: Fly) -> None:
    flight = begin(fly)
    with Dashboard(ur.host) as pendant:
        pendant.order("stop", "Stopped")
    flight.hear("fault", bool)
    ur.ask("remote", on=False)
    try:
        assert "not recovered: the robot is in local control" in recover(flight)[-1]
    finally:
        ur.ask("remote")
    flight.quit()


# --- the link is lost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_a_link_lost_in_motion_ends_the_process_with_the_reason_and_the_arm_comes_to_rest(
    ur: EmulatorProcess, fly: Fly, tmp_path: Path, how: str, seed: int
) -> None:
    flight = begin(fly, random.Random(f"{how} {seed}").uniform(0.2, 0.8))
    lost = now()
    if how == "silence":
        ur.ask("silence")
        code = flight.end()
        ur.ask("silence", on=False)
    else:
        ur.ask("drop", reset=how == "rst")
        code = flight.end()
    assert code == 1, flight.log
    assert "leaving at once, the controller's watchdog stops the arm: link to" in flight.log
    assert_comes_to_rest(ur, lost, tmp_path)


def test_a_controller_that_reboots_in_motion_is_left(ur: EmulatorProcess, fly: Fly, tmp_path: Path) -> None:
    flight, lost = begin(fly), now()
    ur.ask("reboot", seconds=0.5)
    assert flight.end() == 1, flight.log
    assert "link to" in flight.log
    assert_comes_to_rest(ur, lost, tmp_path)
    until(lambda: "booted" in [event["event"] for event in ur.events(lost)])
    fly().quit()


def test_measurements_that_stand_still_are_a_lost_link(ur: EmulatorProcess, fly: Fly) -> None:
    flight = begin(fly)
    ur.ask("freeze")
    assert flight.end() == 1, flight.log
    assert "nothing measured for 0.5" in flight.log


def assert_comes_to_rest(ur: EmulatorProcess, lost: float, folder: Path) -> None:
    """By the controller's own clock: its watchdog ends our program in time, from then on it only brakes, and rests."""
    until(lambda: _when(ur, lost, "program-stopped") is not None)
    lost = ur.events(lost)[0]["time"] - PERIOD  # when the controller did what we asked
    while (cycles := _cycles_since(ur, lost, folder))["timestamp"][-1] < cycles["timestamp"][0] + 0.8:
        time.sleep(0.1)
    stopped = cycles["time"] > _when(ur, lost, "program-stopped")
    assert PERIOD * stopped.argmax() < 0.15  # in cycles: the clock leaps over those that this machine had no time for
    braking = np.abs(np.diff(cycles["commanded"][stopped], axis=0)).max(axis=1) / PERIOD
    assert (braking <= np.minimum.accumulate(braking) + 1e-6).all(), np.round(braking, 3).tolist()
    assert np.abs(cycles["dq"][-100:]).max() < 0.01
    assert ur.state()["runtime"] == "STOPPED"
    assert _when(ur, lost, "program-started") is None


def _when(ur: EmulatorProcess, since: float, event: str) -> float | None:
    return next((one["time"] for one in ur.events(since) if one["event"] == event), None)


def _cycles_since(ur: EmulatorProcess, time: float, folder: Path) -> np.ndarray:
    cycles = ur.log("cycles", folder / "cycles.npy")
    return cycles[cycles["time"] > time]
