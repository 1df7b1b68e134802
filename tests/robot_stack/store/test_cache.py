"""The training cache gives the pictures that the store gives, whatever happens to its files."""

import errno
import os
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_stack.picture import shrink
from robot_stack.store import Store, cache
from robot_stack.store.cache import Cached, FrameCache, open_cache
from robot_stack.store.frames import Decoded, Frames
from robot_stack.store.show_cache import run as show

SCRIPT = Path(__file__).with_name("caching.py")
recording: dict[str, Any] = runpy.run_path(str(SCRIPT.with_name("recording.py")))
caching: dict[str, Any] = runpy.run_path(str(SCRIPT))
sources, forget, pages_in_memory = caching["sources"], caching["forget"], caching["pages_in_memory"]
row, SPEC = recording["row"], recording["SPEC"]
LENGTHS = (7, 12, 3)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes that nobody changes."""
    path = tmp_path_factory.mktemp("recorded") / "store"
    Store.create(path, SPEC, recording["STATION"])
    for number, length in enumerate(LENGTHS):
        record(path, length, first=100 * number)
    return path


@pytest.fixture
def filled(recorded: Path, tmp_path: Path) -> FrameCache:
    """A cache with all pictures at 20x30."""
    made = FrameCache(tmp_path / "cache")
    assert made.fill(sources(recorded)) == ""
    return made


def record(path: Path, rows: int, first: int = 0) -> None:
    with Store.open(path) as store:
        writer = store.writer({"kind": "collect", "task": "test"})
        for step in range(first, first + rows):
            writer.append(row(step))
        writer.commit("success")


def everything(frames: Frames) -> np.ndarray[Any, Any]:
    out = np.empty(frames.shape, frames.dtype)
    frames.read_into(0, out)
    return out


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_right(store: Path, found: FrameCache) -> None:
    """Everything is in the cache, and is what the store has."""
    for source in sources(store):
        frames = found.get(source)
        assert isinstance(frames, Cached)
        assert np.array_equal(everything(frames), everything(source))


def start(store: Path, folder: Path, kill: int = 0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[3])}
    command = [sys.executable, str(SCRIPT), str(store), str(folder), str(kill)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    resolution=st.one_of(st.none(), st.tuples(st.integers(1, 60), st.integers(1, 60))),
    episode=st.integers(0, len(LENGTHS) - 1),
    data=st.data(),
)
def test_cached_pictures_are_the_shrunk_ones_of_the_store(
    recorded: Path, tmp_path: Path, resolution: tuple[int, int] | None, episode: int, data: st.DataObject
) -> None:
    source = sources(recorded, resolution)[episode]
    found = FrameCache(tmp_path / "any")
    found.fill([source])
    first = data.draw(st.integers(0, LENGTHS[episode] - 1))
    count = data.draw(st.integers(1, LENGTHS[episode] - first))
    out = np.empty((count, *source.shape[1:]), np.uint8)
    frames = found.get(source)
    assert isinstance(frames, Cached)
    frames.read_into(first, out)
    pictures = source.episode.read("image.front", first, first + count)
    assert np.array_equal(out, pictures if resolution is None else [shrink(one, resolution) for one in pictures])


def test_a_file_is_a_plain_npy(recorded: Path, filled: FrameCache) -> None:
    by_length = {len(pictures): pictures for pictures in map(np.load, filled.folder.glob("*.npy"))}
    for source in sources(recorded):
        assert np.array_equal(by_length[len(source.episode)], everything(source))


def test_what_is_expected_comes_from_the_disk_while_nobody_waits(recorded: Path, filled: FrameCache) -> None:
    source = filled.get(sources(recorded)[0])
    assert isinstance(source, Cached)
    forget(source.path)
    if any(pages_in_memory(source.path)):
        pytest.skip("this file system keeps all files in memory")
    source.expect(0, source.shape[0])
    deadline = time.monotonic() + 30.0
    while not all(pages_in_memory(source.path)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all(pages_in_memory(source.path))
    source.path.unlink()
    source.expect(0, source.shape[0])  # of a file that went away: it will be decoded
    assert everything(source).any()


def test_an_episode_longer_than_a_block_is_whole(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robot_stack.store.frames.BLOCK_BYTES", 3 * 4800)
    source = sources(recorded)[1]
    assert [len(block) for block in source.blocks()] == [3, 3, 3, 3]
    found = FrameCache(tmp_path / "cache")
    found.fill([source])
    monkeypatch.undo()
    assert np.array_equal(everything(found.get(source)), everything(sources(recorded)[1]))


def test_what_is_cached_is_not_decoded_again(
    recorded: Path, filled: FrameCache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def decode(*_: Any) -> Iterator[Any]:
        raise AssertionError("decoded")

    monkeypatch.setattr(Decoded, "read_into", decode)
    capsys.readouterr()
    assert filled.fill(sources(recorded)) == ""
    assert all(everything(filled.get(source)).any() for source in sources(recorded))
    assert capsys.readouterr().err == ""


def test_only_what_is_new_is_decoded_and_a_bar_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "store"
    Store.create(path, SPEC, recording["STATION"])
    record(path, 5)
    found = FrameCache(tmp_path / "cache")
    found.fill(sources(path))
    record(path, 9)
    capsys.readouterr()
    found.fill(sources(path))
    assert "caching pictures 9/9" in capsys.readouterr().err
    assert_right(path, found)


@pytest.mark.parametrize("damage", ["cut", "longer", "empty", "header", "other shape"])
def test_a_damaged_file_is_noticed_and_made_again(recorded: Path, filled: FrameCache, damage: str) -> None:
    path = sorted(filled.folder.glob("*.npy"))[0]
    content = path.read_bytes()
    wrong = {
        "cut": content[:-1],
        "longer": content + b"x",
        "empty": b"",
        "header": b"\x00" * 10 + content[10:],
        "other shape": content.replace(b"20, 30", b"30, 20", 1),
    }[damage]
    assert wrong != content
    path.write_bytes(wrong)
    broken = [source for source in sources(recorded) if filled.get(source) is source]
    assert len(broken) == 1
    filled.fill(sources(recorded))
    assert path.read_bytes() == content


def test_pictures_are_decoded_when_their_file_goes_away_while_it_is_used(recorded: Path, filled: FrameCache) -> None:
    pairs = [(filled.get(source), source) for source in sources(recorded)]
    files = sorted(filled.folder.iterdir())
    files[0].unlink()
    os.truncate(files[1], 5000)
    for frames, source in pairs:
        assert isinstance(frames, Cached)
        assert np.array_equal(everything(frames), everything(source))


@pytest.mark.parametrize("kill", [1, 3])
def test_killed_while_it_is_filled_it_is_fine_the_next_time(recorded: Path, tmp_path: Path, kill: int) -> None:
    folder = tmp_path / "cache"
    with start(recorded, folder, kill) as process:
        process.communicate("go\n")
    assert process.returncode == -9
    assert [Path(name).suffix for name in names(folder)].count(".partial") == 1
    assert len(list(folder.glob("*.npy"))) == kill - 1
    found = FrameCache(folder)
    assert found.fill(sources(recorded)) == ""
    assert_right(recorded, found)


def test_several_processes_may_fill_it_at_once(recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    processes = [start(recorded, folder) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(names(folder)) == len(LENGTHS)
    assert_right(recorded, FrameCache(folder))


def test_a_full_disk_is_said_and_pictures_come_from_the_store(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    found = FrameCache(tmp_path / "cache")
    said = found.fill(sources(recorded))
    assert re.search(r"2 of 3 files cannot be in the cache .*No space left.*make room", said)
    assert len(names(found.folder)) == 1
    kinds = [type(found.get(source)) for source in sources(recorded)]
    assert sorted(kind.__name__ for kind in kinds) == ["Cached", "Decoded", "Decoded"]


def test_the_last_gigabytes_of_the_disk_are_left_to_recordings(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "RESERVE", 1e18)
    said = FrameCache(tmp_path / "cache").fill(sources(recorded))
    assert "3 of 3 files cannot be in the cache" in said
    assert "of the disk would stay free" in said
    assert names(tmp_path / "cache") == []


def test_on_a_full_disk_unused_files_make_room(
    recorded: Path, filled: FrameCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte more is to be had, so the new file takes the place of as many as it needs."""
    monkeypatch.setattr(cache, "RESERVE", 0)
    used = sum(file.bytes for file in filled.files())
    monkeypatch.setattr(FrameCache, "_free", lambda found: used - sum(file.bytes for file in found.files()))
    first, second, third = sources(recorded)
    for age, source in ((300.0, second), (200.0, first), (100.0, third)):
        os.utime(filled._path(source), (0.0, time.time() - age))
    new = sources(recorded, (21, 30))[0]
    assert filled.fill([new]) == ""
    assert isinstance(filled.get(new), Cached)
    assert [filled.get(source) is source for source in (second, first, third)] == [True, False, False]


def test_a_folder_that_cannot_be_is_said(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = FrameCache(tmp_path / "file" / "cache")
    assert "3 of 3 files cannot be in the cache" in found.fill(sources(recorded))
    assert all(found.get(source) is source for source in sources(recorded))


def test_what_was_unused_for_longest_makes_room(recorded: Path, filled: FrameCache) -> None:
    first, second, third = sources(recorded)
    for age, source in ((300.0, second), (200.0, first), (100.0, third)):
        os.utime(filled._path(source), (0.0, time.time() - age))
    larger = sources(recorded, (30, 40))[2]
    filled.limit = sum(file.bytes for file in filled.files()) + larger.nbytes - 1
    filled.fill([first])  # touched, so the second is the oldest
    assert filled.fill([larger]) == ""
    assert filled.get(second) is second
    assert all(isinstance(filled.get(source), Cached) for source in (first, third, larger))


def test_it_never_takes_more_than_its_limit_nor_throws_out_what_is_wanted_now(recorded: Path, tmp_path: Path) -> None:
    limit = sum(source.nbytes for source in sources(recorded)) - 1
    found = FrameCache(tmp_path / "cache", limit=limit)
    said = found.fill(sources(recorded))
    assert "cache_limit" in said
    assert 0 < sum(file.bytes for file in found.files()) <= limit
    before = names(found.folder)
    found.fill(sources(recorded))
    assert names(found.folder) == before


def test_old_files_and_those_of_dead_processes_go(recorded: Path, filled: FrameCache) -> None:
    kept, old, _ = sorted(filled.folder.iterdir())
    dead, alive = (filled.folder / f".{kept.name}.{number}.partial" for number in (1, 2))
    for path, age in ((old, 31 * 86400.0), (dead, 3700.0), (alive, 60.0)):
        path.touch()
        os.utime(path, (0.0, time.time() - age))
    filled.fill(sources(recorded, (8, 8))[:1])
    assert not old.exists()
    assert not dead.exists()
    assert kept.exists()
    assert alive.exists()


def test_it_is_shown_and_emptied_and_nothing_else_is_touched(
    filled: FrameCache, capsys: pytest.CaptureFixture[str]
) -> None:
    (filled.folder / "mine.npy").write_text("precious")
    assert show({"cache": str(filled.folder), "clear": False}) == 0
    assert "3 files, 0.00 GB" in capsys.readouterr().out
    assert show({"cache": str(filled.folder), "clear": True}) == 0
    assert names(filled.folder) == ["mine.npy"]


def test_the_shared_folder_is_where_caches_belong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = open_cache("auto")
    assert found is not None
    assert found.folder == tmp_path / "robot-stack" / "pictures"
    assert open_cache(None) is None


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    """Episodes of the same id in two stores, and one store that was made anew under the same name."""
    found = FrameCache(tmp_path / "cache")
    for number in range(2):
        path = tmp_path / f"store{number}"
        Store.create(path, SPEC, recording["STATION"])
        record(path, 6, first=50 * number)
        found.fill(sources(path))
    assert len(names(found.folder)) == 2
    for number in range(2):
        assert_right(tmp_path / f"store{number}", found)


def test_an_edited_episode_has_a_file_of_its_own_and_undone_the_old_one_again(
    tmp_path: Path,
) -> None:
    path, found = tmp_path / "store", FrameCache(tmp_path / "cache")
    Store.create(path, SPEC, recording["STATION"])
    record(path, 9)
    record(path, 5, first=50)
    found.fill(sources(path))
    with Store.open(path) as store:
        (first, second) = (episode.id for episode in store.episodes)
        store.relabel([first], verdict="failure")
        found.fill(sources(path))
        assert len(names(found.folder)) == 2
        store.trim(first, 2, 6)
        assert [found.get(source) is source for source in sources(path)] == [True, False]
        found.fill(sources(path))
        assert_right(path, found)
        trimmed = everything(found.get(sources(path)[0]))
        store.merge([first, second])
        found.fill(sources(path))
        assert_right(path, found)
        assert np.array_equal(everything(found.get(sources(path)[0]))[:4], trimmed)
        store.undo()
        store.undo()
    assert len(names(found.folder)) == 4
    assert_right(path, found)


def test_another_version_of_the_resize_is_another_file(
    recorded: Path, filled: FrameCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "RESIZE", "area-99")
    assert all(filled.get(source) is source for source in sources(recorded))
