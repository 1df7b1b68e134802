"""When the policy plans."""

from deploy.inference import Replanning
from robot_stack.station import Station
from robot_stack.types import Mode, Source

STATION = Station("test", 6)


def plans(replanning: Replanning, *rows: tuple[Mode, Source]) -> list[bool]:
    return [replanning.due(STATION.control.spec.record(mode=mode, source=source)) for mode, source in rows]


HELD, FLOWN, TAKEN = (Mode.HOLD, Source.NOBODY), (Mode.RUN, Source.POLICY), (Mode.RUN, Source.OPERATOR)


def test_plans_when_the_arm_begins_to_run_and_then_once_every_so_many_rows() -> None:
    rows = plans(Replanning(3), HELD, HELD, FLOWN, FLOWN, FLOWN, FLOWN, FLOWN, FLOWN, FLOWN)
    assert rows == [False, False, True, False, False, True, False, False, True]


def test_goes_on_planning_while_the_operator_flies_and_at_once_when_handed_back() -> None:
    rows = plans(Replanning(3), FLOWN, TAKEN, TAKEN, TAKEN, TAKEN, FLOWN, FLOWN, FLOWN, FLOWN)
    assert rows == [True, False, False, True, False, True, False, False, True]


def test_plans_nothing_in_other_modes_and_begins_anew_after_them() -> None:
    replanning = Replanning(3)
    assert plans(replanning, FLOWN, FLOWN, HELD, HELD, HELD) == [True, False, False, False, False]
    assert not replanning.flying
    assert plans(replanning, FLOWN, FLOWN) == [True, False]


def test_plans_nothing_while_blind_and_at_once_when_it_sees_again() -> None:
    replanning = Replanning(3)
    flown = STATION.control.spec.record(mode=Mode.RUN, source=Source.POLICY)
    assert replanning.due(flown)
    for _ in range(5):
        assert not replanning.due(flown, sees=False)
        assert not replanning.flying
    assert replanning.due(flown)
    assert replanning.flying
