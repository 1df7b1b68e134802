import numpy as np
import pytest

from robot_stack.kinematics import Kinematics
from robot_stack.limits import Limits
from robot_stack.safety import Safety
from robot_stack.types import ArmState
from robot_stack.watch import Watch

KINEMATICS = Kinematics("ur5e")
HOME = KINEMATICS.robot.home
POSE = KINEMATICS.forward(HOME)


@pytest.fixture
def watch():
    return Watch(KINEMATICS.robot, Limits())


def state(time=10.0, **changes):
    values = {"q": HOME, "dq": np.zeros(6), "base_from_tcp": POSE, "wrench": np.zeros(6)}
    return ArmState(time, **{**values, **changes})


def test_a_good_measurement_passes(watch):
    assert watch.check(10.0, state(), HOME) == ""
    assert watch.check(10.002, state(10.002), HOME) == ""


@pytest.mark.parametrize(
    ("field", "size"), [("q", 6), ("dq", 6), ("base_from_tcp", 7), ("wrench", 6)], ids=lambda value: str(value)
)
def test_a_measurement_of_another_shape_or_not_finite_stops_and_names_the_field(watch, field, size):
    assert watch.check(10.0, state(**{field: np.zeros(5)}), HOME) == (
        f"arm: {field} has shape (5,), expected ({size},)"
    )
    broken = np.zeros(size)
    broken[2] = np.nan
    assert watch.check(10.0, state(**{field: broken}), HOME).startswith(f"arm: {field} is not finite")


@pytest.mark.parametrize("time", [9.7, 10.3, np.nan])
def test_a_measurement_that_is_old_or_of_the_future_stops(watch, time):
    assert "limit 0.200 s" in watch.check(10.0, state(time), HOME)


def test_a_joint_that_jumps_stops_and_is_named(watch):
    watch.check(10.0, state(), HOME)
    q = HOME + [0, 0.3, 0, 0, 0, 0]
    assert watch.check(10.002, state(10.002, q=q), q) == "arm: shoulder_lift_joint jumped from -1.716 to -1.416 rad"


def test_after_forgetting_the_next_measurement_may_be_anywhere(watch):
    watch.check(10.0, state(), HOME)
    watch.forget()
    q = HOME + [0, 0.3, 0, 0, 0, 0]
    assert watch.check(10.002, state(10.002, q=q), q) == ""


def test_a_joint_may_move_as_fast_as_the_robot_can(watch):
    watch.check(10.0, state(), HOME)
    q = HOME + 0.1 * KINEMATICS.robot.velocity
    assert watch.check(10.1, state(10.1, q=q), q) == ""


def test_a_joint_away_from_its_setpoint_stops_and_is_named(watch):
    reason = watch.check(10.0, state(), HOME + [0, 0, 0, 0.5, 0, 0])
    assert reason == "arm: wrist_1_joint is 0.500 rad from its setpoint, limit 0.400 rad"


def test_a_clock_that_goes_back_or_leaps_stops(watch):
    assert watch.check(10.0, state(10.0), HOME) == ""
    assert watch.check(9.5, state(10.002), HOME) == "arm: state is -0.502 s old, limit 0.200 s"
    assert watch.check(70.0, state(10.004), HOME) == "arm: state is 59.996 s old, limit 0.200 s"
    assert "limit 0.200 s" in watch.check(np.nan, state(10.006), HOME)
    assert watch.check(10.01, state(10.01), HOME) == ""


def test_an_age_of_exactly_the_limit_passes_and_a_setpoint_exactly_that_far_away_does_too():
    watch = Watch(KINEMATICS.robot, Limits(state_age=0.25, tracking=0.5))
    home = np.zeros(6)
    assert watch.check(10.25, state(10.0, q=home), home + 0.5) == ""
    assert watch.check(10.26, state(10.0, q=home), home) != ""
    assert watch.check(10.0, state(10.0, q=home), home - 0.51) != ""


def test_a_joint_jumps_when_it_moves_further_than_at_one_and_a_half_times_its_speed_and_some_noise(watch):
    watch.check(10.0, state(), HOME)
    q = HOME + [0, 0.1 * 1.5 * np.pi + 0.019, 0, 0, 0, 0]
    assert watch.check(10.1, state(10.1, q=q), q) == ""
    q = q - [0, 0.1 * 1.5 * np.pi + 0.021, 0, 0, 0, 0]
    assert watch.check(10.2, state(10.2, q=q), q).startswith("arm: shoulder_lift_joint jumped from")


def test_a_measurement_from_before_the_last_explains_no_motion(watch):
    watch.check(10.0, state(), HOME)
    q = HOME + [0, 0, 0.03, 0, 0, 0]
    assert watch.check(10.0, state(9.9, q=q), q) == "arm: elbow_joint jumped from 1.787 to 1.817 rad"


def pressed(watch, wrench, *times):
    wrench = np.array(wrench, float)
    return [watch.check(time, state(time, wrench=wrench), HOME) for time in times]


def test_a_tool_that_is_pressed_too_hard_for_ten_milliseconds_stops_the_arm(watch):
    words = "arm: the tool is pressed with 160 N, limit 150 N"
    assert pressed(watch, [0, 96, -128, 0, 0, 0], 10.0, 10.002, 10.009, 10.0101) == ["", "", "", words]


def test_a_tool_that_is_turned_too_hard_for_ten_milliseconds_stops_the_arm(watch):
    words = "arm: the tool is turned with 12.0 Nm, limit 10.0 Nm"
    assert pressed(watch, [0, 0, 20, 0, 12, 0], 10.0, 10.009, 10.0101) == ["", "", words]


def test_after_exactly_ten_milliseconds_it_is_too_long(watch):
    assert pressed(watch, [200, 0, 0, 0, 0, 0], 0.0, 0.0099, 0.01)[1:] == [
        "",
        "arm: the tool is pressed with 200 N, limit 150 N",
    ]


def test_what_is_too_much_is_named(watch):
    assert pressed(watch, [150, 0, 0, 0, 12, 0], 10.0, 10.011)[1].startswith("arm: the tool is turned")


def test_a_wrench_of_exactly_its_limit_may_last(watch):
    assert pressed(watch, [150, 0, 0, 0, 10, 0], 10.0, 10.1, 10.2) == ["", "", ""]


def test_single_samples_of_a_large_wrench_stop_nothing(watch):
    for time in np.arange(10.0, 10.2, 0.008):
        assert pressed(watch, [500, 0, 0, 0, 0, 0], time) == [""]
        assert pressed(watch, [0, 0, 140, 0, 0, 9], time + 0.004) == [""]


def test_after_a_stop_the_arm_may_be_started_while_it_still_presses_but_not_press_harder(watch):
    assert pressed(watch, [0, 0, 200, 0, 0, 0], 10.0, 10.011)[1] != ""
    assert pressed(watch, [0, 0, 219, 0, 0, 0], 10.02, 10.04) == ["", ""]
    assert pressed(watch, [0, 0, 221, 0, 0, 0], 10.05, 10.061)[1] == "arm: the tool is pressed with 221 N, limit 150 N"


def test_once_the_wrench_has_fallen_its_limit_has_fallen_with_it(watch):
    assert pressed(watch, [0, 0, 200, 0, 0, 0], 10.0, 10.011)[1] != ""
    assert pressed(watch, [0, 0, 160, 0, 0, 0], 10.02) == [""]
    assert pressed(watch, [0, 0, 190, 0, 0, 0], 10.03, 10.041)[1] != ""
    assert pressed(watch, [0, 0, 10, 0, 0, 0], 10.05) == [""]
    assert pressed(watch, [0, 0, 151, 0, 0, 0], 10.06, 10.071)[1] != ""


def test_the_filter_hands_its_measurements_to_the_watch_and_forgets_with_it():
    safety = Safety(KINEMATICS, Limits(), 0.002)
    assert safety.check(10.0, state(), HOME) == ""
    q = HOME + 0.3
    assert "jumped" in safety.check(10.002, state(10.002, q=q), q)
    safety.forget()
    assert safety.check(10.004, state(10.004, q=HOME), HOME) == ""
