"""Edits hide and rearrange, and never lose a row; what was done can be undone; a kill in between changes nothing."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from robot_stack.store import disk
from robot_stack.store import edit_requests as ask
from robot_stack.store.edit_log import NAME, EditLog, format_edit, parse, sign
from robot_stack.store.edit_ops import Delete, Op, Trim
from robot_stack.store.edits import Entry, Overlay, Part, Recorded, State, compacted, made, replay
from robot_stack.types import ConfigError, Source, StoreError

Cell = tuple[str, int, int]  # recorded episode, row of it, source


def recorded(episode: str, rows: int = 10, generation: int = 0, **attrs: Any) -> Recorded:
    labels = {"kind": "collect", "verdict": "unknown", "task": "lift", "rate": 10.0, "clock_offset": 5.0}
    return Recorded(episode, generation, rows, f"content of {episode}~{generation}", {**labels, **attrs})


class Bench:
    """A store without data: recorded episodes, and a log in a file."""

    def __init__(self, path: Path, *episodes: Recorded) -> None:
        self.recorded = {episode.id: episode for episode in episodes}
        self.log = EditLog(path)

    @property
    def state(self) -> State:
        return replay(self.recorded.values(), self.log.read())

    def do(self, request: Callable[..., Op], *arguments: Any) -> int:
        """Ask for an edit and log it; its number."""
        return self.log.append(request(self.state, *arguments)).number

    def undo(self, number: int | None = None) -> int:
        return self.log.append(ask.undo(self.recorded.values(), self.log.read(), number)).number

    def parts(self, episode: str) -> list[tuple[str, int, int]]:
        return [(part.id, part.start, part.stop) for part in self.state.entries[episode].parts]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / NAME, *(recorded(f"ep-00000{number}") for number in range(3)))


def test_an_untouched_episode_is_what_was_recorded(bench: Bench) -> None:
    entry = bench.state.entries["ep-000001"]
    assert entry.parts == (Part("ep-000001", 0, 10),)
    assert entry.attrs["content"] == "content of ep-000001~0"
    assert (entry.rows, entry.edited, entry.attrs["edited"], entry.attrs["rows"]) == (10, False, False, 10)
    assert list(bench.state.entries) == ["ep-000000", "ep-000001", "ep-000002"]


def test_a_deleted_episode_is_gone_and_its_undo_brings_it_back(bench: Bench) -> None:
    bench.do(ask.delete, ["ep-000000", "ep-000002"])
    assert list(bench.state.entries) == ["ep-000001"]
    assert bench.state.deleted["ep-000002"].attrs["content"] == "content of ep-000002~0"
    assert tuple(bench.state.deleted) == bench.state.gone == ("ep-000000", "ep-000002")
    bench.undo()
    assert len(bench.state.entries) == 3


def test_a_trim_of_a_trim_counts_the_rows_that_are_seen(bench: Bench) -> None:
    bench.do(ask.trim, "ep-000001", 2, 9)
    bench.do(ask.trim, "ep-000001", 1, 4)
    assert bench.parts("ep-000001") == [("ep-000001", 3, 6)]
    entry = bench.state.entries["ep-000001"]
    assert (entry.edits, entry.attrs["rows"], entry.attrs["edited"]) == ((1, 2), 3, True)


def test_the_parts_of_a_split_stand_where_the_whole_stood(bench: Bench) -> None:
    bench.do(ask.split, "ep-000001", 4, ("ep-000008", "ep-000009"))
    assert list(bench.state.entries) == ["ep-000000", "ep-000008", "ep-000009", "ep-000002"]
    assert bench.parts("ep-000008") == [("ep-000001", 0, 4)]
    assert bench.parts("ep-000009") == [("ep-000001", 4, 10)]
    assert made(bench.log.read()) == {"ep-000008", "ep-000009"}


def test_a_merge_has_the_verdict_of_its_end(bench: Bench) -> None:
    bench.do(ask.relabel, ["ep-000001"], {"verdict": "success"})
    bench.do(ask.merge, ["ep-000000", "ep-000001"], "ep-000009", [(0.0, 1.0), (1.1, 2.0)])
    assert bench.parts("ep-000009") == [("ep-000000", 0, 10), ("ep-000001", 0, 10)]
    assert bench.state.entries["ep-000009"].attrs["verdict"] == "success"
    assert list(bench.state.entries) == ["ep-000009", "ep-000002"]


def test_what_is_split_and_merged_again_is_the_same_data(bench: Bench) -> None:
    bench.do(ask.split, "ep-000001", 4, ("ep-000003", "ep-000004"))
    bench.do(ask.merge, ["ep-000003", "ep-000004"], "ep-000005", [(0.0, 0.3), (0.4, 1.0)])
    assert bench.parts("ep-000005") == [("ep-000001", 0, 10)]
    assert bench.state.entries["ep-000005"].attrs["content"] == "content of ep-000001~0"


def test_a_corrected_source_stays_with_its_rows(bench: Bench) -> None:
    bench.do(ask.relabel_source, "ep-000000", 2, 6, Source.OPERATOR)
    bench.do(ask.relabel_source, "ep-000000", 4, 8, Source.POLICY)
    assert bench.state.entries["ep-000000"].overlays == (Overlay("source", 2, 4, 1), Overlay("source", 4, 8, 2))
    bench.do(ask.trim, "ep-000000", 3, 7)
    assert bench.state.entries["ep-000000"].overlays == (Overlay("source", 0, 1, 1), Overlay("source", 1, 4, 2))
    bench.do(ask.merge, ["ep-000002", "ep-000000"], "ep-000009", [(0.0, 1.0), (1.1, 2.0)])
    assert bench.state.entries["ep-000009"].overlays == (Overlay("source", 10, 11, 1), Overlay("source", 11, 14, 2))


def test_the_content_of_a_view_is_the_hash_that_the_format_says(bench: Bench) -> None:
    bench.do(ask.trim, "ep-000001", 2, 9)
    bench.do(ask.relabel_source, "ep-000001", 0, 3, Source.SCRIPT)
    text = "view 1\ncontent of ep-000001~0 2 9\nsource 0 3 3\n"
    assert bench.state.entries["ep-000001"].attrs["content"] == hashlib.sha256(text.encode()).hexdigest()


def test_a_relabelled_episode_is_the_same_data(bench: Bench) -> None:
    bench.do(ask.relabel, ["ep-000001", "ep-000002"], {"verdict": "failure", "language": "lift the cube"})
    entry = bench.state.entries["ep-000002"]
    assert (entry.attrs["verdict"], entry.attrs["language"]) == ("failure", "lift the cube")
    assert entry.attrs["content"] == "content of ep-000002~0"
    assert entry.edited


def test_a_view_follows_what_becomes_of_its_episodes(bench: Bench) -> None:
    bench.do(ask.view, "good", "rows > 5", ["ep-000000", "ep-000001"])
    bench.do(ask.split, "ep-000001", 4, ("ep-000003", "ep-000004"))
    assert bench.state.views["good"].ids == ("ep-000000", "ep-000003", "ep-000004")
    bench.do(ask.delete, ["ep-000003"])
    assert bench.state.views["good"].ids == ("ep-000000", "ep-000004")
    bench.do(ask.merge, ["ep-000004", "ep-000002"], "ep-000005", [(0.0, 1.0), (2.0, 3.0)])
    assert bench.state.views["good"].ids == ("ep-000000",)
    bench.undo()
    bench.undo()
    assert bench.state.views["good"].ids == ("ep-000000", "ep-000003", "ep-000004")


def test_an_earlier_edit_can_be_undone_when_nothing_was_made_on_it(bench: Bench) -> None:
    first = bench.do(ask.trim, "ep-000000", 0, 5)
    bench.do(ask.trim, "ep-000001", 0, 5)
    bench.undo(first)
    assert (bench.state.entries["ep-000000"].rows, bench.state.entries["ep-000001"].rows) == (10, 5)


@pytest.mark.parametrize(
    "later",
    [
        lambda bench: bench.do(ask.trim, "ep-000003", 0, 2),
        lambda bench: bench.do(ask.delete, ["ep-000003"]),
        lambda bench: bench.do(ask.relabel, ["ep-000001", "ep-000003"], {"task": "push"}),
        lambda bench: bench.do(ask.merge, ["ep-000003", "ep-000001"], "ep-000009", [(0.0, 1.0), (1.1, 2.0)]),
        lambda bench: bench.do(ask.view, "good", "", ["ep-000003"]),
    ],
)
def test_an_edit_that_another_was_made_on_is_not_undone_alone(bench: Bench, later: Callable[[Bench], int]) -> None:
    first = bench.do(ask.split, "ep-000000", 5, ("ep-000003", "ep-000004"))
    second = later(bench)
    with pytest.raises(StoreError, match=rf"edit {first} .* cannot be undone alone: edit {second} .* undo that one"):
        bench.undo(first)
    bench.undo(second)
    bench.undo(first)
    assert list(bench.state.entries) == ["ep-000000", "ep-000001", "ep-000002"]


def test_rows_that_a_later_edit_counted_are_not_shifted_by_an_undo(bench: Bench) -> None:
    first = bench.do(ask.trim, "ep-000000", 3, 10)
    bench.do(ask.relabel_source, "ep-000000", 0, 2, Source.OPERATOR)
    with pytest.raises(StoreError, match="cannot be undone alone"):
        bench.undo(first)


def test_episodes_merged_as_alike_stay_so(bench: Bench) -> None:
    first = bench.do(ask.relabel, ["ep-000000", "ep-000001"], {"task": "push"})
    bench.do(ask.relabel, ["ep-000000"], {"language": ""})
    bench.undo()
    bench.recorded["ep-000001"] = recorded("ep-000001", task="stack")
    bench.do(ask.merge, ["ep-000000", "ep-000001"], "ep-000009", [(0.0, 1.0), (1.1, 2.0)])
    with pytest.raises(StoreError, match="cannot be undone alone"):
        bench.undo(first)


def test_undo_says_why_there_is_nothing_to_undo(bench: Bench) -> None:
    with pytest.raises(StoreError, match=r"there is no edit to undo$"):
        bench.undo()
    number = bench.do(ask.delete, ["ep-000000"])
    bench.undo()
    with pytest.raises(StoreError, match=r"edit 1 \(delete ep-000000\) is undone already"):
        bench.undo(number)
    with pytest.raises(StoreError, match=r"edit 2 \(undo edit 1\) cannot be undone; make edit 1 again"):
        bench.undo(2)
    with pytest.raises(StoreError, match="there is no edit 7"):
        bench.undo(7)


REFUSED: list[tuple[Callable[..., Op], tuple[Any, ...], str]] = [
    (ask.delete, ([],), "there is no episode to edit"),
    (ask.delete, (["ep-000001", "ep-000001"],), "ep-000001 is named twice"),
    (ask.delete, (["ep-00001"],), "there is no episode 'ep-00001'. Did you mean ep-00000"),
    (ask.trim, ("ep-000001", 0, 10), "rows 0:10 are all of it"),
    (ask.trim, ("ep-000001", 5, 5), "it has 10 rows: expected 0 <= start < stop <= 10, not start=5 stop=5"),
    (ask.trim, ("ep-000001", -1, 5), "expected 0 <= start"),
    (ask.trim, ("ep-000001", 5, 11), "stop=11"),
    (ask.split, ("ep-000001", 10, ("a", "b")), "expected a row from 1 to 9, not 10"),
    (ask.relabel_source, ("ep-000001", 0, 11, Source.POLICY), "stop=11"),
    (ask.merge, (["ep-000001"], "a", [(0.0, 1.0)]), "cannot merge ep-000001 with nothing"),
    (ask.merge, (["ep-000000", "ep-000001"], "a", [(1.1, 2.0), (0.0, 1.0)]), "time must rise"),
    (ask.merge, (["ep-000000", "rebooted"], "a", [(0.0, 1.0), (1.1, 2.0)]), "their clocks are 995.0 s apart"),
    (ask.merge, (["ep-000000", "push"], "a", [(0.0, 1.0), (1.1, 2.0)]), "'lift' and 'push'; relabel one of them"),
    (ask.merge, (["ep-000000", "flown"], "a", [(0.0, 1.0), (1.1, 2.0)]), "their kind differs"),
    (ask.view, ("good", "rows > 99", []), "there is no episode where rows > 99"),
]


@pytest.mark.parametrize(("request_edit", "arguments", "reason"), REFUSED)
def test_what_cannot_be_done_is_refused_and_leaves_nothing_behind(
    bench: Bench, request_edit: Callable[..., Op], arguments: tuple[Any, ...], reason: str
) -> None:
    for other in (
        recorded("rebooted", clock_offset=1000.0),
        recorded("push", task="push"),
        recorded("flown", kind="deploy"),
    ):
        bench.recorded[other.id] = other
    with pytest.raises(StoreError) as refused:
        bench.do(request_edit, *arguments)
    assert reason in str(refused.value)
    assert not bench.log.path.exists()


@pytest.mark.parametrize(
    ("attrs", "reason"),
    [
        ({}, "there are: verdict, task, language"),
        ({"operator": "bo"}, "operator is no label"),
        ({"verdict": "good"}, "there are: success, failure, unknown"),
    ],
)
def test_a_label_that_does_not_exist_is_refused(bench: Bench, attrs: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        bench.do(ask.relabel, ["ep-000001"], attrs)
    with pytest.raises(ConfigError, match="cannot name a view"):
        bench.do(ask.view, "very good", "", ["ep-000001"])
    assert not bench.log.path.exists()


def test_an_edit_of_what_is_gone_says_where_it_went(bench: Bench) -> None:
    bench.do(ask.split, "ep-000000", 5, ("ep-000003", "ep-000004"))
    with pytest.raises(StoreError, match=r"ep-000000 is not there any more: edit 1 \(split ep-000000 at row 5"):
        bench.do(ask.delete, ["ep-000000"])


def test_edits_of_a_folder_that_was_removed_by_hand_are_passed_over(bench: Bench) -> None:
    bench.do(ask.relabel, ["ep-000000", "ep-000001"], {"task": "push"})
    bench.do(ask.trim, "ep-000000", 0, 5)
    bench.do(ask.merge, ["ep-000000", "ep-000001"], "ep-000009", [(0.0, 1.0), (1.1, 2.0)])
    del bench.recorded["ep-000000"]
    assert list(bench.state.entries) == ["ep-000001", "ep-000002"]
    assert bench.state.entries["ep-000001"].attrs["task"] == "push"
    assert bench.state.stale == {2, 3}


def test_edits_that_do_not_fit_a_restored_episode_are_passed_over(bench: Bench) -> None:
    bench.do(ask.trim, "ep-000000", 2, 9)
    bench.recorded["ep-000000"] = recorded("ep-000000", rows=5)
    assert bench.state.entries["ep-000000"].rows == 5
    assert bench.state.stale == {1}


def test_an_edit_that_an_interrupted_compaction_wrote_down_is_not_undone(bench: Bench) -> None:
    bench.do(ask.trim, "ep-000000", 2, 9)
    bench.recorded["ep-000000"] = recorded("ep-000000", rows=7, generation=1)
    assert bench.parts("ep-000000") == [("ep-000000", 0, 7)]
    with pytest.raises(StoreError, match=r"edit 1 .* cannot be undone: `robot-stack data compact` made it final"):
        bench.undo()


def test_a_part_that_an_interrupted_compaction_wrote_down_is_seen_once_and_its_making_is_final(bench: Bench) -> None:
    bench.do(ask.relabel, ["ep-000000"], {"verdict": "success"})
    bench.do(ask.split, "ep-000000", 4, ("ep-000003", "ep-000004"))
    bench.do(ask.delete, ["ep-000004"])
    bench.recorded["ep-000003"] = recorded("ep-000003", rows=4, verdict="success", place="ep-000000/0")
    assert list(bench.state.entries) == ["ep-000003", "ep-000001", "ep-000002"]
    assert bench.parts("ep-000003") == [("ep-000003", 0, 4)]
    assert not bench.state.entries["ep-000003"].edited
    bench.undo()
    assert bench.parts("ep-000004") == [("ep-000000", 4, 10)]
    for number in (1, 2, None):
        with pytest.raises(StoreError, match="made it final"):
            bench.undo(number)


def test_an_edit_that_an_interrupted_compaction_wrote_down_is_not_applied_again(bench: Bench) -> None:
    bench.do(ask.relabel_source, "ep-000000", 0, 2, Source.OPERATOR)
    bench.do(ask.trim, "ep-000000", 2, 9)
    bench.recorded["ep-000000"] = recorded("ep-000000", rows=7, generation=1)
    assert bench.state.entries["ep-000000"].overlays == ()


def test_after_a_compaction_there_is_nothing_to_undo(bench: Bench) -> None:
    bench.do(ask.delete, ["ep-000000"])
    bench.log.path.write_bytes(format_edit(sign(compacted(bench.state), bench.log.read())))
    assert list(bench.state.entries) == ["ep-000001", "ep-000002"]
    with pytest.raises(StoreError, match=r"what was edited before `robot-stack data compact` is final"):
        bench.undo()
    assert bench.do(ask.delete, ["ep-000001"]) == 3
    with pytest.raises(StoreError, match=r"ep-000000 is not there any more: edit 2 \(compact"):
        bench.do(ask.delete, ["ep-000000"])


def test_a_log_torn_at_any_byte_is_read_up_to_there_and_mended_by_the_next_edit(bench: Bench) -> None:
    bench.do(ask.trim, "ep-000001", 2, 9)
    before = bench.log.path.read_bytes()
    bench.do(ask.relabel, ["ep-000002"], {"task": "größer"})
    whole = bench.log.path.read_bytes()
    for size in range(len(before), len(whole)):
        bench.log.path.write_bytes(whole[:size])
        assert [edit.number for edit in bench.log.read()] == [1]
        assert bench.do(ask.delete, ["ep-000000"]) == 2
        assert [type(edit.op) for edit in bench.log.read()] == [Trim, Delete]


def test_a_last_line_that_is_no_json_is_torn(bench: Bench) -> None:
    bench.do(ask.delete, ["ep-000000"])
    before = bench.log.path.read_bytes()
    bench.log.path.write_bytes(before + bytes(40) + b"\n")
    assert len(bench.log.read()) == 1
    bench.do(ask.delete, ["ep-000001"])
    assert bench.log.path.read_bytes().startswith(before + b'{"edit": 2')


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"garbage", "it is no JSON object"),
        (b"[]", "it has no 'edit'"),
        (b"7", "it is no JSON object"),
        (b'{"edit": 1, "time": "", "by": ""}', "there is no edit None; this software knows delete, trim"),
        (b'{"edit": "1", "time": "", "by": "", "op": "undo"}', "expected a number"),
        (b'{"edit": 1, "time": "", "by": "", "op": "undo"}', "undo has ; expected undoes"),
        (b'{"edit": 1, "time": "", "by": "", "op": "undo", "edits": 3}', "undo has edits; expected undoes"),
        (b'{"edit": 1, "time": "", "by": "", "op": "delete", "episodes": [["a", 0, 1]]}', "delete has episodes="),
        (b'{"edit": 9, "time": "", "by": "", "op": "undo", "undoes": 9}', "edit 2 comes after edit 9"),
    ],
)
def test_damage_elsewhere_names_the_line_and_what_to_do(bench: Bench, damage: bytes, reason: str) -> None:
    bench.do(ask.delete, ["ep-000000"])
    bench.do(ask.delete, ["ep-000001"])
    lines = bench.log.path.read_bytes().splitlines(keepends=True)
    bench.log.path.write_bytes(damage + b"\n" + lines[1])
    with pytest.raises(
        StoreError, match=r"line \d of edits.jsonl is damaged.* Restore the file from a copy"
    ) as refused:
        bench.log.read()
    assert reason in str(refused.value)


def test_a_full_disk_leaves_the_log_as_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.do(ask.delete, ["ep-000000"])
    before, append = bench.log.path.read_bytes(), disk.append

    def full(path: Path, content: bytes, at: int) -> None:
        append(path, content[: len(content) // 2], at)
        if content:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "append", full)
    with pytest.raises(StoreError, match=rf"cannot note the edit in .*: {os.strerror(errno.ENOSPC)}; nothing was"):
        bench.do(ask.delete, ["ep-000001"])
    assert bench.log.path.read_bytes() == before


def test_a_name_that_the_machine_does_not_know_still_signs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    bench.do(ask.delete, ["ep-000000"])
    assert bench.log.read()[0].by == f"user {os.getuid()}"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30), st.integers(0, 3)), max_size=8))
@settings(deadline=None)  # each stroke waits for the disk
def test_overlays_are_the_last_word_on_each_row(strokes: list[tuple[int, int, int]]) -> None:
    row_sources = [-1] * 60
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / NAME, recorded("ep-000000", rows=60))
        for start, rows, value in strokes:
            bench.do(ask.relabel_source, "ep-000000", start, start + rows, Source(value))
            row_sources[start : start + rows] = [value] * rows
        entry = bench.state.entries["ep-000000"]
    seen = [-1] * 60
    assert all(a.stop < b.start or (a.stop == b.start and a.value != b.value) for a, b in pairwise(entry.overlays))
    for one in entry.overlays:
        assert one.start < one.stop
        seen[one.start : one.stop] = [one.value] * (one.stop - one.start)
    assert seen == row_sources


@dataclass
class Seen:
    """An episode in the model: its rows one by one, its labels, and where it stands."""

    cells: list[Cell]
    labels: dict[str, str]
    place: tuple[int, ...]


@dataclass
class Model:
    """A store as a person thinks of it. Each command returns what it was made on; KeyError when that is not there."""

    episodes: dict[str, Seen]
    views: dict[str, set[str]] = field(default_factory=dict)

    def copy(self) -> "Model":
        episodes = {name: Seen(list(e.cells), dict(e.labels), e.place) for name, e in self.episodes.items()}
        return Model(episodes, {name: set(ids) for name, ids in self.views.items()})

    def delete(self, names: list[str]) -> Any:
        for name in names:
            del self.episodes[name]
        return names

    def trim(self, name: str, start: int, stop: int) -> Any:
        before = [cell[:2] for cell in self.episodes[name].cells]
        self.episodes[name].cells = self.episodes[name].cells[start:stop]
        return before

    def split(self, name: str, at: int, into: tuple[str, str]) -> Any:
        old = self.episodes.pop(name)
        for side, (new, cells) in enumerate(zip(into, (old.cells[:at], old.cells[at:]), strict=True)):
            self.episodes[new] = Seen(list(cells), dict(old.labels), (*old.place, side))
        self._follow({name}, set(into))
        return [cell[:2] for cell in old.cells]

    def merge(self, names: list[str], into: str) -> Any:
        old = [self.episodes[name] for name in names]
        for name in names:
            del self.episodes[name]
        labels = {**old[0].labels, "verdict": old[-1].labels["verdict"]}
        self.episodes[into] = Seen([cell for one in old for cell in one.cells], labels, old[0].place)
        self._follow(set(names), {into})
        return [([cell[:2] for cell in one.cells], one.labels["task"]) for one in old]

    def relabel(self, names: list[str], labels: dict[str, str]) -> Any:
        for name in names:
            self.episodes[name].labels.update(labels)
        return names

    def source(self, name: str, start: int, stop: int, value: int) -> Any:
        cells = self.episodes[name].cells
        before = [cell[:2] for cell in cells]
        cells[start:stop] = [(origin, row, value) for origin, row, _ in cells[start:stop]]
        return before

    def view(self, name: str, names: list[str]) -> Any:
        self.views[name] = {self.episodes[one] and one for one in names}
        return names

    def _follow(self, old: set[str], new: set[str]) -> None:
        for ids in self.views.values():
            if old <= ids:
                ids |= new

    def shown(self) -> Any:
        order = sorted(self.episodes, key=lambda name: self.episodes[name].place)
        episodes = [(name, self.episodes[name].cells, self.episodes[name].labels) for name in order]
        return episodes, {name: ids & self.episodes.keys() for name, ids in self.views.items()}


Command = Callable[[Model], Any]


def rehearse(base: Model, commands: dict[int, Command]) -> tuple[Model, dict[int, Any]]:
    """The model after all commands, and what each of them was made on."""
    model, ground = base.copy(), {}
    for number, command in commands.items():
        try:
            ground[number] = command(model)
        except KeyError:
            ground[number] = None
    return model, ground


class EditsMachine(RuleBasedStateMachine):
    """Random edits, undos, torn writes and compactions that are killed, on a store and on its model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.bench = Bench(Path(self.folder.name) / NAME)
        self.disk: dict[str, list[Cell]] = {}
        self.base = Model({})
        self.commands: dict[int, Command] = {}
        self.given = 0
        self.interrupted = False
        self.contents: dict[str, list[Cell]] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    @initialize(rows=st.lists(st.integers(1, 12), min_size=3, max_size=5))
    def record(self, rows: list[int]) -> None:
        for count in rows:
            name = self.new_id()
            self.disk[name] = [(name, row, 0) for row in range(count)]
            self.base.episodes[name] = Seen(self.disk[name], {"verdict": "unknown", "task": "lift"}, (self.given,))
            self.bench.recorded[name] = self.on_disk(name, 0, {})

    @precondition(lambda self: len(self.model.episodes) > 2)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        names = [self.one(data)]
        self.edit(lambda model: model.delete(names), ask.delete, names)

    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        name, start, stop = self.one_and_rows(data)
        self.edit(lambda model: model.trim(name, start, stop), ask.trim, name, start, stop)

    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        name, at, _ = self.one_and_rows(data)
        into = (self.new_id(), self.new_id())
        self.edit(lambda model: model.split(name, at, into), ask.split, name, at, into)

    @rule(data=st.data(), in_order=st.sampled_from([True, True, False]))
    def merge(self, data: st.DataObject, in_order: bool) -> None:
        names, into = self.some(data, at_least=2), self.new_id()
        times = {name: [self.time(cell) for cell in self.model.episodes[name].cells] for name in names}
        names = sorted(names, key=times.__getitem__) if in_order else names
        spans = [(times[name][0], times[name][-1]) for name in names]
        self.edit(lambda model: model.merge(names, into), ask.merge, names, into, spans)

    @rule(data=st.data(), verdict=st.sampled_from(["success", "failure"]), task=st.sampled_from(["", "", "push"]))
    def relabel(self, data: st.DataObject, verdict: str, task: str) -> None:
        names, labels = self.some(data), {"verdict": verdict} | ({"task": task} if task else {})
        self.edit(lambda model: model.relabel(names, labels), ask.relabel, names, labels)

    @rule(data=st.data(), source=st.sampled_from(Source))
    def relabel_source(self, data: st.DataObject, source: Source) -> None:
        name, start, stop = self.one_and_rows(data)
        change = (name, start, stop, source)
        self.edit(lambda model: model.source(name, start, stop, int(source)), ask.relabel_source, *change)

    @rule(data=st.data(), name=st.sampled_from(["good", "bad"]))
    def view(self, data: st.DataObject, name: str) -> None:
        names = self.some(data)
        self.edit(lambda model: model.view(name, names), ask.view, name, "any", names)

    @precondition(lambda self: self.commands)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([None, *self.commands]))
        chosen = max(self.commands) if number is None else number
        rest = {key: command for key, command in self.commands.items() if key != chosen}
        _, before = rehearse(self.base, self.commands)
        _, after = rehearse(self.base, rest)
        stands = all(after[key] == before[key] for key in rest)
        size = self.bench.log.path.stat().st_size
        try:
            self.bench.undo(number)
        except StoreError:
            assert self.interrupted or not stands
            assert self.bench.log.path.stat().st_size == size
        else:
            assert stands
            self.commands = rest

    @rule(size=st.integers(0, 90))
    def tear(self, size: int) -> None:
        line = format_edit(sign(Delete((("ep-000001", 0),)), self.bench.log.read()))
        with self.bench.log.path.open("ab") as file:
            file.write(line[: min(size, len(line) - 1)])

    @rule(data=st.data(), kill=st.sampled_from([0, 1, 1, 2, 3, 9]))
    def compact(self, data: st.DataObject, kill: int) -> None:
        edited = [entry for entry in self.bench.state.entries.values() if entry.edited]
        for entry in data.draw(st.permutations(edited)):
            if kill == 0:
                self.interrupted = True
                return
            kill -= 1
            self.write_down(entry)
            self.shows_the_model()
        self.bench.log.path.write_bytes(format_edit(sign(compacted(self.bench.state), self.bench.log.read())))
        self.base, self.commands, self.interrupted = self.model, {}, False
        self.shows_the_model()
        for name in data.draw(st.permutations(self.bench.state.gone)):
            del self.bench.recorded[name]
            self.shows_the_model()

    @invariant()
    def shows_the_model(self) -> None:
        state = self.bench.state
        episodes, views = self.model.shown()
        labels = [{key: e.attrs[key] for key in ("verdict", "task")} for e in state.entries.values()]
        cells = [self.cells(entry) for entry in state.entries.values()]
        assert list(zip(state.entries, cells, labels, strict=True)) == episodes
        assert {name: set(view.ids) for name, view in state.views.items()} == views
        for entry, rows in zip(state.entries.values(), cells, strict=True):
            assert entry.attrs["rows"] == len(rows) > 0
            assert self.contents.setdefault(entry.attrs["content"], rows) == rows

    @property
    def model(self) -> Model:
        return rehearse(self.base, self.commands)[0]

    def edit(self, command: Command, request: Callable[..., Op], *arguments: Any) -> None:
        before = self.bench.log.read()
        try:
            number = self.bench.do(request, *arguments)
        except StoreError:
            assert self.bench.log.read() == before
        else:
            self.commands[number] = command

    def one(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model.episodes)))

    def one_and_rows(self, data: st.DataObject) -> tuple[str, int, int]:
        name = self.one(data)
        edge = st.integers(0, 1 + len(self.model.episodes[name].cells))
        start, stop = sorted((data.draw(edge), data.draw(edge)))
        return name, start, stop

    def some(self, data: st.DataObject, at_least: int = 1) -> list[str]:
        names = st.sampled_from(sorted(self.model.episodes))
        least = min(at_least, len(self.model.episodes))
        return data.draw(st.lists(names, min_size=least, max_size=3, unique=True))

    def new_id(self) -> str:
        self.given += 1
        return f"ep-{self.given:06d}"

    def time(self, cell: Cell) -> float:
        return 1000.0 * int(cell[0].removeprefix("ep-")) + cell[1]

    def cells(self, entry: Entry) -> list[Cell]:
        rows = [cell for part in entry.parts for cell in self.disk[part.id][part.start : part.stop]]
        for one in entry.overlays:
            rows[one.start : one.stop] = [(origin, row, one.value) for origin, row, _ in rows[one.start : one.stop]]
        return rows

    def write_down(self, entry: Entry) -> None:
        rows = self.cells(entry)
        self.disk[entry.id] = rows
        generation = 0 if entry.generation is None else entry.generation + 1
        self.bench.recorded[entry.id] = self.on_disk(entry.id, generation, dict(entry.attrs))

    def on_disk(self, name: str, generation: int, attrs: dict[str, Any]) -> Recorded:
        content = hashlib.sha256(json.dumps(self.disk[name]).encode()).hexdigest()
        labels = {"verdict": "unknown", "task": "lift", **attrs}
        return Recorded(name, generation, len(self.disk[name]), content, labels)


TestAnyEditsAndUndos = EditsMachine.TestCase
TestAnyEditsAndUndos.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.binary(max_size=60))
def test_no_bytes_are_read_as_an_edit_that_nobody_made(content: bytes) -> None:
    try:
        found = parse(content)
    except StoreError:
        return
    assert found == []
