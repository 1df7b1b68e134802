"""Each check finds what it is for, at its step, and stays silent about good data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.quality.checks import inspect
from robot_stack.quality.pictures import checksums
from robot_stack.spec import Record
from robot_stack.station import Station
from robot_stack.store import Store
from robot_stack.types import TargetKind

STATION = Station("cell", 6, {"front": (48, 64)}, rate=10.0)
STEPS = 60
PICTURES = np.random.default_rng(1).integers(0, 256, (STEPS, 48, 64, 3), np.uint8)


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


def _turns_on_the_spot(step: int, row: Record) -> None:
    half = 0.01 * max(0, step - 19)
    row["pose"] = [0.4 + 0.01 * min(step, 19), 0.0, 0.3, 0, 0, np.sin(half), np.cos(half)]


def _idle(step: int, row: Record) -> None:
    row["pose"][0] = 0.4 + 0.01 * min(step, 19)


def _disagree(step: int, row: Record) -> None:
    row["requested.kind"] = TargetKind.JOINTS
    row["requested.q"] = row["target.q"] + (0.5 if 20 <= step < 30 else 0.0)


def _old_pictures(step: int, row: Record) -> None:
    row["image.front"] = PICTURES[step - 2 if step in (20, 23, 26) else step]


def _camera_slower_than_rows(step: int, row: Record) -> None:
    row["image.front"] = PICTURES[step - step % 2]
    row["image.front.time"] = 100 + (step - step % 2) / 10 - 0.002


def _back_at_the_same_place(step: int, row: Record) -> None:
    there = step if step < 20 else max(0, 39 - step)  # and in a simulation without noise its picture comes again
    row["pose"][0] = 0.4 + 0.01 * there
    row["image.front"] = PICTURES[there]
    if step >= 40:
        row["pose"][0], row["image.front"] = 0.4 - 0.01 * (step - 39), PICTURES[step]


def _target_jumps(step: int, row: Record) -> None:
    row["target.pose"] = [0.4 + 0.01 * step + (0.3 if step >= 20 else 0.0), 0.0, 0.3, 0, 0, 0, 1]


def _target_is_set_late(step: int, row: Record) -> None:
    row["target.pose"] = [0.4 + 0.01 * step, 0.0, 0.3, 0, 0, 0, 1] if step >= 20 else 0.0


def _beyond_the_joint(step: int, row: Record) -> None:
    row["q"] = row["target.q"] = 0.05 * step
    row["q"][2] = row["target.q"][2] = 3.10 + 0.005 * max(0, step - 11)  # the elbow of a UR5e ends at pi, in row 20


def _too_fast(step: int, row: Record) -> None:
    q = 0.01 * step - 2.0 + 0.5 * max(0, min(step, 24) - 18)  # 5 rad/s from row 19 on
    row["q"] = row["target.q"] = q


def _clipped(step: int, row: Record) -> None:
    wave = np.sin(0.25 * (step - 17))
    row["requested.pose"] = [0.4 + 0.2 * min(0.6, wave), 0.01 * step, 0.3, 0, 0, 0, 1]


def _arrives_and_stays(step: int, row: Record) -> None:
    s = min(1.0, step / 30)
    smooth = 10 * s**3 - 15 * s**4 + 6 * s**5  # comes to rest in x and goes on in y
    row["requested.pose"] = [0.4 + 0.2 * smooth, 0.01 * step, 0.3, 0, 0, 0, 1]


def _wild_but_not_asked(step: int, row: Record) -> None:
    row["requested.q"] = 9.0  # of another kind than what was asked for
    row["requested.kind"] = TargetKind.POSE
    row["requested.pose"] = row["target.pose"]


@pytest.mark.parametrize(
    ("change", "severity", "what"),
    [
        (_nothing, "", ""),
        (_wild_but_not_asked, "", ""),
        (_turns_on_the_spot, "", ""),
        (_camera_slower_than_rows, "", ""),
        (_back_at_the_same_place, "", ""),
        (_target_is_set_late, "", ""),
        (_arrives_and_stays, "", ""),
        (_old_pictures, "warning", "image.front is an old picture with a new time in 3 rows: here that of row 18"),
        (_target_jumps, "warning", "target.pose jumps by 0.31 m"),
        (_beyond_the_joint, "warning", "joint 3 was sent to 3.145 rad, outside of -3.142 to 3.142 of ur5e"),
        (_too_fast, "warning", "joint 1 was sent off at 5.10 rad/s, faster than 3.14 of ur5e"),
        (_clipped, "advice", "column 1 of requested.pose stays at 0.52"),
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
    alone = len({finding.what.split(" ", 2)[2] for finding in findings}) == 1  # one for each joint is one
    assert alone or severity == "error"  # a wrong clock shows in more than one way


def test_missing_rows_are_found_where_most_are_missing(tmp_path: Path) -> None:
    (found,) = inspect(_episode(tmp_path, _nothing, skip=(*range(20, 24), 40)))
    assert (found.step, found.severity) == (20, "warning")
    assert "rows are missing: 5, of them 4 before this step" in found.what


def test_a_raw_stream_that_fell_silent_is_found_at_its_row(tmp_path: Path) -> None:
    times = np.delete(100 + np.arange(3000) / 500, slice(1000, 1100))  # 0.2 s of 500 Hz are missing after 102 s
    found = inspect(_episode(tmp_path, _nothing, streams={"control": (["time"], times[:, None])}))
    assert [(f.step, f.severity) for f in found] == [(20, "warning")]
    assert "stream control was silent for 0.202 s; usually it comes every 0.0020 s" in found[0].what


def test_messages_that_nobody_got_are_counted_by_their_numbers(tmp_path: Path) -> None:
    numbers = np.delete(np.arange(180), [60, 61, 100])
    rows = np.stack([100 + numbers / 30, numbers], axis=1)
    found = inspect(_episode(tmp_path, _nothing, streams={"camera": (["time", "sequence"], rows)}))
    (lost,) = [finding for finding in found if "lost" in finding.what]
    assert "stream camera lost 3 messages, of them 2 at once" in lost.what
    assert lost.step == 20


def test_a_stream_without_gaps_is_not_spoken_of(tmp_path: Path) -> None:
    rows = np.stack([100 + np.arange(180) / 30, np.arange(180)], axis=1)
    assert inspect(_episode(tmp_path, _nothing, streams={"camera": (["time", "sequence"], rows)})) == []


def test_pictures_are_told_apart_without_decoding_them_and_once(tmp_path: Path, monkeypatch: Any) -> None:
    episode = _episode(tmp_path, _frozen)
    read: list[str] = []
    blocks = type(episode).blocks
    monkeypatch.setattr(type(episode), "blocks", lambda self, name: (read.append(name), blocks(self, name))[1])
    assert any("frozen" in finding.what for finding in inspect(episode))
    assert "image.front" not in read
    part = np.flatnonzero(np.diff(checksums(episode, "image.front").astype(np.int64)) == 0)
    assert part.tolist() == list(range(19, 39))
    assert checksums(episode, "image.front") is checksums(episode, "image.front")


def test_a_trimmed_episode_is_checked_in_the_rows_that_are_seen(tmp_path: Path) -> None:
    whole = _episode(tmp_path, _frozen)
    with Store.open(tmp_path / "s") as store:
        store.trim(whole.id, 10, 60)
        (found,) = inspect(store[whole.id])
    assert "image.front is frozen for 20 rows" in found.what
    assert found.step == 10


def _episode(
    path: Path,
    change: Callable[[int, Record], None],
    skip: tuple[int, ...] = (),
    streams: dict[str, tuple[list[str], Any]] | None = None,
) -> Any:
    """Six seconds of a moving arm, changed by a fault, with raw streams: columns and rows."""
    streams = streams or {}
    store = Store.create(path / "s", STATION.row, {"name": "cell", "robot": "ur5e", "rate": 10.0})
    rng = np.random.default_rng(0)
    with store:
        writer = store.writer({"kind": "collect"}, {name: columns for name, (columns, _) in streams.items()})
        for name, (_, rows) in streams.items():
            writer.log(name, rows)
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
