"""Whatever instant a process is killed at, the store opens and every whole row is there."""

import os
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.bench.kills import campaign
from deploy.bench.known import Known, made, problems
from deploy.bench.ledger import Ledger, Open
from deploy.bench.random_work import WORK
from robot_stack.store import Episode, Store, disk
from robot_stack.store.journal import scan
from robot_stack.store.recording import content_hash
from robot_stack.types import RobotStackError, StoreError

recording: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("recording.py")))
SPEC, row = recording["SPEC"], recording["row"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty store."""
    Store.create(tmp_path / "s", SPEC, recording["STATION"], "zstd")
    return tmp_path / "s"


def assert_whole(episode: Episode) -> None:
    """Every row is the one that was appended, and the hash is that of what is on disk."""
    assert np.array_equal(episode.rows(), np.stack([row(step) for step in range(len(episode))]))
    assert content_hash(SPEC, {name: episode.digest(name) for name in SPEC.fields}) == episode.attrs["content"]


def test_killed_at_random_instants_whatever_is_done_nothing_is_lost(tmp_path: Path) -> None:
    report = campaign(tmp_path, kills=40, seed=3)
    assert report.problems == []
    assert sum(report.kills.values()) == 40
    assert sum(report.kills[phase] > 0 for phase in WORK) >= 4  # where it lands is chance
    assert min(report.committed, report.salvaged) > 0
    with Store.open(tmp_path / "store") as store:
        assert list(problems(store)) == []


def heard(*announced: list[Any]) -> Ledger:
    """What must be shown after that was announced."""
    ledger = Ledger()
    for what in announced:
        ledger.hear(*what)
    return ledger


RECORDED = [["record", 1, 2, "failure"], ["row"], ["row"], ["commit"], ["recorded", "ep-000000"]]


def test_the_campaign_notices_what_is_lost() -> None:
    first, second = made(1, 2, "failure"), made(2, 3)
    assert heard(*RECORDED).disagreement({"ep-000000": first}, {}) == ""
    assert heard(*RECORDED).disagreement({}, {}) != ""
    assert heard(*RECORDED).disagreement({"ep-000000": second}, {}) != ""
    assert heard(*RECORDED).disagreement({"ep-000000": first, "ep-000001": second}, {}) != ""
    with pytest.raises(RobotStackError, match="is lost"):
        heard(["record", 1, 2, "failure"], ["row"], ["salvaged", []])


@pytest.mark.parametrize(("rows", "fits"), [(1, False), (2, True), (3, True), (4, False)])
def test_the_campaign_wants_all_rows_that_were_appended_and_at_most_the_one_being_appended(
    rows: int, fits: bool
) -> None:
    cut_off = replace(made(1, rows, "unknown"), salvaged=True)
    assert Open(1, 9, "success", rows=2).becomes(cut_off) is fits
    assert Open(1, rows, "success", rows=rows, is_committing=fits).becomes(made(1, rows)) is fits


@pytest.mark.parametrize(
    ("edit", "after"),
    [
        (["delete", ["ep-000000"]], {}),
        (["trim", ["ep-000000"], 1, 2], {"ep-000000": Known(((1, 1, 1),), "failure")}),
        (["source", ["ep-000000"], 1, 2, 2], {"ep-000000": Known(((1, 0, 1), (1, 1, 2)), "failure")}),
        (
            ["split", ["ep-000000"], 1],
            {"ep-000001": Known(((1, 0, 1),), "failure"), "ep-000002": Known(((1, 1, 1),), "failure")},
        ),
    ],
)
def test_the_campaign_takes_an_edit_that_was_killed_as_done_or_not_done(
    edit: list[Any], after: dict[str, Known]
) -> None:
    before = {"ep-000000": made(1, 2, "failure")}
    for shown in (before, after):
        assert heard(*RECORDED, ["edit", *edit]).disagreement(shown, {}) == ""
    done = heard(*RECORDED, ["edit", *edit], ["edited", ["ep-000001", "ep-000002"]])
    assert done.disagreement(before, {}) != ""
    done.hear("edit", "undo")
    done.hear("edited", [])
    assert done.disagreement(before, {}) == ""


def test_a_journal_cut_at_any_byte_gives_all_its_whole_rows(path: Path) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(row(0))
        journal = path / "writing" / writer.id / "journal"
        first = journal.stat().st_size
        writer.append(row(1))
        second = journal.stat().st_size
    whole = journal.read_bytes()
    for size in range(0, len(whole), 7):
        journal.write_bytes(whole[:size])
        contents = scan(journal)
        assert contents.rows == (size >= first) + (size >= second)
        assert contents.torn == 0 or contents.rows < 2
    journal.write_bytes(whole[: second - 1])
    with Store.open(path) as store:
        assert store.salvage() == [writer.id]
        (episode,) = store.episodes
    assert_whole(episode)
    assert len(episode) == 1
    assert episode.attrs["salvaged"] is True
    assert episode.attrs["torn_bytes"] == second - 1 - first
    assert episode.attrs["verdict"] == "unknown"


def test_a_journal_with_a_flipped_bit_is_read_up_to_it(path: Path) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        for step in range(4):
            writer.append(row(step))
    journal = path / "writing" / writer.id / "journal"
    content = bytearray(journal.read_bytes())
    content[-10] ^= 1
    journal.write_bytes(content)
    assert scan(journal).rows == 3


def test_a_journal_with_damage_is_kept_also_when_its_salvage_was_killed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        for step in range(4):
            writer.append(row(step))
    journal = path / "writing" / writer.id / "journal"
    content = bytearray(journal.read_bytes())
    content[-10] ^= 1
    journal.write_bytes(content)
    with monkeypatch.context() as patch, Store.open(path) as store:
        patch.setattr(disk, "rename", _once(disk.rename))
        store.salvage()  # what it does after the first rename fails
    with Store.open(path) as store:
        assert store.salvage() == []
        assert len(store.episodes[0]) == 3
    kept = path / "writing" / f"{writer.id}.damaged-journal"
    assert kept.read_bytes() == content


def _once(rename: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    calls: list[Path] = []

    def call(source: Path, destination: Path) -> None:
        if calls:
            _full()
        calls.append(source)
        rename(source, destination)

    return call


def test_an_episode_left_open_is_salvaged_by_the_next_writer_but_not_by_its_own(path: Path) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(row(0))
        assert store.salvage() == []
    with Store.open(path) as store:
        assert store.salvage() == [writer.id]
        assert store.salvage() == []


def test_an_empty_episode_leaves_nothing_behind(path: Path) -> None:
    with Store.open(path) as store:
        store.writer({"kind": "collect"})
    with Store.open(path) as store:
        assert store.salvage() == []
    assert list((path / "writing").glob("ep-*")) == []


def test_a_disk_that_fails_in_the_commit_is_a_clear_error_and_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(row(0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", _full)
            with pytest.raises(StoreError, match=r"1 rows are safe in .*journal; make room"):
                writer.commit("failure")
        assert store.salvage() == [writer.id]
        assert store.episodes[0].attrs["verdict"] == "failure"


def _full(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_while_recording_is_a_clear_error_and_keeps_the_rows_before(path: Path) -> None:
    import resource

    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(row(0))
        size = (path / "writing" / writer.id / "journal").stat().st_size
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limit[1]))
        try:
            with pytest.raises(StoreError, match=r"cannot record to .*all rows before are safe"):
                writer.append(row(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        writer.append(row(1))
        writer.commit()
        assert_whole(store.episodes[0])
        assert len(store.episodes[0]) == 2
