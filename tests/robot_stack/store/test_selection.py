"""Episodes are chosen by an expression that is read, never run, and that says what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.selection import Selection, select
from robot_stack.types import ConfigError, Source

VALUES: dict[str, Any] = {
    "verdict": "success",
    "operator": "ann",
    "task": "lift the cube",
    "rows": 60,
    "seconds": 6.0,
    "salvaged": False,
    "streams": ["state", "front"],
    "source.operator": 0.25,
    "calibration.front.fx": 600.0,
    "language": None,
}


@pytest.mark.parametrize(
    "where",
    [
        "verdict == 'success'",
        "verdict != 'failure' and operator in ['ann', 'bo']",
        "rows > 50 and source.operator > 0.1",
        "50 < rows <= 60",
        "not salvaged",
        "salvaged == False",
        "rows == 60.0 or operator == 'bo'",
        "operator not in ['bo']",
        "'cube' in task",
        "'front' in streams",
        "rows > -1",
        "-rows < seconds",
        "calibration.front.fx >= 600",
        "(rows > 100) == False",
        "language != 'push' and not language == 'push' and not language > 'a' and language not in ['a']",
        "streams == ['state', 'front']",
        "not nothing_like_it",
        "  rows == 60  ",
    ],
)
def test_an_expression_means_what_it_says(where: str) -> None:
    assert Selection(where)(VALUES) is True
    assert Selection(f"not ({where})")(VALUES) is False


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("__import__('os').system('true')", "has \"__import__('os').system('true')\" in it; there may be comparisons"),
        ("rows + 1 > 5", "has 'rows + 1' in it"),
        ("verdict.upper() == 'A'", "has 'verdict.upper()' in it"),
        ("[r for r in [1]]", "has '[r for r in [1]]' in it"),
        ("rows if rows else 1", "in it; there may be"),
        ("(rows := 5) > 1", "has 'rows := 5' in it"),
        ("lambda: 1", "in it"),
        ("rows is 1", "has 'rows is 1' in it"),
        ("f'{rows}' == '1'", "in it"),
        ("verdict[0] == 's'", "has 'verdict[0]' in it"),
        ("'a'.real == 1", "in it"),
        ("rows == 1j", "has '1j' in it"),
        ("rows == None", "has 'None' in it"),
        ("verdict = 'success'", "cannot read where=\"verdict = 'success'\""),
        ("verdict == 'success", "unterminated string literal"),
        ("", "cannot read where=''"),
        ("rows > 1\n import os", "cannot read"),
        ("rows == 1\0", "cannot read"),
        ("not " * 5000 + "salvaged", "cannot read"),
    ],
)
def test_what_is_no_such_expression_is_refused(where: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Selection(where)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("rows == '60'", "compares 60 with '60', a number with a text: a text is in quotes, a number is not"),
        ("verdict < 5", "compares 'success' with 5, a text with a number"),
        ("operator in ['ann', 5]", "compares 'ann' with 5"),
        ("operator in rows", "60 is no list that 'ann' could be in"),
        ("salvaged > False", "neither more nor less"),
        ("verdict", "verdict is 'success', neither true nor false: compare it"),
        ("rows and salvaged", "rows is 60, neither true nor false"),
        ("-verdict == 5", "'success' is no number"),
    ],
)
def test_what_cannot_be_compared_is_refused(where: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Selection(where)(VALUES)
    assert reason in str(refused.value)


@given(st.text(st.sampled_from("rows()[]'\"=<>!. and not in or 1-,:*\\\n"), max_size=40))
def test_any_text_selects_or_is_refused(text: str) -> None:
    try:
        Selection(text)(VALUES)
    except ConfigError as error:
        refused = str(error)
    else:
        return
    assert "where=" in refused


@pytest.fixture
def store(tmp_path: Path) -> Store:
    spec = Spec([Field("time"), Field("source", dtype="u1")])
    store = Store.create(tmp_path / "s", spec, {"name": "cell", "rate": 10.0})
    for operator, rows, flown, extra in (("ann", 10, 5, {}), ("bo", 20, 20, {"camera": {"fx": 600.0}})):
        writer = store.writer({"kind": "collect", "operator": operator, **extra})
        for step in range(rows):
            writer.append(spec.record(time=step / 10, source=Source.OPERATOR if step < flown else Source.NOBODY))
        writer.commit("success")
    return store


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ("verdict == 'success'", ["ann", "bo"]),
        ("rows > 10", ["bo"]),
        ("seconds == 1", ["ann"]),
        ("drops == 0 and source.operator < 0.6 and source.nobody == 0.5", ["ann"]),
        ("camera.fx == 600", ["bo"]),
        ("camera.fx != 600", ["ann"]),
        ("rows > 99", []),
    ],
)
def test_episodes_are_chosen_by_attributes_rows_time_and_who_flew(store: Store, where: str, chosen: list[str]) -> None:
    assert [episode.attrs["operator"] for episode in select(store.episodes, where)] == chosen


def test_a_name_that_no_episode_has_is_refused_with_those_there_are(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"No episode has 'verdikt'. Did you mean verdict.* There are: camera.fx, "):
        select(store.episodes, "verdikt == 'success'")
    with pytest.raises(ConfigError, match=r"No episode has 'source'.* source.operator, source.policy"):
        select(store.episodes, "source == 1")
    assert select([], "anything == 1") == []
