"""Whatever instant a recording process is killed at, the store opens and every whole row is there."""

import os
import random
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.store import Episode, Store
from robot_stack.store.recording import content_hash
from robot_stack.store.journal import scan
from robot_stack.types import StoreError

SCRIPT = Path(__file__).with_name("recording.py")
recording: dict[str, Any] = runpy.run_path(str(SCRIPT))
SPEC, row = recording["SPEC"], recording["row"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty store."""
    Store.create(tmp_path / "s", SPEC, recording["STATION"], "zstd")
    return tmp_path / "s"


def start(path: Path, how: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[3])}  # also where the package is not installed
    command = [sys.executable, str(SCRIPT), how, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def assert_whole(episode: Episode) -> None:
    """Every row is the one that was appended, and the hash is that of what is on disk."""
    assert np.array_equal(episode.rows(), np.stack([row(step) for step in range(len(episode))]))
    assert content_hash(SPEC, {name: episode.digest(name) for name in SPEC.fields}) == episode.attrs["content"]


def test_killed_at_random_instants_the_store_opens_and_no_committed_episode_changes(path: Path) -> None:
    committed: dict[str, str] = {}
    rng = random.Random(5)
    for _ in range(15):
        with start(path, "for ever") as process:
            assert process.stdout is not None
            process.stdout.readline()  # it is past its imports, and has committed an episode
            time.sleep(rng.uniform(0.0, 0.2))
            process.kill()
        store = Store.open(path)
        ids = {episode.id for episode in store.episodes}
        assert committed.keys() <= ids
        committed |= {episode.id: str(episode.attrs["content"]) for episode in store.episodes}
    with Store.open(path) as store:
        store.salvage()
        for episode in store.episodes:
            assert_whole(episode)
            assert committed.get(episode.id, episode.attrs["content"]) == episode.attrs["content"]
        assert any(episode.attrs["salvaged"] for episode in store.episodes)  # some were killed between two rows
    assert list((path / "writing").glob("ep-*")) == []


def test_killed_at_every_step_of_a_commit_the_episode_comes_in_with_its_verdict(path: Path) -> None:
    with start(path, "every step") as process:
        assert process.wait(timeout=60) == 0
    with Store.open(path) as store:
        store.salvage()
        assert len(store) > 20  # so many steps has a commit
        for episode in store.episodes:
            assert_whole(episode)
            assert len(episode) == 3
            assert episode.attrs["verdict"] == "success"
            assert episode.attrs["salvaged"] is False


def test_a_journal_cut_at_any_byte_gives_all_its_whole_rows(path: Path) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(row(0))
        journal = path / "writing" / writer.id / "journal"
        first = journal.stat().st_size
        writer.append(row(1))
        second = journal.stat().st_size
    whole = journal.read_bytes()
    for size in range(0, len(whole), 7):
        journal.write_bytes(whole[:size])
        contents = scan(journal)
        assert contents.rows == (size >= first) + (size >= second)
        assert contents.torn == 0 or contents.rows < 2
    journal.write_bytes(whole[: second - 1])
    with Store.open(path) as store:
        assert store.salvage() == [writer.id]
        (episode,) = store.episodes
    assert_whole(episode)
    assert len(episode) == 1
    assert episode.attrs["salvaged"] is True
    assert episode.attrs["torn_bytes"] == second - 1 - first
    assert episode.attrs["verdict"] == "unknown"


def test_a_journal_with_a_flipped_bit_is_read_up_to_it(path: Path) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        for step in range(4):
            writer.append(row(step))
    journal = path / "writing" / writer.id / "journal"
    content = bytearray(journal.read_bytes())
    content[-10] ^= 1
    journal.write_bytes(content)
    assert scan(journal).rows == 3


def test_an_episode_left_open_is_salvaged_by_the_next_writer_but_not_by_its_own(path: Path) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(row(0))
        assert store.salvage() == []
    with Store.open(path) as store:
        assert store.salvage() == [writer.id]
        assert store.salvage() == []


def test_an_empty_episode_leaves_nothing_behind(path: Path) -> None:
    with Store.open(path) as store:
        store.writer({"kind": "collect"})
    with Store.open(path) as store:
        assert store.salvage() == []
    assert list((path / "writing").glob("ep-*")) == []


def test_a_disk_that_fails_in_the_commit_is_a_clear_error_and_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(row(0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", _full)
            with pytest.raises(StoreError, match=r"1 rows are safe in .*journal; make room"):
                writer.commit("failure")
        assert store.salvage() == [writer.id]
        assert store.episodes[0].attrs["verdict"] == "failure"


def _full(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_while_recording_is_a_clear_error_and_keeps_the_rows_before(path: Path) -> None:
    import resource

    with Store.open(path) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(row(0))
        size = (path / "writing" / writer.id / "journal").stat().st_size
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limit[1]))
        try:
            with pytest.raises(StoreError, match=r"cannot record to .*all rows before are safe"):
                writer.append(row(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        writer.append(row(1))
        writer.commit()
        assert_whole(store.episodes[0])
        assert len(store.episodes[0]) == 2
