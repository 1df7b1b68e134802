"""The exporter: nothing under the final name before it is whole, and every episode read back."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.store import Store, disk
from robot_stack.store.episode import Episode
from robot_stack.store.formats import export, open_source
from robot_stack.store.formats.robomimic_export import RobomimicExport
from robot_stack.store.formats.tables import CsvExport
from robot_stack.types import ConfigError, StoreError

from .sources import SPEC, fill


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return fill(tmp_path / "store", SPEC, [3, 5, 2])


def test_a_destination_that_is_there_is_refused_and_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("important")
    with pytest.raises(StoreError, match="out is there already: choose another name"):
        export(store, tmp_path / "out", "csv")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "important"


def test_something_foreign_under_the_temporary_name_is_refused_and_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.txt").write_text("important")
    with pytest.raises(StoreError, match="in the way and is no interrupted export"):
        export(store, tmp_path / "out", "csv")
    assert (tmp_path / "out.partial" / "thesis.txt").read_text() == "important"


def interrupted(store: Store, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export, until the third episode."""
    real = CsvExport.write

    def write(self: CsvExport, number: int, one: Episode) -> None:
        if one.id == "ep-000002":
            raise KeyboardInterrupt
        real(self, number, one)

    with monkeypatch.context() as patch:
        patch.setattr(CsvExport, "write", write)
        with pytest.raises(KeyboardInterrupt):
            export(store, destination, "csv")


def test_an_interrupted_export_goes_on_and_leaves_nothing_behind(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(store, tmp_path / "out", monkeypatch)
    assert not (tmp_path / "out").exists()
    done = export(store, tmp_path / "out", "csv")
    assert (done.new, done.skipped, done.rows) == (1, 2, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_an_interrupted_export_of_something_else_is_begun_anew(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(store, tmp_path / "out", monkeypatch)
    with Store.open(store.path) as writable:
        writable.relabel(["ep-000000"], task="stack")
    done = export(Store.open(store.path), tmp_path / "out", "csv")
    assert (done.new, done.skipped) == (3, 0)
    assert json.loads((tmp_path / "out" / "ep-000000.json").read_text())["task"] == "stack"


def test_an_export_killed_at_any_step_is_finished_by_the_next() -> None:
    script = Path(__file__).parent / "killed.py"
    result = subprocess.run([sys.executable, script, "export", "31"], capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[-1]) > 5


def test_two_exports_to_one_place_do_not_mix(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(self: Any, number: int, episode: Episode) -> None:
        monkeypatch.undo()
        with pytest.raises(StoreError, match=r"out.partial is being written by another export"):
            export(store, tmp_path / "out", "csv")
        raise KeyboardInterrupt

    monkeypatch.setattr(CsvExport, "write", second)
    with pytest.raises(KeyboardInterrupt):
        export(store, tmp_path / "out", "csv")


def test_an_episode_that_does_not_read_back_is_an_error_and_nothing_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CsvExport._load

    def load(self: CsvExport, path: Path) -> dict[str, Any]:
        return real(self, path) | {"q.1": np.zeros(len(real(self, path)["q.1"]))}

    monkeypatch.setattr(CsvExport, "_load", load)
    with pytest.raises(StoreError, match=r"ep-000000 does not read back as it was written: q.1 differs"):
        export(store, tmp_path / "out", "csv")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_and_the_export_goes_on_when_there_is_room(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "rename", full)
        with pytest.raises(StoreError, match=r"cannot write .*out.zarr: .*No space left.*the same export continues in"):
            export(store, tmp_path / "out.zarr", "diffusion_policy", action=["q"])
    assert not (tmp_path / "out.zarr").exists()
    assert export(store, tmp_path / "out.zarr", "diffusion_policy", action=["q"]).skipped == 3


def test_an_interrupted_hdf5_file_is_begun_anew(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def torn(self: RobomimicExport) -> None:
        self._file.close()
        self._place.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RobomimicExport, "close", torn)
        with pytest.raises(KeyboardInterrupt):
            export(store, tmp_path / "out.hdf5", "robomimic", action=["q"])
    assert (tmp_path / "out.hdf5.partial" / "out.hdf5").read_bytes() == b"half of it"
    assert export(store, tmp_path / "out.hdf5", "robomimic", action=["q"]).skipped == 0
    assert len(open_source(tmp_path / "out.hdf5")) == 3
    assert not (tmp_path / "out.hdf5.partial").exists()


def test_named_episodes_only(store: Store, tmp_path: Path) -> None:
    assert export(store, tmp_path / "out", "csv", episodes=["ep-000001"]).rows == 5
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ep-000001.csv", "ep-000001.json"]


def test_what_cannot_be_exported_is_refused_with_what_can(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no format 'rlds' to export; there are: lerobot, lerobot2.1, diffusion"):
        export(store, tmp_path / "out", "rlds")
    with pytest.raises(ConfigError, match=r"format csv takes no action; its options: images"):
        export(store, tmp_path / "out", "csv", action=["q"])
    with pytest.raises(ConfigError, match=r"action names no field p; there are: time, q, image.top"):
        export(store, tmp_path / "out", "diffusion_policy", action=["p"])
    with pytest.raises(ConfigError, match=r"robomimic needs actions: say action=\[field,…\]; there are: time, q"):
        export(store, tmp_path / "out", "robomimic")
    empty = Store.create(tmp_path / "empty", SPEC, {"rate": 1.0})
    with pytest.raises(StoreError, match=r"there is no episode in .*empty"):
        export(empty, tmp_path / "out", "csv")
    assert not (tmp_path / "out.partial").exists()
