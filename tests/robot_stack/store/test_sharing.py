"""Several processes with one store: one writes, the others read what is whole, or are told clearly why they cannot."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.bench.known import SPEC, STATION, known, made, problems, record, wrong
from deploy.bench.random_work import work
from robot_stack.clock import now
from robot_stack.store import Episode, Store
from robot_stack.store.check import damages
from robot_stack.store.compact import compact
from robot_stack.types import StoreError

SCRIPT = Path(__file__).with_name("sharing.py")
MISSING = "is missing: if `robot-stack data compact` has run since this episode was opened, open it again"


def start(*arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[3])}  # also where the package is not installed
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@contextmanager
def at_work(path: Path, seed: int) -> Iterator[None]:
    """A process that records, edits, compacts and imports, one thing after another."""
    process = get_context("spawn").Process(target=work, args=(path, seed, 0, "record", []))
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def test_two_that_write_at_once_take_turns_and_refuse_each_other_clearly(tmp_path: Path) -> None:
    path = tmp_path / "s"
    Store.create(path, SPEC, STATION)
    with start("take turns", path, 100, 15) as one, start("take turns", path, 200, 15) as other:
        said = [process.communicate(timeout=60)[0] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0)
    store = Store.open(path)
    assert list(problems(store)) == []
    assert len({episode.id for episode in store.episodes}) == 30
    recorded = {known(episode) for episode in store.episodes}
    assert recorded == {made(number, 2) for number in (*range(100, 115), *range(200, 215))}
    for line in filter(None, "".join(said).split("\n")):
        assert line.startswith(f"{path} is being written by process ")
        assert line.endswith("one writer a store; wait for it or end it")


def test_who_reads_while_another_writes_sees_whole_episodes_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    Store.create(path, SPEC, STATION)
    seen: set[str] = set()
    generations: set[int] = set()
    with at_work(path, seed=4):
        one, end = Store.open(path), now() + 8.0
        while now() < end or len(seen) < 10:
            for store in (one, Store.open(path)):
                assert store.catalog.broken == {}
                for episode in store.episodes:
                    look(episode)
                    seen.add(episode.id)
                    generations |= {recording.generation for recording in episode.recordings}
    assert len(generations) > 1  # it compacted meanwhile


def look(episode: Episode) -> None:
    """Read an episode, unless `data compact` has replaced it in this instant, which it must say."""
    try:
        found = [*wrong(episode), *(damage for part in episode.recordings for damage in damages(part))]
    except StoreError as error:
        found = [str(error)]
    if any(MISSING in what for what in found):
        assert not all(Path(str(part.path)).exists() for part in episode.recordings)
        return
    assert found == []


def test_an_episode_opened_before_a_compact_says_that_it_is_to_be_opened_again(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", SPEC, STATION) as store:
        name = record(store, 1, 3)
        record(store, 2, 3)
        before, touched = store[name], store[name]
        touched.read("step")
        store.trim(name, 1, 3)
        compact(store)
        for episode in (before, touched):
            with pytest.raises(StoreError, match=MISSING):
                episode.read("step")
            with pytest.raises(StoreError, match=MISSING):
                episode.read("image.front", 0, 1)
        assert store[name].read("step").tolist() == [1, 2]


def test_a_store_on_a_folder_that_cannot_be_written_is_read_and_says_why_it_is_not_written() -> None:
    with TemporaryDirectory() as folder:  # not pytest's, in which only its owner may look
        os.chmod(folder, 0o755)
        path = Path(folder) / "s"
        with Store.create(path, SPEC, STATION) as store:
            record(store, 5, 2)
        try:
            with start("look", path) as process:
                read, *said = process.communicate(timeout=60)[0].splitlines()
        finally:
            for name, _, _ in os.walk(path):
                os.chmod(name, 0o755)
    assert read == str([made(5, 2)])
    reason = f"cannot write to the store {path}: Permission denied; reading it works. Make room on the disk or make it"
    assert [line[: len(reason)] for line in said] == [reason] * 4
