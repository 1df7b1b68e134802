"""Windows straight from the store are the rows around now, padded where the episode is over."""

import os
import pickle
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.picture import shrink
from robot_stack.spec import Field, Spec
from robot_stack.store import Episode, Store
from robot_stack.store.cache import FrameCache
from robot_stack.store.frames import Decoded
from robot_stack.store.windows import WindowReader
from robot_stack.types import ConfigError, SpecError, StoreError

recording: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("recording.py")))
row, SPEC = recording["row"], recording["SPEC"]
LENGTHS = (5, 1, 9)
FRAME = "image.front"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Rows 0..4, 100, and 200..208."""
    path = tmp_path_factory.mktemp("windows") / "store"
    with Store.create(path, SPEC, recording["STATION"], codec="zstd") as made:
        for number, length in enumerate(LENGTHS):
            writer = made.writer({"kind": "collect", "task": "test"})
            for step in range(length):
                writer.append(row(100 * number + step))
            writer.commit("success")
    return Store.open(path)


def reader(store: Store, **more: Any) -> WindowReader:
    return WindowReader(store.episodes, ["step"], [FRAME], **{"history": 2, "horizon": 3, **more})


def test_a_window_is_padded_with_the_first_and_the_last_row(store: Store) -> None:
    windows = reader(store)
    assert len(windows) == sum(LENGTHS)
    found = [windows[i]["step"].tolist() for i in (0, 1, 3, 4, 5, 6)]
    assert found == [[0, 0, 1, 2], [0, 1, 2, 3], [2, 3, 4, 4], [3, 4, 4, 4], [100] * 4, [200, 200, 201, 202]]
    valid = [windows[i]["valid"].tolist() for i in (0, 1, 4, 5)]
    assert valid == [[False, True, True, True], [True] * 4, [True, True, False, False], [False, True, False, False]]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 9), st.data())
def test_every_window_is_what_was_recorded(
    store: Store, history: int, horizon: int, execute: int, data: st.DataObject
) -> None:
    windows = reader(store, history=history, horizon=horizon, execute=execute)
    standing = [(e, t) for e, length in enumerate(LENGTHS) for t in range(length - execute + 1)]
    assert len(windows) == len(standing)
    number = data.draw(st.integers(0, len(windows) - 1))
    episode, now = standing[number]
    wanted = np.arange(now + 1 - history, now + horizon)
    inside = wanted.clip(0, LENGTHS[episode] - 1)
    window = windows[number]
    assert window["step"].tolist() == (100 * episode + inside).tolist()
    assert window["valid"].tolist() == (wanted == inside).tolist()
    pictures = [row(100 * episode + int(step))[FRAME] for step in inside[:history]]
    assert np.array_equal(window[FRAME], np.stack(pictures))
    assert window[FRAME].dtype == np.uint8


def test_only_the_frames_of_the_window_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = reader(store)
    asked = []
    read = Episode.read

    def note(episode: Episode, name: str, start: int = 0, stop: int | None = None) -> Any:
        asked.append((name, start, stop))
        return read(episode, name, start, stop)

    monkeypatch.setattr(Episode, "read", note)
    windows[3]
    windows[0]
    assert asked == [(FRAME, 2, 4), (FRAME, 0, 1)]


def test_frames_are_shrunk_as_for_a_policy_with_and_without_the_cache(store: Store, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache")
    cache.fill(Decoded(episode, FRAME, (20, 30)) for episode in store.episodes)
    straight, cached = reader(store, resolution=(20, 30)), reader(store, resolution=(20, 30), cache=cache)
    for number in range(len(straight)):
        assert np.array_equal(straight[number][FRAME], cached[number][FRAME])
    assert np.array_equal(cached[8][FRAME][1], shrink(row(202)[FRAME], (20, 30)))


def test_it_goes_to_a_worker_without_open_files(store: Store) -> None:
    """Spawned workers get a copy, forked ones share what is open: nothing may be."""
    before = len(os.listdir("/proc/self/fd"))
    windows = reader(store)
    windows[3]
    assert len(os.listdir("/proc/self/fd")) == before
    copy = pickle.loads(pickle.dumps(windows))
    for name, values in windows[3].items():
        assert np.array_equal(copy[3][name], values)


def test_frames_may_be_of_any_kind(tmp_path: Path) -> None:
    spec = Spec([Field("time"), Field("depth", (50, 60), "u2", unit="mm")])
    with Store.create(tmp_path / "s", spec, {"rate": 10.0}) as made:
        writer = made.writer({"kind": "collect"})
        for step in range(3):
            writer.append(spec.record(time=step / 10, depth=np.full((50, 60), 1000 + step)))
        writer.commit()
    window = WindowReader(made.episodes, [], ["depth"], history=2, horizon=1)[2]
    assert window["depth"].dtype == np.uint16
    assert window["depth"][:, 0, 0].tolist() == [1001, 1002]


def test_what_cannot_be_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="longest of 3 episodes has 9 rows, one needs 10"):
        reader(store, execute=10)
    with pytest.raises(StoreError, match="longest of 0 episodes"):
        WindowReader([], ["step"], [])
    with pytest.raises(SpecError, match=r"no field 'image\.back'"):
        WindowReader(store.episodes, [], ["image.back"])
    with pytest.raises(ConfigError, match="'valid'"):
        WindowReader(store.episodes, ["valid"], [])
