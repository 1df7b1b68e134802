"""The importer: whole episodes or none, once, read back, and every repair is said."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.store import Store
from robot_stack.store.episode import Episode
from robot_stack.store.formats import import_source, open_source
from robot_stack.types import ConfigError, StoreError

from .sources import Numbers

LENGTHS = (4, 7, 2)


def test_episodes_come_in_with_their_attributes_and_streams(tmp_path: Path) -> None:
    done = import_source(Numbers(LENGTHS), tmp_path / "s")
    assert (done.new, done.skipped, done.rows) == (3, 0, 13)
    episode = Store.open(tmp_path / "s").episodes[1]
    assert (episode.attrs["task"], episode.attrs["verdict"], episode.attrs["source_path"]) == (
        "task 1",
        "success",
        "numbers",
    )
    assert np.array_equal(episode["q"], 1 + episode["time"][:, None].repeat(2, axis=1))
    assert episode.streams == {"control": ["time", "q0"]}
    assert np.array_equal(episode.stream("control"), np.arange(8.0).reshape(4, 2) + 1)


def test_what_a_source_repaired_is_said_and_kept(tmp_path: Path) -> None:
    source = Numbers(LENGTHS)
    source.warnings = ["two cables were swapped"]
    done = import_source(source, tmp_path / "s")
    assert done.warnings == ["two cables were swapped", "episode 1: a hole was mended"]
    first, second, _ = Store.open(tmp_path / "s").episodes
    assert second.attrs["repaired"] == ["a hole was mended"]
    assert "repaired" not in first.attrs


def test_a_second_import_brings_nothing(tmp_path: Path) -> None:
    import_source(Numbers(LENGTHS), tmp_path / "s")
    done = import_source(Numbers(LENGTHS), tmp_path / "s")
    assert (done.new, done.skipped, done.rows) == (0, 3, 13)
    assert len(Store.open(tmp_path / "s")) == 3


def test_an_episode_that_was_deleted_does_not_come_in_again(tmp_path: Path) -> None:
    import_source(Numbers(LENGTHS), tmp_path / "s")
    with Store.open(tmp_path / "s") as store:
        store.delete([store.episodes[0].id])
    assert import_source(Numbers(LENGTHS), tmp_path / "s").new == 0
    assert len(Store.open(tmp_path / "s")) == 2


def test_an_interrupted_import_goes_on_after_the_last_whole_episode(tmp_path: Path) -> None:
    def interrupt(rows: np.ndarray[Any, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_source(Numbers(LENGTHS, {1: interrupt}), tmp_path / "s")
    done = import_source(Numbers(LENGTHS), tmp_path / "s")
    assert (done.new, done.skipped) == (2, 1)
    assert [len(episode) for episode in Store.open(tmp_path / "s").episodes] == [4, 7, 2]


def test_an_import_killed_at_any_step_goes_on_to_the_same_store() -> None:
    script = Path(__file__).parent / "killed.py"
    result = subprocess.run([sys.executable, script, "import", "7"], capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[-1]) > 10


def _backwards(rows: np.ndarray[Any, Any]) -> None:
    rows["time"][4:] -= 1.0


def test_time_that_runs_backwards_is_made_up_and_said(tmp_path: Path) -> None:
    done = import_source(Numbers(LENGTHS, {1: _backwards}), tmp_path / "s")
    said = "time runs backwards at step 4: 5.3 s, 4.4 s: its times are made up, step / 10 Hz"
    assert f"episode 1: {said}" in done.warnings
    episode = Store.open(tmp_path / "s").episodes[1]
    assert np.array_equal(episode["time"], np.arange(7) / 10)
    assert (episode.attrs["time_source"], episode.attrs["verdict"]) == ("synthetic", "success")
    assert said in episode.attrs["repaired"]


def _nan(rows: np.ndarray[Any, Any]) -> None:
    rows["q"][5, 1] = np.nan


def test_values_that_are_no_numbers_are_refused_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"episode 1 of numbers: q is nan at step 5. nan=skip leaves"):
        import_source(Numbers(LENGTHS, {1: _nan}), tmp_path / "s")
    assert [len(episode) for episode in Store.open(tmp_path / "s").episodes] == [4]


def test_an_episode_with_values_that_are_no_numbers_can_be_left_out_and_is_named(tmp_path: Path) -> None:
    done = import_source(Numbers(LENGTHS, {1: _nan}), tmp_path / "s", nan="skip")
    assert (done.new, done.warnings) == (2, ["episode 1: left out: q is nan at step 5"])


def test_values_that_are_no_numbers_can_be_kept(tmp_path: Path) -> None:
    import_source(Numbers(LENGTHS, {1: _nan}), tmp_path / "s", nan="keep")
    assert np.isnan(Store.open(tmp_path / "s").episodes[1]["q"][5, 1])


def test_both_at_once_are_told_of(tmp_path: Path) -> None:
    def both(rows: np.ndarray[Any, Any]) -> None:
        _backwards(rows)
        _nan(rows)

    done = import_source(Numbers(LENGTHS, {1: both}), tmp_path / "s", nan="skip")
    assert done.warnings == ["episode 1: left out: q is nan at step 5"]


def test_an_episode_without_rows_is_left_out_and_named(tmp_path: Path) -> None:
    done = import_source(Numbers((4, 0, 2)), tmp_path / "s")
    assert (done.new, done.warnings) == (2, ["episode 1: left out: it has no steps"])


def test_an_episode_that_does_not_read_back_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Episode.digest
    monkeypatch.setattr(Episode, "digest", lambda self, name: "0" if name == "q" else real(self, name))
    with pytest.raises(StoreError, match=r"ep-000000 does not read back as it was written: q differs"):
        import_source(Numbers(LENGTHS), tmp_path / "s")


def test_pictures_can_be_stored_smaller_and_it_is_said(tmp_path: Path) -> None:
    done = import_source(Numbers(LENGTHS), tmp_path / "s", codec="jpeg")
    assert done.warnings[0] == "image.top is stored in jpeg, which changes it a little: it is not compared"
    assert len(Store.open(tmp_path / "s")) == 3


def test_a_bag_of_ros_1_is_refused_with_what_makes_one_of_ros_2_of_it(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(StoreError, match=r"a bag of ROS 1: `rosbags-convert --src .*old\.bag --dst"):
        open_source(tmp_path / "old.bag")


def test_options_that_a_format_does_not_take_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.hdf5").touch()
    with pytest.raises(ConfigError, match=r"format robomimic takes no mapping; its options: rate"):
        open_source(tmp_path / "x.hdf5", mapping="a.yaml")
    with pytest.raises(ConfigError, match=r"no format 'rlds' to import; there are: auto, lerobot, diffusion_policy"):
        open_source(tmp_path / "x.hdf5", format="rlds")
    with pytest.raises(ConfigError, match=r"no nan=drop; there are: refuse, keep, skip"):
        import_source(Numbers(LENGTHS), tmp_path / "s", nan="drop")
