from itertools import product

from robot_stack.arms import ur_status


def test_a_controller_that_plays_our_program_has_no_fault() -> None:
    assert ur_status.fault(ur_status.NORMAL, ur_status.RUNNING, ur_status.PLAYING) == ""
    assert ur_status.fault(ur_status.REDUCED, ur_status.RUNNING, ur_status.PLAYING) == ""


def test_the_cause_is_named_before_its_consequences() -> None:
    assert "protective stop" in ur_status.fault(ur_status.PROTECTIVE_STOP, ur_status.RUNNING, 4)
    assert "emergency stop" in ur_status.fault(7, 3, ur_status.STOPPED)
    assert "powered off" in ur_status.fault(ur_status.NORMAL, 3, ur_status.STOPPED)
    assert "our program" in ur_status.fault(ur_status.NORMAL, ur_status.RUNNING, ur_status.STOPPED)


def test_every_state_but_the_good_ones_is_a_fault_that_fits_into_the_record() -> None:
    for state in product([*ur_status.SAFETY, 0, 99], [*ur_status.ROBOT, 99], [*ur_status.RUNTIME, 99]):
        words = ur_status.fault(*state)
        assert (words == "") is (state in [(1, 7, 2), (2, 7, 2)]), state
        assert len(words.encode("ascii")) < 200


def test_states_are_found_by_the_names_of_the_dashboard() -> None:
    assert ur_status.number(ur_status.SAFETY, "SYSTEM_EMERGENCY_STOP") == 6
    assert ur_status.number(ur_status.ROBOT, "IDLE") == ur_status.IDLE
    assert ur_status.safety_fault(ur_status.number(ur_status.SAFETY, "SOMETHING_NEW"))
