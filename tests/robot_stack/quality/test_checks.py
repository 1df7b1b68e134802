"""Each check finds what it is for, at its step, and stays silent about good data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.quality.checks import inspect
from robot_stack.spec import Record
from robot_stack.station import Station
from robot_stack.store import Store
from robot_stack.types import TargetKind

STATION = Station("cell", 6, {"front": (48, 64)}, rate=10.0)
STEPS = 60


def _nothing(step: int, row: Record) -> None:
    pass


def _backwards(step: int, row: Record) -> None:
    row["time"] -= 5.0 if step == 20 else 0.0


def _from_the_future(step: int, row: Record) -> None:
    row["state.time"] += 1.0 if step == 20 else 0.0


def _stream_backwards(step: int, row: Record) -> None:
    row["grip.time"] -= 1.0 if step == 20 else 0.0


def _nan(step: int, row: Record) -> None:
    row["wrench"][2] = np.nan if step >= 20 else 0.0


def _frozen(step: int, row: Record) -> None:
    if 19 <= step < 40:
        row["image.front"] = 7


def _stuck(step: int, row: Record) -> None:
    row["q"][3] = min(step, 19) * 0.01


def _jump(step: int, row: Record) -> None:
    row["pose"][0] += 0.3 if step >= 20 else 0.0


def _idle(step: int, row: Record) -> None:
    row["pose"][0] = 0.4 + 0.01 * min(step, 19)


def _disagree(step: int, row: Record) -> None:
    row["requested.kind"] = TargetKind.JOINTS
    row["requested.q"] = row["target.q"] + (0.5 if 20 <= step < 30 else 0.0)


def _wild_but_not_asked(step: int, row: Record) -> None:
    row["requested.q"] = 9.0  # of another kind than what was asked for
    row["requested.kind"] = TargetKind.POSE
    row["requested.pose"] = row["target.pose"]


@pytest.mark.parametrize(
    ("change", "severity", "what"),
    [
        (_nothing, "", ""),
        (_wild_but_not_asked, "", ""),
        (_backwards, "error", "time runs backwards"),
        (_from_the_future, "error", "state was measured 0.9980 s after the row"),
        (_stream_backwards, "error", "the time of grip runs backwards by 0.9"),
        (_nan, "error", "wrench is not finite in 40 rows"),
        (_frozen, "warning", "image.front is frozen for 20 rows"),
        (_stuck, "warning", "joint 4 reads the same for 40 rows"),
        (_jump, "warning", "pose jumps by 0.31 m"),
        (_idle, "advice", "stands still for 4.0 s"),
        (_disagree, "advice", "differs from what was asked for 10 rows"),
    ],
)
def test_a_check_finds_its_fault_and_only_that(
    tmp_path: Path, change: Callable[[int, Record], None], severity: str, what: str
) -> None:
    findings = inspect(_episode(tmp_path, change))
    if not what:
        assert findings == []
        return
    found = next(finding for finding in findings if what in finding.what)
    assert found.severity == severity
    assert found.step == 20
    assert found.advice
    assert len(findings) == 1 or severity == "error"  # a wrong clock shows in more than one way


def test_missing_rows_are_found_where_most_are_missing(tmp_path: Path) -> None:
    (found,) = inspect(_episode(tmp_path, _nothing, skip=(*range(20, 24), 40)))
    assert (found.step, found.severity) == (20, "warning")
    assert "rows are missing: 5, of them 4 before this step" in found.what


def _episode(path: Path, change: Callable[[int, Record], None], skip: tuple[int, ...] = ()) -> Any:
    """Six seconds of a moving arm, changed by a fault."""
    store = Store.create(path / "s", STATION.row, {"name": "cell", "rate": 10.0})
    rng = np.random.default_rng(0)
    with store:
        writer = store.writer({"kind": "collect"})
        for step in range(STEPS):
            row = STATION.row.record(time=100 + step / 10)
            row["pose"] = [0.4 + 0.01 * step, 0.0, 0.3, 0, 0, 0, 1]
            row["q"] = row["target.q"] = 0.01 * step
            for name in ("state.time", "grip.time", "image.front.time"):
                row[name] = row["time"] - 0.002
            row["image.front"] = rng.integers(0, 256, (48, 64, 3))
            change(step, row)
            if step not in skip:
                writer.append(row)
        writer.commit("success")
    return store.episodes[0]
