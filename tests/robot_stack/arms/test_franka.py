"""The drivers of FR3 and Panda in flight, through the unmodified client libraries, against their emulators."""

import time
from collections.abc import Iterator

import pytest

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.arms.franka_flight import SPEED, Flight, rests, until


@pytest.fixture(scope="module")
def flight(franka: str, there: EmulatorProcess) -> Iterator[Flight]:
    with Flight(franka, there.host) as flight:
        assert flight.trouble == ""
        yield flight


@pytest.fixture
def flying(flight: Flight, there: EmulatorProcess) -> Flight:
    """Under way, its last joint at SPEED."""
    flight.fly(0.0)
    flight.recover()
    flight.fly(SPEED)
    flight.until_it_moves()
    return flight


def test_a_reflex_is_a_fault_in_the_controllers_words_and_recovered_from_at_a_persons_word(
    flying: Flight, there: EmulatorProcess
) -> None:
    there.ask("reflex", error="joint_reflex")
    assert flying.fault().startswith("joint_reflex (a joint felt more torque than the collision threshold): look what")
    until(lambda: rests(there))
    assert there.state()["robot_mode"] == "reflex", "nobody asked for a recovery"
    flying.recover()
    flying.until_it_moves()


def test_a_push_beyond_the_threshold_of_the_config_is_a_reflex(flying: Flight, there: EmulatorProcess) -> None:
    there.ask("push", force=[0.0, 0.0, 70.0], seconds=0.3)
    assert "reflex" in flying.fault()
    time.sleep(0.5)


def test_a_user_stop_says_to_release_it_and_is_not_recovered_from_before(
    flying: Flight, there: EmulatorProcess
) -> None:
    there.ask("user-stop")
    assert flying.fault() == "its user stop is pressed: look at the arm, release the button, then recover"
    flying.ask("recover")
    time.sleep(0.5)
    there.ask("user-stop", pressed=False)
    assert "user stop" in flying.fault()
    until(lambda: rests(there))
    flying.recover()
    flying.until_it_moves()


def test_an_arm_that_someone_takes_by_its_buttons_says_so(flying: Flight, there: EmulatorProcess) -> None:
    there.ask("guiding")
    assert flying.fault() == "it is led by hand at its own buttons: let go of them, then recover"
    there.ask("guiding", on=False)
    flying.recover()
    flying.until_it_moves()


def test_an_arm_that_is_guided_gives_way_and_is_held_where_it_was_led_without_leaving_control(
    flying: Flight, there: EmulatorProcess
) -> None:
    flying.fly(0.0)
    flying.ask("guide", True)
    time.sleep(0.5)  # the springs fade
    before = flying.ask("read")["q"][0]
    there.ask("twist", torque=[4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], seconds=0.5)
    flying.until(lambda state: state["q"][0] > before + 0.1)
    flying.until(lambda state: abs(state["dq"][0]) < 0.05)
    led = flying.ask("read")["q"][0]
    flying.ask("guide", False)
    flying.fly(0.0)
    time.sleep(0.5)
    there.ask("twist", torque=[4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], seconds=0.5)
    time.sleep(0.5)
    assert abs(flying.ask("read")["q"][0] - led) < 0.05
    assert there.state()["robot_mode"] == "move"
    assert flying.ask("read")["fault"] == ""


def test_a_loop_that_falls_silent_stops_the_arm_and_then_lets_go_of_it(flying: Flight, there: EmulatorProcess) -> None:
    flying.ask("fall_silent")
    until(lambda: rests(there))
    until(lambda: there.state()["robot_mode"] == "idle")
    assert flying.ask("read")["fault"] == ""
    flying.fly(SPEED)
    flying.until_it_moves()


def test_the_wrench_is_what_the_environment_exerts_on_the_arm_in_the_base_frame(
    flying: Flight, there: EmulatorProcess
) -> None:
    flying.fly(0.0)
    there.ask("push", force=[0.0, 0.0, -15.0], seconds=3.0)
    wrench = flying.until(lambda state: state["wrench"][2] < -12.0)["wrench"]
    assert abs(wrench[0]) < 4.0
    assert abs(wrench[1]) < 4.0


def test_what_was_measured_is_new_every_time_and_never_from_the_future(flying: Flight) -> None:
    flying.ask("ages")
    first, last = flying.ask("read"), flying.ask("read")
    assert first["time"] < last["time"]
    assert min(flying.ask("ages")) >= 0.0
