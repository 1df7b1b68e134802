"""The index makes opening fast, and is never believed against the episodes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from robot_stack.spec import Field, Spec
from robot_stack.store import Store, cli
from robot_stack.store.timing import stream_figures

SPEC = Spec([Field("time"), Field("q", (6,))])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four episodes."""
    with Store.create(tmp_path / "s", SPEC, {"name": "cell", "rate": 10.0}) as store:
        for number in range(4):
            writer = store.writer({"kind": "collect", "operator": f"o{number}"})
            for step in range(5):
                writer.append(SPEC.record(time=number + step / 10))
            writer.commit("success")
    return store


def index(store: Store) -> Path:
    return store.path / "catalog" / "index.jsonl"


def operators(path: Path) -> list[str]:
    return [episode.attrs["operator"] for episode in Store.open(path).episodes]


WHOLE = ["o0", "o1", "o2", "o3"]


def test_it_has_a_line_an_episode_with_what_the_episode_says(store: Store) -> None:
    lines = [json.loads(line) for line in index(store).read_text().splitlines()]
    assert [line["folder"] for line in lines] == [f"ep-{number:06d}" for number in range(4)]
    for line, episode in zip(lines, store.episodes, strict=True):
        assert line["attrs"] == json.loads((episode.path / "zarr.json").read_text())["attributes"]


def test_opening_reads_no_episode_that_the_index_knows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from robot_stack.store import arrays

    read: list[str] = []
    original = arrays.read_metadata
    monkeypatch.setattr(arrays, "read_metadata", lambda path: (read.append(path.name), original(path))[1])
    assert operators(store.path) == WHOLE
    assert read == ["s"]


@pytest.mark.parametrize(
    "content",
    [
        lambda text: "",
        lambda text: text[:-30],
        lambda text: text.replace('"o1"', '"liar"', 1)[::-1],
        lambda text: "\n".join(["[1]", '{"folder": 3}', "null", text]),
        lambda text: text + text.replace("ep-000003", "ep-000009"),
    ],
)
def test_whatever_is_in_it_the_episodes_are_shown_as_they_are(store: Store, content: object) -> None:
    index(store).write_text(content(index(store).read_text()))  # type: ignore[operator]
    assert operators(store.path) == WHOLE
    with Store.open(store.path) as opened:
        opened.claim()
    assert len(index(store).read_text().splitlines()) == 4
    assert operators(store.path) == WHOLE


def test_without_it_the_store_opens_and_the_next_writer_makes_it_anew(store: Store) -> None:
    shutil.rmtree(store.path / "catalog")
    assert operators(store.path) == WHOLE
    with Store.open(store.path) as opened:
        opened.delete(["ep-000001"])
    assert len(index(store).read_text().splitlines()) == 4
    assert operators(store.path) == ["o0", "o2", "o3"]


def test_an_episode_that_was_put_in_the_place_of_another_is_read_anew(store: Store) -> None:
    file = store.path / "episodes" / "ep-000002" / "zarr.json"
    file.write_text(file.read_text().replace('"o2"', '"somebody else"'))
    assert operators(store.path) == ["o0", "o1", "somebody else", "o3"]


def test_an_episode_that_cannot_be_read_hides_no_other(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (store.path / "episodes" / "ep-000001" / "zarr.json").write_text("{")
    (store.path / "episodes" / "ep-000007").mkdir()
    assert operators(store.path) == ["o0", "o2", "o3"]
    assert cli.check({"store": str(store.path)}) == 1
    printed = capsys.readouterr().out
    assert "ep-000001" in printed
    assert "ep-000007" in printed
    assert cli.check({"store": str(store.path), "fix": True}) == 0
    assert "put ep-000001 aside" in capsys.readouterr().out
    assert cli.check({"store": str(store.path)}) == 0
    assert (store.path / "damaged" / "ep-000001").is_dir()


def test_fix_hides_what_is_not_what_was_recorded_and_undo_shows_it(store: Store) -> None:
    file = next((store["ep-000002"].path / "q").glob("c.*"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 255
    file.write_bytes(content)
    assert cli.check({"store": str(store.path), "fix": True}) == 0
    assert operators(store.path) == ["o0", "o1", "o3"]
    with Store.open(store.path) as opened:
        opened.undo()
    assert operators(store.path) == WHOLE


def test_figures_of_a_raw_stream_count_what_was_lost_and_repeated() -> None:
    time = [0.0, 0.1, 0.2, 0.2, 0.5, 0.4]
    sequence = [7, 8, 9, 9, 12, 11]
    figures = stream_figures(["time", "sequence"], np.array([time, sequence]).T)
    assert figures == {
        "count": 6,
        "rate": pytest.approx(10.0),
        "longest_gap": pytest.approx(0.3),
        "repeats": 1,
        "backwards": 1,
        "drops": 1,
    }
    empty = stream_figures(["time", "load"], np.empty((0, 2)))
    assert empty == {"count": 0, "rate": 0.0, "longest_gap": 0.0, "repeats": 0, "backwards": 0}
