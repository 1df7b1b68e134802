"""The drivers of FR3 and Panda from entering to leaving, and when the link is lost, against their emulators."""

import time

import numpy as np
import pytest

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.arms.franka_flight import SPEED, Flight, fulfil, rests, until
from tests.robot_stack.emulators.emulator import next_host

GONE = "communication_constraints_violation"


@pytest.fixture(autouse=True)
def fresh(there: EmulatorProcess) -> None:
    there.ask("reset")


@pytest.mark.parametrize(
    "contract",
    [
        "arm_measures_its_state_and_says_when",
        "arm_goes_where_it_is_servoed",
        "arm_comes_to_rest_when_halted_as_often_as_it_is_asked",
        "arm_is_at_rest_after_it_was_left",
    ],
)
def test_it_keeps_the_contract_of_an_arm(contract: str, franka: str, there: EmulatorProcess) -> None:
    fulfil(contract, franka, there.host)


# --- entering --------------------------------------------------------------------------------------------------------


def trouble(franka: str, host: str, **changes: object) -> str:
    with Flight(franka, host, **changes) as flight:
        return flight.trouble


def test_a_robot_whose_interface_is_not_activated_says_so(franka: str) -> None:
    assert "refuses the connection: activate FCI in Desk" in trouble(franka, next_host())


def test_an_unknown_host_is_named(franka: str) -> None:
    assert "no-such-robot.invalid is no host that this computer knows" in trouble(franka, "no-such-robot.invalid")


def test_a_robot_with_other_firmware_is_refused_with_both_versions(franka: str, there: EmulatorProcess) -> None:
    there.ask("version", number=7)
    own = {"fr3": 10, "panda": 5}[franka]
    assert f"speaks version 7 of the control interface, this driver {own}" in trouble(franka, there.host)


def test_a_tool_that_is_not_where_the_model_has_it_is_refused_with_numbers(franka: str, there: EmulatorProcess) -> None:
    words = trouble(franka, there.host, hand_from_tcp=[0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 1.0])
    assert "50.0 mm and 0.000 rad apart. Is the Franka hand chosen as end effector in Desk" in words


def test_a_second_program_is_turned_away(franka: str, there: EmulatorProcess) -> None:
    with Flight(franka, there.host) as first:
        assert first.trouble == ""
        assert "closed the connection: another program has it" in trouble(franka, there.host)


def test_a_robot_in_a_reflex_is_entered_says_why_and_is_recovered_from(franka: str, there: EmulatorProcess) -> None:
    there.ask("reflex", error="cartesian_reflex")
    with Flight(franka, there.host) as flight:
        assert flight.trouble == ""
        assert flight.fault().startswith("cartesian_reflex")
        flight.fly(0.0)
        flight.recover()
        flight.fly(SPEED)
        flight.until_it_moves()


# --- the link --------------------------------------------------------------------------------------------------------


def lose(there: EmulatorProcess, flight: Flight, how: str, **details: object) -> str:
    """Lose the link of an arm that moves; the error that follows."""
    flight.fly(SPEED)
    flight.until_it_moves()
    there.ask(how, **details)
    return str(flight.until(lambda state: state["error"] != "")["error"])


@pytest.mark.parametrize(
    ("how", "details"), [("cut", {"reset": False}), ("cut", {"reset": True}), ("silence", {}), ("reboot", {})]
)
def test_a_lost_link_is_an_error_the_arm_stops_and_the_process_ends(
    franka: str, there: EmulatorProcess, how: str, details: dict[str, object]
) -> None:
    with Flight(franka, there.host) as flight:
        words = lose(there, flight, how, **details)
        assert "has sent nothing for 1" in words or "is gone" in words or "sends no states" in words
        until(lambda: rests(there))
        flight.leave()


def test_a_link_lost_at_any_moment_never_hangs(franka: str, there: EmulatorProcess) -> None:
    rng = np.random.default_rng(0)
    with Flight(franka, there.host) as flight:
        for _ in range({"fr3": 15, "panda": 5}[franka]):
            assert flight.trouble == ""
            flight.fly(0.0)
            flight.recover()
            flight.fly(SPEED)
            time.sleep(rng.uniform(0.0, 0.2))
            there.ask("cut", reset=bool(rng.integers(2)))
            flight.until(lambda state: state["error"] != "")
            until(lambda: rests(there))
            flight.enter_again()


def test_a_frozen_state_ends_the_motion(franka: str, there: EmulatorProcess) -> None:
    with Flight(franka, there.host) as flight:
        assert "measures the same for 0." in lose(there, flight, "freeze")
        flight.leave()
    until(lambda: rests(there))


def test_a_process_that_is_killed_leaves_a_robot_that_stops_by_itself(franka: str, there: EmulatorProcess) -> None:
    with Flight(franka, there.host) as flight:
        flight.fly(SPEED)
        flight.until_it_moves()
        flight.kill()
        until(lambda: rests(there))
        assert there.state()["errors"] == [GONE]
    with Flight(franka, there.host) as flight:
        assert flight.fault().startswith(GONE)
        flight.recover()
