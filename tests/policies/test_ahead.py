import threading
from typing import Any

import numpy as np
import pytest
import torch

from policies.ahead import EXPECTED, Ahead

VALUES = np.arange(40, dtype=np.uint8).reshape(20, 2)


def read(rows: Any, out: Any) -> None:
    out[:] = VALUES[rows]


def test_rows_come_in_the_order_that_they_were_asked_for_expected_or_not() -> None:
    ahead = Ahead(read, (2,), "cpu")
    rows = torch.randint(20, (30, 3), generator=torch.Generator().manual_seed(0))
    unexpected = ahead(rows)
    ahead.expect(rows)
    ahead.expect(rows[:4])
    assert torch.equal(ahead(rows), unexpected)
    assert torch.equal(unexpected, torch.from_numpy(VALUES)[rows])
    assert torch.equal(ahead(rows[:4]), unexpected[:4])


def test_what_is_expected_is_read_once_and_before_it_is_asked_for() -> None:
    done, calls = threading.Event(), []

    def once(rows: Any, out: Any) -> None:
        calls.append(len(rows))
        read(rows, out)
        if sum(calls) == 30:
            done.set()

    ahead = Ahead(once, (2,), "cpu")
    rows = torch.arange(30)[:, None] % 20
    ahead.expect(rows)
    assert done.wait(60.0)
    ahead(rows)
    assert sum(calls) == 30


def test_what_goes_wrong_in_a_thread_is_raised_where_the_rows_are_asked_for() -> None:
    def fails(rows: Any, out: Any) -> None:
        raise OSError("the disk is gone")

    ahead = Ahead(fails, (2,), "cpu")
    ahead.expect(torch.zeros(3, 1, dtype=torch.long))
    with pytest.raises(OSError, match="the disk is gone"):
        ahead(torch.zeros(3, 1, dtype=torch.long))


def test_what_nobody_takes_is_forgotten() -> None:
    """It would fill the memory, a batch a step."""
    done, calls = threading.Event(), []

    def counted(rows: Any, out: Any) -> None:
        read(rows, out)
        if rows.shape[1] == 1:
            calls.append(rows)
            done.set()

    ahead = Ahead(counted, (2,), "cpu")
    for width in range(1, EXPECTED + 2):
        ahead.expect(torch.zeros(1, width, dtype=torch.long))
    assert done.wait(60.0)
    ahead(torch.zeros(1, 1, dtype=torch.long))
    assert len(calls) == 2
