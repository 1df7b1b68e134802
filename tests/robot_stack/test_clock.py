import time

import pytest

from robot_stack import clock
from robot_stack.clock import Rate, VirtualClock, now


class Stage:
    """Stands in for the system's clock: time passes only when somebody sleeps or works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 100.0
        monkeypatch.setattr(clock, "now", self.now)
        monkeypatch.setattr(time, "sleep", self.work)

    def now(self) -> float:
        self.time += 1e-6  # looking takes a microsecond
        return self.time

    def work(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def test_now_never_goes_back() -> None:
    times = [now() for _ in range(1000)]
    assert times == sorted(times)


def test_a_virtual_clock_stands_until_it_is_moved() -> None:
    virtual = VirtualClock(2.0)
    assert virtual() == virtual() == 2.0
    virtual.advance(0.5)
    assert virtual() == 2.5


def test_deadlines_do_not_drift_whatever_the_work_takes(stage: Stage) -> None:
    rate = Rate(100.0)
    start = rate.deadline
    for turn in range(50):
        stage.work(0.001 * (turn % 9))
        assert 0.0 <= rate.sleep() < 1e-5
        assert stage.time == pytest.approx(start + turn * 0.01, abs=1e-5)
    assert rate.missed == 0


def test_a_late_turn_is_told_and_the_next_is_on_time_again(stage: Stage) -> None:
    rate = Rate(100.0)
    stage.work(0.014)
    assert rate.sleep() == pytest.approx(0.004, abs=1e-5)
    assert rate.missed == 0
    assert rate.sleep() == pytest.approx(0.0, abs=1e-5)


def test_missed_deadlines_are_skipped_and_counted_not_caught_up(stage: Stage) -> None:
    rate = Rate(100.0)
    stage.work(0.057)
    assert rate.sleep() == pytest.approx(0.047, abs=1e-5)
    assert rate.missed == 4
    before = stage.time
    rate.sleep()
    assert stage.time - before == pytest.approx(0.003, abs=1e-5)  # the next deadline of the old grid, no burst


def test_a_loop_at_500_hertz_keeps_its_rate_on_the_real_clock() -> None:
    rate = Rate(500.0)
    start = now()
    for _ in range(100):
        rate.sleep()
    assert (now() - start) == pytest.approx((100 + rate.missed) / 500.0, abs=0.01)
