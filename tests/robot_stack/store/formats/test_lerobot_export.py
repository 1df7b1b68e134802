"""An export to LeRobot that is interrupted goes on, one that cannot be is refused, and nothing heavy is imported."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.codecs.video import packets
from robot_stack.store.compact import compact
from robot_stack.store.formats import export, import_source, open_source
from robot_stack.store.formats.lerobot import join as lerobot_join
from robot_stack.store.formats.lerobot import layout as lerobot_layout
from robot_stack.types import ConfigError, StoreError

SPEC = Spec(
    [
        Field("time", unit="s"),
        Field("q", (2,), unit="rad"),
        Field("grip", unit="m"),
        Field("target.q", (2,), unit="rad"),
        Field("image.front", (36, 48, 3), "u1"),
    ]
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with Store.create(tmp_path / "s", SPEC, {"name": "cell", "robot": "ur5e", "rate": 10.0}) as made:
        for episode in range(4):
            writer = made.writer({"kind": "collect", "task": f"task {episode % 2}"})
            for step in range(4):
                row = SPEC.record(time=step / 10, grip=episode + step)
                row["image.front"] = 30 * step + 10 * episode
                writer.append(row)
            writer.commit("success")
    return Store.open(tmp_path / "s")


def contents(root: Path) -> dict[str, str]:
    """Every file of a data set and its hash."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def stop_after(episodes: float) -> Any:
    def progress(done: float, note: str) -> None:
        if done >= episodes:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("format", ["lerobot", "lerobot2.1"])
@pytest.mark.parametrize("stop", [0.5, 1.5, 2.0, 3.0])
def test_an_interrupted_export_goes_on_and_ends_as_any_other(
    store: Store, tmp_path: Path, format: str, stop: float
) -> None:
    export(store, tmp_path / "whole", format)
    with pytest.raises(KeyboardInterrupt):
        export(store, tmp_path / "out", format, stop_after(stop))
    assert not (tmp_path / "out").exists()
    assert export(store, tmp_path / "out", format).skipped == min(4, 2 * stop)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("where", ["_join_data", "_join_videos", "write_tasks", "_write_index"])
def test_a_join_that_was_killed_is_done_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    export(store, tmp_path / "whole", "lerobot")
    with monkeypatch.context() as patch:
        patch.setattr(lerobot_join, where, killed)
        with pytest.raises(KeyboardInterrupt):
            export(store, tmp_path / "out", "lerobot")
    assert export(store, tmp_path / "out", "lerobot").skipped == 4
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_export_killed_at_any_call_comes_to_the_same_end() -> None:
    program = Path(__file__).with_name("lerobot_killed.py")
    run = subprocess.run([sys.executable, program, "15"], capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 5


def test_compacted_video_goes_out_packet_by_packet(store: Store, tmp_path: Path) -> None:
    compact(store, "av1")
    store = Store.open(store.path)
    assert export(store, tmp_path / "out", "lerobot").warnings == []
    import_source(open_source(tmp_path / "out"), tmp_path / "back")
    for one, other in zip(store.episodes, Store.open(tmp_path / "back").episodes, strict=True):
        ours, theirs = (episode.recordings[0].array("image.front") for episode in (one, other))
        assert (ours.codec.group, theirs.codec.group) == (3, 3)
        assert list(map(packets, ours.chunks())) == list(map(packets, theirs.chunks()))


def test_large_sets_are_split_into_files_of_a_bounded_size(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lerobot_join, "DATA_FILE_MB", 0)
    monkeypatch.setattr(lerobot_join, "VIDEO_FILE_MB", 0)
    monkeypatch.setattr(lerobot_join, "FILES_PER_CHUNK", 3)
    export(store, tmp_path / "out", "lerobot")
    names = ["chunk-000/file-000", "chunk-000/file-001", "chunk-000/file-002", "chunk-001/file-000"]
    assert [(tmp_path / "out/data" / f"{name}.parquet").exists() for name in names] == [True] * 4
    assert [(tmp_path / "out/videos/observation.images.front" / f"{name}.mp4").exists() for name in names] == [True] * 4
    back = lerobot_layout.Layout(tmp_path / "out")
    assert {clip.start for number in range(4) if (clip := back.clip("observation.images.front", number))} == {0.0}


def test_each_episode_is_a_row_group_of_its_own(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out", "lerobot")
    assert pq.ParquetFile(tmp_path / "out/data/chunk-000/file-000.parquet").num_row_groups == 4


def test_a_view_goes_out_with_its_edits(store: Store, tmp_path: Path) -> None:
    first, second, *_ = (episode.id for episode in store.episodes)
    store.delete([first])
    store.trim(second, 1, 3)
    export(Store.open(store.path), tmp_path / "out", "lerobot")
    import_source(open_source(tmp_path / "out"), tmp_path / "back")
    back = Store.open(tmp_path / "back")
    assert [len(episode) for episode in back.episodes] == [2, 4, 4]
    assert back.episodes[0]["grip"].tolist() == [2.0, 3.0]
    assert np.abs(back.episodes[0]["image.front"].astype(int) - np.array([40, 70])[:, None, None, None]).max() < 4


def test_a_store_without_actions_says_how_to_name_them(store: Store, tmp_path: Path) -> None:
    spec = Spec([Field("time", unit="s"), Field("load", (3,))])
    with Store.create(tmp_path / "odd", spec, {"name": "rig", "robot": "", "rate": 12.5}) as odd:
        writer = odd.writer({"kind": "collect"})
        writer.append(spec.record(time=1.0))
        writer.commit()
    warnings = export(Store.open(tmp_path / "odd"), tmp_path / "out", "lerobot").warnings
    assert warnings == [
        "no field is observation.state: LeRobot's policies need one; name them with state=[...]",
        "no field is action: LeRobot's policies need one; name them with action=[...]",
        "LeRobot expects a whole fps, the store has 12.5 Hz; lerobot 0.6 reads it",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": ["image.front"]}, "image.front cannot be part of observation.state: it is pictures"),
        ({"pictures": "gif"}, "no pictures=gif; there are: video, image"),
    ],
)
def test_options_that_cannot_be_are_refused(store: Store, tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        export(store, tmp_path / "out", "lerobot", **options)
    assert not (tmp_path / "out").exists()


def test_a_video_that_shows_other_pictures_is_not_passed_off_as_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = lerobot_join.lerobot_film.join

    def shuffled(parts: list[Path], *rest: Any) -> None:
        join([parts[-1], *parts[1:-1], parts[0]], *rest)

    monkeypatch.setattr(lerobot_join.lerobot_film, "join", shuffled)
    with pytest.raises(StoreError, match=r"image.front of step 0 is another picture \(off by 3\d of 255\)"):
        export(store, tmp_path / "out", "lerobot")
    assert not (tmp_path / "out").exists()


def test_neither_lerobot_nor_torch_is_imported(store: Store, tmp_path: Path) -> None:
    program = (
        "import sys; from robot_stack.store import Store; from robot_stack.store.formats import *\n"
        "export(Store.open(sys.argv[1]), sys.argv[2], 'lerobot'); len(open_source(sys.argv[2]))\n"
        "print(sorted({'torch', 'lerobot', 'datasets', 'torchcodec'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(store.path), str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip() == "[]"
