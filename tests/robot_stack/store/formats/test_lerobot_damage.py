"""LeRobotDatasets that were cut off, edited or badly recorded: what is wrong is named, what can be saved comes in."""

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robot_stack.realtime import no_gain_of_priority
from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats import Imported, export, import_source, open_source
from robot_stack.types import StoreError

LENGTHS = (6, 9, 4)
KEY = "observation.images.front"
SPEC = Spec(
    [
        Field("time", unit="s"),
        Field("observation.state", (2,), "f4"),
        Field("action", (2,), "f4"),
        Field("image.front", (40, 48, 3), "u1"),
    ]
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("store") / "s"
    with Store.create(path, SPEC, {"name": "cell", "robot": "ur5e", "rate": 10.0}) as made:
        for episode, length in enumerate(LENGTHS):
            writer = made.writer({"kind": "collect", "task": f"task {episode}"})
            for step in range(length):
                row = SPEC.record(time=step / 10)
                row["observation.state"] = row["action"] = episode, step
                row["image.front"] = picture(episode, step)
                writer.append(row)
            writer.commit("success")
    return Store.open(path)


def picture(episode: int, step: int) -> Any:
    """A grey of its own for every step."""
    return np.full((40, 48, 3), 20 + 20 * step + 5 * episode, np.uint8)


def step_of(pictures: Any, episode: int) -> list[int]:
    """Which step's pictures these are."""
    greys = pictures.reshape(len(pictures), -1).mean(axis=1)
    return [round(float(grey - 20 - 5 * episode) / 20) for grey in greys]


@pytest.fixture(scope="module", params=["lerobot", "lerobot2.1"])
def sound(store: Store, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as somebody else would have it: without our sidecar, and without our column of times."""
    root = tmp_path_factory.mktemp("out") / "set"
    export(store, root, request.param)
    shutil.rmtree(root / "meta/robot_stack")
    info = json.loads((root / "meta/info.json").read_text())
    del info["features"]["time"]
    (root / "meta/info.json").write_text(json.dumps(info))
    for path in root.glob("data/*/*.parquet"):
        pq.write_table(pq.read_table(path).drop(["time"]), path)
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(sound, tmp_path / "set"))


def is_old(root: Path) -> bool:
    return bool(json.loads((root / "meta/info.json").read_text())["codebase_version"] == "v2.1")


def bring(root: Path, **options: Any) -> tuple[Imported, Store]:
    done = import_source(open_source(root), root.parent / "s", **options)
    return done, Store.open(root.parent / "s")


def change_info(root: Path, **values: Any) -> None:
    path = root / "meta/info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_rows(root: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    for path in sorted(root.glob("data/*/*.parquet")):
        pq.write_table(change(pq.read_table(path)), path)


def put(table: pa.Table, name: str, values: Any) -> pa.Table:
    column = table.schema.get_field_index(name)
    return table.set_column(column, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def encode(path: Path, steps: list[tuple[int, float]], episode: int = 0) -> None:
    """A video of the pictures of these steps, each at a time [periods]."""
    with av.open(str(path), "w") as target:
        stream: Any = target.add_stream("libsvtav1", 10, options={"g": "2", "preset": "12"})
        stream.pix_fmt, stream.width, stream.height = "yuv420p", 48, 40
        with no_gain_of_priority():
            target.start_encoding()
        for step, time in steps:
            frame = av.VideoFrame.from_ndarray(picture(episode, step), "rgb24")
            frame.pts, frame.time_base = round(time * 1024), Fraction(1, 10240)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())


def test_a_sound_one_comes_in_without_a_word(root: Path) -> None:
    done, brought = bring(root)
    assert done == Imported(3, 0, sum(LENGTHS), [])
    assert [episode.attrs["task"] for episode in brought.episodes] == ["task 0", "task 1", "task 2"]
    for number, episode in enumerate(brought.episodes):
        assert episode["action"].tolist() == [[number, step] for step in range(LENGTHS[number])]
        assert step_of(episode["image.front"], number) == list(range(LENGTHS[number]))
        assert np.array_equal(episode["time"], np.arange(LENGTHS[number]) / 10)


def test_a_file_that_lost_its_footer_is_read_by_its_pages(root: Path) -> None:
    first = sorted(root.glob("data/*/*.parquet"))[0]
    first.write_bytes(first.read_bytes()[:-50])
    done, brought = bring(root)
    assert [episode["action"].tolist() for episode in brought.episodes] == [
        [[number, step] for step in range(length)] for number, length in enumerate(LENGTHS)
    ]
    (warning,) = done.warnings
    assert "has no footer, because its recording was killed" in warning
    assert f"{6 if is_old(root) else 19} rows were found in it page by page" in warning


def test_a_file_without_its_second_half_names_the_killed_recording(root: Path) -> None:
    first = sorted(root.glob("data/*/*.parquet"))[0]
    first.write_bytes(first.read_bytes()[:400])
    if is_old(root):
        done, brought = bring(root)
        assert len(brought) == 2
        assert any("killed before `finalize()`" in warning for warning in done.warnings)
        assert "episode 0: left out: `meta` lists it, and no readable file has rows of it" in done.warnings
    else:
        with pytest.raises(
            StoreError, match=r"file-000.parquet has no footer.*killed before .*no episode in it is whole"
        ):
            open_source(root)


def test_without_any_rows_it_is_refused(root: Path) -> None:
    shutil.rmtree(root / "data")
    with pytest.raises(StoreError, match=r"no parquet file under data/; copy or download it whole"):
        open_source(root)


def test_without_any_video_it_is_refused(root: Path) -> None:
    shutil.rmtree(root / "videos")
    with pytest.raises(
        StoreError, match=rf"no video of {KEY}.*can be opened: .*\.mp4 is missing.*videos/ too"
    ) as refused:
        open_source(root)
    reasons = str(refused.value).split("; ")
    assert len(set(reasons)) == len(reasons)


def last_video(root: Path) -> Path:
    """The video of the last episode alone."""
    if is_old(root):
        return sorted(root.glob("videos/*/*/*.mp4"))[2]
    path = root / "videos" / KEY / "chunk-000/file-001.mp4"
    index = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(index)
    for name, values in (
        ("file_index", [0, 0, 1]),
        ("from_timestamp", [0.0, 0.6, 0.0]),
        ("to_timestamp", [0.6, 1.5, 0.4]),
    ):
        table = put(table, f"videos/{KEY}/{name}", values)
    pq.write_table(table, index)
    return path


def test_an_episode_without_its_video_is_left_out_with_the_reason(root: Path) -> None:
    path = last_video(root)
    path.unlink(missing_ok=True)
    done, brought = bring(root)
    assert len(brought) == 2
    (warning,) = done.warnings
    assert warning.startswith("episode 2: left out: ")
    assert f"{path.name} is missing" in warning


def test_it_comes_in_once_its_video_is_there(root: Path) -> None:
    path = last_video(root)
    path.unlink(missing_ok=True)
    bring(root)
    encode(path, [(step, step) for step in range(4)], 2)
    done, brought = bring(root)
    assert (done.new, done.skipped, done.warnings) == (1, 2, [])
    assert step_of(brought.episodes[2]["image.front"], 2) == [0, 1, 2, 3]


def test_pictures_that_end_before_the_rows_are_shifted_and_not_brought_in(root: Path) -> None:
    encode(last_video(root), [(0, 0), (2, 1), (3, 2)], 2)  # as LeRobot's encoder does when its queue is full
    done, brought = bring(root)
    assert len(brought) == 2
    (warning,) = done.warnings
    assert "has 3 pictures for 4 rows and ends before them: some were dropped" in warning
    assert "nothing tells from which row on" in warning


def test_pictures_with_a_gap_in_their_times_stay_with_their_rows(root: Path) -> None:
    encode(last_video(root), [(0, 0), (2, 2), (3, 3)], 2)
    done, brought = bring(root)
    assert step_of(brought.episodes[2]["image.front"], 2) == [0, 0, 2, 3]
    assert any("lacks the pictures of 1 rows, first of row 1: the one before shows" in w for w in done.warnings)
    assert any("was decoded and compressed again" in w for w in done.warnings)


def test_more_pictures_than_rows_are_named(root: Path) -> None:
    path = last_video(root)
    encode(path, [(step, step) for step in range(6)], 2)
    done, brought = bring(root)
    assert step_of(brought.episodes[2]["image.front"], 2) == [0, 1, 2, 3]
    if is_old(root):  # v3.0 says where the episode ends in its file
        assert done.warnings == [f"episode 2: {path.name} has 2 pictures after the last row: left out, as LeRobot does"]


def test_a_video_that_was_cut_off_leaves_its_episode_out(root: Path) -> None:
    path = last_video(root)
    encode(path, [(step, step) for step in range(4)], 2)
    path.write_bytes(path.read_bytes()[:200])
    done, brought = bring(root)
    assert len(brought) == 2
    assert "has no whole video in it: its recording was killed" in done.warnings[0]


def test_videos_in_another_codec_are_decoded_and_said_so(root: Path) -> None:
    path = last_video(root)
    with av.open(str(path), "w") as target:
        stream: Any = target.add_stream("mpeg4", 10)
        stream.pix_fmt, stream.width, stream.height = "yuv420p", 48, 40
        with no_gain_of_priority():
            target.start_encoding()
        for step in range(4):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture(2, step), "rgb24")))
        target.mux(stream.encode())
    done, brought = bring(root)
    assert step_of(brought.episodes[2]["image.front"], 2) == [0, 1, 2, 3]
    wanted = "image.front was decoded and compressed again: it is mpeg4, and the store holds av1 and h264"
    assert done.warnings == [f"episode 2: {wanted}"]


@pytest.mark.parametrize("version", ["v1.6", "v4.0", "2", None])
def test_another_version_is_refused_with_what_to_do(root: Path, version: str | None) -> None:
    change_info(root, codebase_version=version)
    with pytest.raises(
        StoreError, match=r"codebase_version .*v3.0, v2.1 and v2.0 can be read.*convert_dataset_v1_to_v2"
    ):
        open_source(root)


def test_neighbours_of_the_known_versions_are_read_like_them(root: Path) -> None:
    change_info(root, codebase_version="v2.0" if is_old(root) else "v3.1")
    (root / "meta/episodes_stats.jsonl").unlink(missing_ok=True)  # v2.0 has none
    assert bring(root)[0] == Imported(3, 0, sum(LENGTHS), [])


def test_a_picture_that_is_missing_in_its_file_is_named(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "set", "lerobot", pictures="image")
    change_rows(tmp_path / "set", lambda table: put(table, KEY, [{"bytes": b"no", "path": None}] * table.num_rows))
    with pytest.raises(StoreError, match=rf"{KEY} of set has a picture that is missing or cannot be decoded"):
        open_source(tmp_path / "set")


@pytest.mark.parametrize(
    ("values", "message"),
    [({"fps": 0}, "says fps 0; a rate above 0"), ({"features": None}, "has no features")],
)
def test_an_info_that_makes_no_sense_is_refused(root: Path, values: dict[str, Any], message: str) -> None:
    change_info(root, **values)
    if values.get("features", 1) is None:
        path = root / "meta/info.json"
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "features"}))
    with pytest.raises(StoreError, match=message):
        open_source(root)


def test_a_damaged_info_is_named(root: Path) -> None:
    (root / "meta/info.json").write_text("{")
    with pytest.raises(StoreError, match=r"info.json is damaged.*copy or download it again"):
        open_source(root)


def test_an_empty_episode_and_one_without_rows_are_left_out(root: Path) -> None:
    if is_old(root):
        with (root / "meta/episodes.jsonl").open("a") as file:
            file.write(
                '{"episode_index": 3, "tasks": [], "length": 0}\n{"episode_index": 7, "tasks": [], "length": 5}\n'
            )
    else:
        path = root / "meta/episodes/chunk-000/file-000.parquet"
        table = pq.read_table(path)
        more = put(put(table.slice(1), "episode_index", [3, 7]), "length", [0, 5])
        pq.write_table(pa.concat_tables([table, more]), path)
    done, brought = bring(root)
    assert len(brought) == 3
    assert done.warnings == [
        "episode 3: left out: it has no steps",
        "episode 4: left out: `meta` lists it, and no readable file has rows of it",
    ]


def test_values_that_are_no_numbers_are_refused_with_their_place(root: Path) -> None:
    def spoil(table: pa.Table) -> pa.Table:
        values = table["action"].to_pylist()
        values[2][1] = float("nan")
        return put(table, "action", values)

    change_rows(root, spoil)
    with pytest.raises(StoreError, match=r"episode 0 of set: action is nan at step 2.*nan=skip"):
        bring(root)


def test_times_that_somebody_measured_are_kept(root: Path) -> None:
    jitter = [0.0, 0.103, 0.198, 0.301, 0.4, 0.502, 0.6, 0.7, 0.8]
    change_rows(root, lambda table: put(table, "timestamp", [jitter[f] for f in table["frame_index"].to_pylist()]))
    done, brought = bring(root)
    assert np.allclose(brought.episodes[0]["time"], jitter[:6])
    assert brought.episodes[0].attrs["time_source"] == "measured"
    assert step_of(brought.episodes[1]["image.front"], 1) == list(range(9))
    assert "episode 0: timestamps are not frame_index / fps, by 0.003 s at row 1: taken as measured" in done.warnings


def test_times_that_run_backwards_are_made_up_again(root: Path) -> None:
    swapped = [0.0, 0.2, 0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    change_rows(root, lambda table: put(table, "timestamp", [swapped[f] for f in table["frame_index"].to_pylist()]))
    done, brought = bring(root)
    assert np.array_equal(brought.episodes[0]["time"], np.arange(6) / 10)
    assert brought.episodes[0].attrs["time_source"] == "synthetic"
    assert any("time runs backwards at step 2" in warning for warning in done.warnings)


def test_episodes_that_meta_forgot_are_found_by_their_rows(root: Path) -> None:
    for path in (root / "meta/episodes.jsonl", root / "meta/episodes/chunk-000/file-000.parquet"):
        path.unlink(missing_ok=True)
    done, brought = bring(root)
    assert [len(episode) for episode in brought.episodes] == list(LENGTHS)
    missing = "episodes.jsonl" if is_old(root) else "meta/episodes"
    assert done.warnings == [f"{missing} is missing: episodes were found by their rows"]
    assert [step_of(episode["image.front"], n) for n, episode in enumerate(brought.episodes)] == [
        list(range(length)) for length in LENGTHS
    ]
    assert brought.episodes[2].attrs["task"] == "task 2"


def test_a_length_that_is_not_that_of_the_rows_is_said(root: Path) -> None:
    change_rows(root, lambda table: table.filter(pa.compute.field("frame_index") != 5))
    done, brought = bring(root)
    assert [len(episode) for episode in brought.episodes] == [5, 8, 4]
    assert "episode 0: `meta` lists 6 rows and there are 5: these came in" in done.warnings
    assert "episode 1: frame_index does not count up by one at row 5" in done.warnings
    assert step_of(brought.episodes[1]["image.front"], 1) == [0, 1, 2, 3, 4, 6, 7, 8]


def test_a_missing_column_is_named(root: Path) -> None:
    change_rows(root, lambda table: table.drop(["action"]))
    with pytest.raises(StoreError, match=r"info.json lists 'action', and .* has no such column"):
        open_source(root)


def test_lists_of_another_length_are_named(root: Path) -> None:
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["action"]["shape"] = [3]
    change_info(root, features=info["features"])
    with pytest.raises(StoreError, match=r"action of set: \d+ rows hold \d+ values, expected \[3\] each"):
        bring(root)


def test_a_sidecar_of_what_another_program_edited_is_not_used(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "set", "lerobot")
    assert open_source(tmp_path / "set").warnings == []
    change_rows(tmp_path / "set", lambda table: table.filter(pa.compute.field("episode_index") < 2).slice(1))
    source = open_source(tmp_path / "set")
    assert source.warnings == ["the sidecar meta/robot_stack is of other episodes or features: it was not used"]
    assert source.attrs(0)["kind"] == "import"


def test_two_recordings_of_the_same_lengths_are_told_apart(store: Store, root: Path, tmp_path: Path) -> None:
    before = open_source(root).fingerprint
    assert open_source(root).fingerprint == before
    for name in ("stats.json", "episodes_stats.jsonl"):
        if (path := root / "meta" / name).exists():
            path.write_text(path.read_text().replace("0.0", "0.5", 1))
    assert open_source(root).fingerprint != before
