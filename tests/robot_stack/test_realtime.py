"""Priority: who takes it unasked gives it back. The loop that wants it is in tests/deploy/test_worker.py."""

import os
import threading

import pytest

from robot_stack.realtime import no_gain_of_priority


def raise_priority() -> None:
    """As SVT-AV1 does."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pytest.skip("real-time priority is not permitted here")


@pytest.mark.parametrize("fails", [False, True])
def test_who_took_priority_and_what_it_started_give_it_back(fails: bool) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    try:
        with no_gain_of_priority():
            raise_priority()
            thread.start()
            assert thread.native_id is not None
            assert os.sched_getscheduler(thread.native_id) == os.SCHED_FIFO
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    assert thread.native_id is not None
    assert [os.sched_getscheduler(which) for which in (0, thread.native_id)] == [os.SCHED_OTHER] * 2
    end.set()
    thread.join()


def test_a_priority_that_was_there_before_is_kept() -> None:
    raise_priority()
    with no_gain_of_priority():
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == (os.SCHED_FIFO, 1)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
