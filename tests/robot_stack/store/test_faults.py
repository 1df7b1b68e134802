"""Whatever write step of the store is killed, torn, or fails on a full or read-only disk: nothing committed is lost."""

import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.bench.faults import STEPS, Fault, try_named
from deploy.bench.known import SPEC, STATION, Known, known, problems, record, rows
from deploy.bench.scenarios import scenarios
from robot_stack.store import Store, disk

EVERY = {"create": 2, "compact edits": 8, "compact pictures": 6, "import": 8}
"""Of the faults of these scenarios an n-th is tried here; `deploy.bench.faults.every_step` tries all."""

ADVICE = r"make room|make it writable|another folder|compact again|once the disk"


@pytest.fixture(scope="module")
def forker() -> Iterator[ProcessPoolExecutor]:
    """A process without threads, which may fork."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def memory() -> Iterator[Path]:
    """An empty folder, in memory where there is such a disk."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", [scenario.name for scenario in scenarios()])
def test_whatever_step_fails_the_store_shows_what_it_did_and_a_new_writer_goes_on(
    forker: ProcessPoolExecutor, memory: Path, name: str
) -> None:
    outcome = forker.submit(try_named, name, memory, EVERY.get(name, 4)).result()
    assert outcome.problems == []
    assert {Fault(fault) for fault in outcome.tried} == set(Fault)
    assert outcome.errors
    for message in outcome.errors:
        assert re.search(ADVICE, message, re.IGNORECASE), message


def test_every_function_that_changes_a_disk_is_made_to_fail() -> None:
    functions = {name for name, value in vars(disk).items() if getattr(value, "__module__", "") == disk.__name__}
    assert functions == set(STEPS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One episode of three rows."""
    with Store.create(tmp_path / "s", SPEC, STATION) as store:
        record(store, 7, 3)
    return store


def test_an_episode_of_known_rows_is_known_again(store: Store) -> None:
    assert list(problems(store)) == []
    assert known(store.episodes[0]) == Known(((7, 0, 1), (7, 1, 1), (7, 2, 1)), "success")


@pytest.mark.parametrize("name", ["step", "image.front", "depth.front", "streams/control"])
def test_another_byte_in_an_episode_is_a_problem(store: Store, name: str) -> None:
    chunk = next(path for path in (store.episodes[0].path / name).iterdir() if path.name.startswith("c."))
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 255
    chunk.write_bytes(content)
    assert list(problems(Store.open(store.path)))


@pytest.mark.parametrize("name", ["time", "image.front", "depth.front"])
def test_a_value_that_belongs_to_another_row_is_a_problem(store: Store, name: str) -> None:
    with Store.open(store.path) as store:
        writer = store.writer({"kind": "collect"})
        row = rows(8, 0)[0]
        row[name] = rows(8, 1)[0][name]
        writer.append(row)
        writer.commit()
        assert [problem.split(":")[0] for problem in problems(store)] == [writer.id]
