"""Why a Franka arm does not follow, in words."""

import numpy as np
import pytest

from robot_stack.arms.franka_faults import MEANINGS, Mode, explain
from robot_stack.emulators.franka.errors import ERRORS
from robot_stack.station import Station

LONGEST = np.dtype(Station("fr3", 7).control.spec["fault"].dtype).itemsize


def test_an_idle_arm_without_errors_has_no_fault() -> None:
    assert explain(Mode.IDLE, ()) == ""


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.IDLE])
def test_every_other_mode_says_what_to_do(mode: Mode) -> None:
    assert any(word in explain(mode, ()) for word in ("recover", "wait"))


def test_an_error_is_named_as_the_controller_names_it_with_what_it_means_and_what_to_do() -> None:
    assert explain(Mode.REFLEX, ["cartesian_reflex"]) == (
        "cartesian_reflex (the hand felt more force than the collision threshold): "
        "look what it touched, clear it, then recover"
    )
    assert explain(Mode.REFLEX, ["max_path_pose_deviation_violation"]).startswith("max_path_pose_deviation_violation: ")


def test_a_pressed_user_stop_comes_before_what_else_is_wrong() -> None:
    assert explain(Mode.USER_STOPPED, ["joint_reflex"]).startswith("its user stop is pressed")


def test_only_errors_that_there_are_have_a_meaning() -> None:
    assert set(MEANINGS) <= set(ERRORS)


@pytest.mark.parametrize("mode", Mode)
def test_every_explanation_of_one_error_fits_the_record(mode: Mode) -> None:
    assert max(len(explain(mode, [error])) for error in ERRORS) <= LONGEST
