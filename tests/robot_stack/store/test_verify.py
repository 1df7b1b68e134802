"""A checkpoint says what it was trained on, and whether the store still holds exactly that."""

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from robot_stack.cli import main
from robot_stack.store import Store
from robot_stack.store.compact import compact
from robot_stack.store.provenance import State, compare, learned_from, record
from robot_stack.store.verify import run
from robot_stack.types import CheckpointError, ConfigError

recording: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("recording.py")))


def add(path: Path, first: int = 0, rows: int = 3) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect", "task": "test"})
        for step in range(first, first + rows):
            writer.append(recording["row"](step))
        writer.commit("success")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Four episodes."""
    path = tmp_path / "store"
    Store.create(path, recording["SPEC"], recording["STATION"])
    for number in range(4):
        add(path, first=10 * number)
    return path


@pytest.fixture
def runs(store: Path, tmp_path: Path) -> Path:
    """A training run that learned from the first two, held the third out and left the fourth out."""
    episodes = Store.open(store).episodes
    card = {"stores": [record(str(store), episodes, episodes[:2], episodes[2:3])]}
    folder = tmp_path / "run" / "step-0000010"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps(card))
    return folder.parent


def verify(runs: Path, store: Any = None) -> int:
    return run({"checkpoint": str(runs), "store": store})


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The table, without its head and what follows it."""
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:] if line.startswith("ep-")]


def test_what_did_not_change_is_the_same(runs: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(runs) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out[:-1]] == [
        ["episode", "used", "for", "now"],
        ["ep-000000", "training", "same"],
        ["ep-000001", "training", "same"],
        ["ep-000002", "held", "out", "same"],
    ]
    assert out[-1] == f"{store}: 3 same"


def test_a_corrected_label_changes_nothing(runs: Path, store: Path) -> None:
    with Store.open(store) as opened:
        opened.relabel(["ep-000001"], verdict="failure", task="another")
    assert verify(runs) == 0


def test_edits_are_named_until_they_are_undone(runs: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(store) as opened:
        opened.trim("ep-000000", 1, 3)
        opened.delete(["ep-000001"])
        assert verify(runs) == 1
        said = capsys.readouterr().out
        assert [line.split()[-1] for line in said.splitlines()[1:4]] == ["changed", "missing", "same"]
        assert f"{store}: 1 same, 1 changed, 1 missing\nIf that was an edit: robot-stack data undo" in said
        opened.undo()
        opened.undo()
    assert verify(runs) == 0


def test_compacting_is_told_apart_from_a_change(runs: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for codec in ("jpeg", "av1"):
        with Store.open(store) as opened:
            compact(opened, "zstd")
            compact(opened, codec)
        assert verify(runs) == 1
        assert f"{store}: 3 compacted\n" in capsys.readouterr().out


def test_a_view_is_compared_as_the_view(store: Path) -> None:
    with Store.open(store) as opened:
        opened.filter("verdict == 'success'", "good")
        before = Store.open(f"{store}@good").episodes
        noted = record(f"{store}@good", before, before, [])
        opened.delete(["ep-000001"])
    fates = list(compare(noted, Store.open(noted["store"]).episodes))
    assert [fate.state for fate in fates] == [State.SAME, State.MISSING, State.SAME, State.SAME]


def test_changed_missing_and_new_episodes_are_named(
    runs: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(store / "episodes" / "ep-000000")
    other = store.parent / "other"
    Store.create(other, recording["SPEC"], recording["STATION"])
    add(other, first=77)
    shutil.rmtree(store / "episodes" / "ep-000002")
    shutil.copytree(other / "episodes" / "ep-000000", store / "episodes" / "ep-000002")
    add(store)
    assert verify(runs) == 1
    assert lines(capsys) == [
        ["ep-000000", "training", "missing"],
        ["ep-000001", "training", "same"],
        ["ep-000002", "held", "out", "changed"],
        ["ep-000004", "new", "since"],
    ]


def test_what_was_left_out_then_does_not_matter(runs: Path, store: Path) -> None:
    shutil.rmtree(store / "episodes" / "ep-000003")
    assert verify(runs) == 0


def test_a_new_episode_alone_is_a_difference(runs: Path, store: Path) -> None:
    add(store)
    assert verify(runs) == 1


def test_a_store_that_moved_can_be_named(runs: Path, store: Path) -> None:
    moved = store.rename(store.with_name("moved"))
    assert verify(runs, str(moved)) == 0
    assert verify(runs, [str(moved)]) == 0
    with pytest.raises(ConfigError, match="trained on 1 store: give"):
        verify(runs, [str(moved), str(moved)])


def test_several_stores_are_compared_each_with_its_own(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Store.create(other, recording["SPEC"], recording["STATION"])
    add(other, first=500)
    first, second = Store.open(store).episodes, Store.open(other).episodes
    records = [record(str(path), of, first + second, []) for path, of in ((store, first), (other, second))]
    assert [len(noted["training"]) for noted in records] == [4, 1]
    assert {fate.state for fate in compare(records[1], second)} == {State.SAME}
    assert {fate.state for fate in compare(records[0], second)} == {State.CHANGED, State.MISSING}


def test_the_newest_checkpoint_of_a_run_is_meant(runs: Path) -> None:
    older = runs / "step-0000002"
    older.mkdir()
    (older / "card.json").write_text("{}")
    assert verify(runs) == 0
    assert verify(runs / "step-0000010") == 0


def test_an_older_or_damaged_or_missing_checkpoint_is_refused(runs: Path, tmp_path: Path) -> None:
    card = runs / "step-0000010" / "card.json"
    for older in ('{"stores": "data/lift", "episodes": ["12"]}', '{"stores": ["a", "b"]}', "{}"):
        card.write_text(older)
        with pytest.raises(CheckpointError, match="does not note the content"):
            verify(runs)
    card.write_text('{"stores": [')
    with pytest.raises(CheckpointError, match="damaged"):
        verify(runs)
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        verify(tmp_path / "nothing")


def test_a_resumed_run_needs_what_it_learned_from_and_not_what_it_left_out(store: Path) -> None:
    episodes = Store.open(store).episodes
    noted = [record(str(store), episodes, episodes[:2], [])]
    more = [record("elsewhere", [*episodes[:2]], episodes[:2], [])]
    assert learned_from(noted) == learned_from(more)
    assert learned_from(noted) != learned_from([record(str(store), episodes, episodes[:2], episodes[2:3])])


def test_a_relative_path_is_noted_so_that_it_is_found_from_anywhere(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.parent)
    assert record("store@good", [], [], [])["store"] == f"{store}@good"
    assert record("s3://bucket/lift", [], [], [])["store"] == "s3://bucket/lift"


def test_the_command_line_verifies(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", f"checkpoint={runs}"]) == 0
    assert "3 same" in capsys.readouterr().out
