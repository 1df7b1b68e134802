"""`robot-stack data delete … log`: what a person types, what it answers, and that each answer's undo works."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from robot_stack.cli import main
from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.types import Source

SPEC = Spec([Field("time"), Field("step", dtype="i8"), Field("source", dtype="u1")])
IDS = ["ep-000000", "ep-000001", "ep-000002"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Three episodes of 10, 20 and 30 rows, flown by ann, bo and ann."""
    with Store.create(tmp_path / "my lifts", SPEC, {"name": "cell", "rate": 10.0}) as store:
        time = 0.0
        for rows, operator in ((10, "ann"), (20, "bo"), (30, "ann")):
            writer = store.writer({"kind": "collect", "task": "lift", "operator": operator})
            for step in range(rows):
                time += 0.1
                writer.append(SPEC.record(time=time, step=step, source=Source.OPERATOR))
            writer.commit("success")
    return str(tmp_path / "my lifts")


class Terminal:
    """Runs commands on a store as a shell would."""

    def __init__(self, path: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._path, self._capsys = path, capsys

    def __call__(self, action: str, *arguments: str, code: int = 0) -> str:
        assert main(["data", action, f"store={self._path}", *arguments]) == code
        printed = self._capsys.readouterr()
        return printed.err if code else printed.out

    def type(self, command: str) -> str:
        _, *arguments = shlex.split(command)
        assert main(arguments) == 0
        return self._capsys.readouterr().out

    @property
    def rows(self) -> dict[str, int]:
        return {episode.id: len(episode) for episode in Store.open(self._path).episodes}


@pytest.fixture
def data(path: str, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(path, capsys)


@pytest.mark.parametrize(
    ("action", "arguments", "said", "rows"),
    [
        (
            "delete",
            ["episodes=[ep-000000,ep-000002]"],
            "my lifts has 1 episode (20 rows) left",
            {"ep-000001": 20},
        ),
        (
            "delete",
            ["where=operator in ['bo'] or rows > 25"],
            "deleted 2 episodes (50 rows)",
            {"ep-000000": 10},
        ),
        (
            "trim",
            ["episode=ep-000001", "start=5"],
            "ep-000001 is trimmed to rows 5:20 of 20 rows",
            {"ep-000000": 10, "ep-000001": 15, "ep-000002": 30},
        ),
        (
            "trim",
            ["episode=ep-000001", "stop=3"],
            "rows 0:3",
            {"ep-000000": 10, "ep-000001": 3, "ep-000002": 30},
        ),
        (
            "split",
            ["episode=ep-000001", "at=19"],
            "ep-000001 is now ep-000003 (19 rows) and ep-000004 (1 row)",
            {"ep-000000": 10, "ep-000003": 19, "ep-000004": 1, "ep-000002": 30},
        ),
        (
            "merge",
            ["episodes=[ep-000000,ep-000002]"],
            "2 episodes are now ep-000003: 40 rows",
            {"ep-000003": 40, "ep-000001": 20},
        ),
    ],
)
def test_it_says_what_it_did_and_the_command_that_takes_it_back(
    data: Terminal, action: str, arguments: list[str], said: str, rows: dict[str, int]
) -> None:
    printed = data(action, *arguments)
    assert said in printed
    assert data.rows == rows
    undone = data.type(printed.split("to undo it: ")[1])
    assert undone.startswith("undone: edit 1 (")
    assert undone.rstrip().endswith(" has 3 episodes (60 rows)")
    assert data.rows == {"ep-000000": 10, "ep-000001": 20, "ep-000002": 30}


def test_labels_are_corrected_where_an_expression_says(data: Terminal, path: str) -> None:
    assert "relabelled 2 episodes: verdict=failure, language=pick, then place" in data(
        "relabel", "where=operator == 'ann'", "verdict=failure", "language=pick, then place"
    )
    first, other, last = Store.open(path).episodes
    assert [e.attrs["verdict"] for e in (first, other, last)] == ["failure", "success", "failure"]
    assert last.attrs["language"] == "pick, then place"
    data("relabel", "episodes=[ep-000001]", "task=push")  # though there is a group of configs of that name
    assert Store.open(path)["ep-000001"].attrs["task"] == "push"


def test_who_flew_is_corrected_row_by_row(data: Terminal, path: str) -> None:
    said = data("relabel", "episodes=ep-000001", "source=policy", "start=5", "stop=15")
    assert "rows 5:15 of ep-000001 (10) count as flown by policy" in said
    expected = np.full(20, Source.OPERATOR)
    expected[5:15] = Source.POLICY
    np.testing.assert_array_equal(Store.open(path)["ep-000001"]["source"], expected)
    assert "has 1 episode (20 rows), of 3" in data("filter", "where=source.policy == 0.5", "view=mixed")


def test_what_is_read_is_what_the_edits_left(data: Terminal, path: str) -> None:
    data("relabel", "episodes=ep-000002", "source=policy", "start=8", "stop=25")
    data("trim", "episode=ep-000002", "start=5", "stop=28")
    data("split", "episode=ep-000002", "at=10")
    data("trim", "episode=ep-000000", "stop=4")
    data("merge", "episodes=[ep-000000,ep-000004]")
    store = Store.open(path)
    assert [episode.id for episode in store.episodes] == ["ep-000005", "ep-000001", "ep-000003"]
    merged, rest = store["ep-000005"], store["ep-000003"]
    np.testing.assert_array_equal(merged["step"], [*range(4), *range(15, 28)])
    np.testing.assert_array_equal(rest["step"], np.arange(5, 15))
    np.testing.assert_array_equal(merged["source"], [1] * 4 + [2] * 10 + [1] * 3)
    np.testing.assert_array_equal(rest.rows(2, 5)["source"], [1, 2, 2])
    np.testing.assert_array_equal(merged.read("step", 3, 6), [3, 15, 16])
    assert (merged.attrs["rows"], merged.attrs["edited"]) == (17, True)


def test_a_view_is_opened_by_its_name_and_chosen_from(data: Terminal, path: str) -> None:
    said = data("filter", "where=operator in ['ann', 'cy']", "view=anns")
    assert f"{path}@anns has 2 episodes (40 rows), of 3; open it as store={path}@anns" in said
    assert [episode.id for episode in Store.open(f"{path}@anns").episodes] == ["ep-000000", "ep-000002"]
    assert main(["data", "filter", f"store={path}@anns", "where=rows > 10", "view=longer"]) == 0
    assert [episode.id for episode in Store.open(f"{path}@longer").episodes] == ["ep-000002"]
    assert main(["data", "delete", f"store={path}@longer", "where=rows > 0"]) == 0
    assert data.rows == {"ep-000000": 10, "ep-000001": 20}


def test_the_log_shows_who_did_what_and_what_was_undone(data: Terminal) -> None:
    assert "no edits in" in data("log")
    data("delete", "episodes=ep-000000")
    data("trim", "episode=ep-000001", "stop=5")
    data("undo", "edit=1")
    lines = data("log").splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert "delete ep-000000" in lines[1]
    assert lines[1].rstrip().endswith("undone by 3")
    assert "trim ep-000001 to rows 0:5" in lines[2]
    assert "undo edit 1" in lines[3]


@pytest.mark.parametrize(
    ("action", "arguments", "code", "reason"),
    [
        ("delete", [], 2, "which episodes? Give either episodes="),
        ("delete", ["episodes=ep-000001", "where=rows > 1"], 2, "which episodes?"),
        ("delete", ["where=rows > 99"], 1, "none was named, or none was found"),
        ("delete", ["where=rowz > 99"], 2, "No episode has 'rowz'. Did you mean rows"),
        ("delete", ["episodes=ep-000009"], 1, "no episode 'ep-000009'"),
        ("trim", ["episode=ep-000001"], 1, "rows 0:20 are all of it"),
        ("trim", ["episode=ep-000001", "stop=9.5"], 2, "stop=9.5: expected a whole number"),
        ("split", ["episode=ep-000001", "at=20"], 1, "expected a row from 1 to 19, not 20"),
        ("split", ["episode=ep-000001"], 2, "at=..."),
        ("merge", ["episodes=[ep-000002,ep-000000]"], 1, "name the earlier one first"),
        ("merge", ["episodes=[ep-000000,ep-000001]"], 1, "their operator differs, 'ann' and 'bo'"),
        ("relabel", ["episodes=ep-000001"], 2, "needs verdict=, task= or language=, or else source="),
        ("relabel", ["episodes=ep-000001", "task=a", "source=policy"], 2, "needs verdict="),
        ("relabel", ["episodes=ep-000001", "source=robot"], 2, "there are: nobody, operator, policy, script"),
        ("relabel", ["where=rows > 0", "source=policy"], 2, "of rows of one episode, not of 3"),
        ("relabel", ["episodes=ep-000001", "verdict=good"], 2, "there are: success, failure, unknown"),
        ("filter", ["where=rows > 5", "view=a b"], 2, "cannot name a view"),
        ("undo", [], 1, "there is no edit to undo"),
        ("undo", ["edit=4"], 1, "there is no edit 4"),
        ("undo", ["edit=x"], 2, "edit=x: expected a whole number"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    data: Terminal, action: str, arguments: list[str], code: int, reason: str
) -> None:
    assert reason in data(action, *arguments, code=code)
    assert "no edits in" in data("log")
