"""`bench store`: its parts at sizes of seconds, and that its judges can say no."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.bench import store as bench
from deploy.bench import store_align, store_open, store_record, store_scene, store_windows, store_work
from deploy.bench.store_rivals import ZarrBuffer
from robot_stack import observe
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose
from robot_stack.station import Station
from robot_stack.store import Store
from robot_stack.types import ConfigError, StoreError

SIZE = (48, 64)
CONFIG: dict[str, Any] = {
    "record_seconds": 1.0,
    "codec_seconds": 0.5,
    "rival_seconds": 0.2,
    "picture": list(SIZE),
    "compact_rows": 6,
    "small_picture": list(SIZE),
    "window_episodes": 2,
    "window_rows": 20,
    "cold_windows": 16,
    "repeats": 1,
    "episodes": 20,
    "align_rows": 50,
    "kills": 2,
    "seed": 0,
}


def said(text: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def film() -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(0)
    smooth = generator.integers(0, 255, (4, 3, 6, 8, 3), np.uint8)
    return smooth.repeat(8, axis=2).repeat(8, axis=3)


def test_config_of_the_verb_is_what_the_parts_ask_for() -> None:
    config = compose(CONFIGS, "bench_store", ["only=[open]", "episodes=7"])
    assert CONFIG.keys() | {"only", "out"} == set(config)
    assert bench.wanted(list(config.only)) == ["open"]


def test_parts_are_measured_in_their_order_and_one_that_is_not_there_is_refused() -> None:
    assert bench.wanted(["align", "record"]) == ["record", "align"]
    assert bench.wanted("open") == ["open"]
    assert bench.wanted(None) == list(bench.PARTS)
    with pytest.raises(ConfigError, match=r"no part opne .* there are: record, compact"):
        bench.wanted(["opne"])


def test_disk_with_too_little_room_is_refused_before_anything_is_written() -> None:
    need = bench.room(CONFIG)["open"] + bench.RESERVE
    bench.check_room(CONFIG, ["open"], need)
    with pytest.raises(StoreError, match=r"has 1\.0 GB free, this bench needs 2\.0 GB: make room"):
        bench.check_room(CONFIG, ["open"], 1e9)


def test_film_goes_forwards_and_backwards_without_a_cut() -> None:
    assert store_scene.shown(np.arange(8), 4).tolist() == [0, 1, 2, 3, 2, 1, 0, 1]
    assert store_scene.shown(np.arange(3), 1).tolist() == [0, 0, 0]


def test_filmed_robot_moves_and_its_cameras_have_noise() -> None:
    pictures = store_scene.film(2, SIZE, frames=3)
    assert pictures.shape == (3, 2, *SIZE, 3)
    assert (pictures[0] != pictures[1]).any(axis=(1, 2, 3)).all()
    again = store_scene.film(2, SIZE, frames=1, seed=1)
    assert 0.5 < np.abs(pictures[0].astype(int) - again[0]).mean() < 3.0  # the same scene, other noise


def test_ratio_is_of_pairs_and_is_judged_by_their_median() -> None:
    figure = store_work.ratio("ours / theirs", [10.0, 30.0, 20.0], [5.0, 5.0, 20.0], 2.0)
    assert figure.values == {"median": 2.0, "min": 1.0, "max": 6.0}
    assert figure.met is True
    assert store_work.ratio("", [1.9], [1.0], 2.0).met is False


@pytest.mark.parametrize("wait", [0.0, 0.1])
def test_rows_are_the_newest_frames_though_some_drop_and_some_overtake(wait: float) -> None:
    aligned = store_align.align(200, seed=1, wait=wait)
    assert aligned.wrong == 0
    assert 0.05 < aligned.dropped / (2 * 20.5 * 30) < 0.15
    assert aligned.overtaken > 0
    assert (aligned.early > 0) is (wait == 0.0)


def test_observer_that_takes_what_came_last_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe._Stream, "at", lambda self, time: self._messages[-1] if self._messages else None)
    assert store_align.align(50, seed=1, wait=0.1).wrong > 10


def test_copies_of_an_episode_are_a_store_that_opens_with_all_of_them(tmp_path: Path) -> None:
    files, size = store_open.make(tmp_path / "store", 20)
    episodes = Store.open(tmp_path / "store").episodes
    assert [episode.id for episode in episodes] == [f"ep-{number:06d}" for number in range(20)]
    assert len(episodes[19]["q"]) == len(episodes[0]["q"])
    assert files == 20 * sum(path.is_file() for path in episodes[0].path.rglob("*"))
    assert size >= 20 * store_work.disk_bytes(episodes[0].path)


def test_opening_is_measured_with_the_index_and_without(tmp_path: Path) -> None:
    figures = store_open.measure(CONFIG, tmp_path, said)
    assert figures[0].met is True
    assert figures[1].what == "open 20 episodes: without the index"
    assert figures[1].values["after"] > 0.0


@pytest.fixture(scope="module")
def session(film: np.ndarray[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> store_record.Session:
    folder = tmp_path_factory.mktemp("record")
    np.save(folder / "film.npy", film)
    station = Station("bench", 6, dict.fromkeys(store_record.CAMERAS, SIZE), rate=30.0)
    return store_record.record(folder / "zstd", station, folder / "film.npy", "zstd", 1.0)


def test_recording_through_bus_and_recorder_is_held_against_what_was_published(
    session: store_record.Session, film: np.ndarray[Any, Any]
) -> None:
    assert len(session.episode) + store_record.rows_missed(session.episode) >= 20
    assert session.truth.keys() == {"control", "gripper", *(f"camera.{name}" for name in store_record.CAMERAS)}
    assert len(session.truth["control"]) > 500
    assert store_record.rows_misaligned(session) == 0
    assert store_record.likeness(session, film) == (1.0, float("inf"))
    assert 0.0 < session.cpu < 1.5


def test_message_that_was_published_and_is_not_stored_is_counted(session: store_record.Session) -> None:
    lost = store_record.messages_lost(session)
    middle = session.episode["time"][len(session.episode) // 2]
    more = np.append(session.truth["gripper"], [[middle, middle]], axis=0)
    other = store_record.Session(session.episode, {**session.truth, "gripper": more}, 1.0, 0.0, 0.0, 0.0)
    assert store_record.messages_lost(other) == lost + 1


def test_row_with_an_older_picture_than_there_was_is_counted(session: store_record.Session) -> None:
    time = session.episode["time"][len(session.episode) // 2]
    camera = session.truth["camera.front"]
    newer = np.insert(camera, np.searchsorted(camera[:, 0], time), [time - 1e-6, time - 1e-6], axis=0)
    other = store_record.Session(session.episode, {**session.truth, "camera.front": newer}, 1.0, 0.0, 0.0, 0.0)
    assert store_record.rows_misaligned(other) == 1


def test_picture_that_was_sent_after_its_row_was_made_is_not_held_against_the_recorder(
    session: store_record.Session,
) -> None:
    time = session.episode["time"][len(session.episode) // 2]
    camera = session.truth["camera.front"]
    late = np.insert(camera, np.searchsorted(camera[:, 0], time), [time - 1e-6, time + 1.0], axis=0)
    late[:, 1] = np.maximum.accumulate(late[:, 1])
    other = store_record.Session(session.episode, {**session.truth, "camera.front": late}, 1.0, 0.0, 0.0, 0.0)
    assert store_record.rows_misaligned(other) == 0


def test_store_and_zarr_buffer_hold_the_same_windows(film: np.ndarray[Any, Any], tmp_path: Path) -> None:
    from deploy.bench.store_rival_loaders import IMAGES, TABLES, ZarrWindows
    from robot_stack.store.windows import WindowReader

    pictures = film[:, :2]
    store = store_windows._store(tmp_path / "store", "zstd", pictures, episodes=2, rows=20)
    buffer = ZarrBuffer(tmp_path / "zarr", pictures.shape[1:], 6)
    for episode in range(2):
        shown = pictures[store_scene.shown(7 * episode + np.arange(20), len(pictures))]
        buffer.append(shown, store_scene.motion(20))
        buffer.end()
    ours = WindowReader(Store.open(store).episodes, TABLES, IMAGES, 2, 16)
    theirs = ZarrWindows(tmp_path / "zarr")
    assert len(ours) == len(theirs) == 40
    for number in (0, 1, 19, 20, 39):
        here, there = ours[number], theirs[number]
        for name, place in (("q", "state"), ("image.front", "camera_0"), ("image.wrist", "camera_1")):
            assert _digest(here[name]) == _digest(there[place]), (number, name)


def test_fastest_decoder_of_lerobot_is_what_the_targets_are_held_against() -> None:
    rates = {
        "store jpeg": [50.0, 50.0],
        "store zstd": [40.0, 40.0],
        "zarr v2": [60.0, 60.0],
        "LeRobot torchcodec": [20.0, 20.0],
        "LeRobot pyav": [10.0, 10.0],
        "cache": [100.0, 100.0],
        "training, cache on disk": [300.0, 300.0],
        "training, cache in memory": [150.0, 150.0],
    }
    judged = {figure.what: figure.met for figure in store_windows._judged("warm", rates) if figure.met is not None}
    assert judged == {
        "warm: store jpeg / LeRobot torchcodec": True,
        "warm: store zstd / LeRobot torchcodec": True,
        "warm: store jpeg / zarr v2": False,
        "warm: training, cache on disk / LeRobot torchcodec": True,
        "warm: training, cache in memory / LeRobot torchcodec": False,
    }


def _digest(values: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values)).hexdigest()
