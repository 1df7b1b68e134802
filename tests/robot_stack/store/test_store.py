"""The store gives back what was recorded, to any zarr reader, and refuses what it cannot hold."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.spec import Field, Record, Spec
from robot_stack.store import Store, arrays
from robot_stack.types import ConfigError, SpecError, StoreError

STATION = {"name": "cell", "robot": "ur5e", "rate": 10.0}
SPEC = Spec(
    [
        Field("time", unit="s"),
        Field("q", (6,), unit="rad"),
        Field("source", dtype="u1"),
        Field("image.front", (48, 64, 3), "u1"),
        Field("image.front.time", unit="s"),
    ]
)
COLLECT = {"kind": "collect", "task": "lift", "operator": "ada"}


def random_rows(spec: Spec, count: int, seed: int = 0) -> list[Record]:
    """Rows of random bits that are valid numbers, 0.1 s apart."""
    rng = np.random.default_rng(seed)
    rows = []
    for step in range(count):
        row = spec.record()
        for field in spec:
            kind = np.dtype(field.dtype).kind
            numbers = (
                rng.normal(size=field.shape) if kind == "f" else rng.integers(0, 2 if kind == "b" else 99, field.shape)
            )
            row[field.name] = numbers
        row["time"] = 100.0 + step / 10
        rows.append(row)
    return rows


def record(store: Store, rows: list[Record], **attrs: Any) -> str:
    """One committed episode; its id."""
    writer = store.writer({**COLLECT, **attrs})
    for row in rows:
        writer.append(row)
    writer.commit("success")
    return writer.id


def test_an_episode_reads_back_as_it_was_appended(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    rows = random_rows(SPEC, 7)
    record(store, rows)
    (episode,) = Store.open(tmp_path / "s").episodes
    assert np.array_equal(episode.rows(), np.stack(rows))
    assert np.array_equal(episode.read("image.front", 2, 5), np.stack([row["image.front"] for row in rows[2:5]]))
    assert np.array_equal(store.load(["q"])["q"][0], [row["q"] for row in rows])


def test_attributes_say_who_what_when_and_how(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    attrs = store[record(store, random_rows(SPEC, 7), checkpoint="runs/a")].attrs
    expected = {**COLLECT, "robot": "ur5e", "station": "cell", "checkpoint": "runs/a", "verdict": "success", "rows": 7}
    assert expected.items() <= attrs.items()
    assert attrs["salvaged"] is False
    assert attrs["drops"] == 0
    assert attrs["rate"] == 10.0
    assert attrs["time_source"] == "measured"
    assert "T" in attrs["started"]
    assert attrs["software"]


@pytest.mark.filterwarnings("error")
def test_any_zarr_reader_opens_the_whole_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "SHARD_BYTES", 3 * 48 * 64 * 3)  # three frames a shard: three shards, the last not full
    store = Store.create(tmp_path / "s", SPEC, STATION, codec="lz4")
    name = record(store, random_rows(SPEC, 7))
    root = zarr.open_group(tmp_path / "s", mode="r")
    assert len(dict(root.members(max_depth=None))) == 4 + len(SPEC.fields)
    for field in SPEC:
        assert np.array_equal(root[f"episodes/{name}/{field.name}"][:], store[name][field.name])
    assert np.array_equal(store[name].read("image.front", 2, 7), store[name]["image.front"][2:7])
    assert root[f"episodes/{name}/q"].attrs["unit"] == "rad"


def test_an_episode_rewritten_by_another_program_still_reads(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    name = record(store, random_rows(SPEC, 7))
    before = store[name]["q"]
    group = zarr.open_group(tmp_path / "s" / "episodes" / name, mode="a")
    group.create_array("q", data=before, chunks=(2, 6), overwrite=True)
    assert np.array_equal(store[name]["q"], before)
    assert np.array_equal(store[name].read("q", 3, 6), before[3:6])


names = st.text("abcxyz._0", min_size=1, max_size=8).filter(lambda name: name.strip(".") and name[:2] != "__")
fields = st.builds(
    Field,
    name=names,
    shape=st.lists(st.integers(1, 40), max_size=3).map(tuple),
    dtype=st.sampled_from(["f8", "f4", "f2", "u1", "i1", "i8", "u2", "?"]),
    unit=st.text(max_size=3),
)


specs = st.lists(fields, max_size=4, unique_by=lambda f: f.name).map(lambda more: Spec([Field("time"), *more]))


@settings(max_examples=25, deadline=None)
@given(spec=specs, count=st.integers(1, 5))
def test_any_spec_makes_the_round_trip(tmp_path_factory: pytest.TempPathFactory, spec: Spec, count: int) -> None:
    path = tmp_path_factory.mktemp("round") / "s"
    rows = random_rows(spec, count)
    with Store.create(path, spec, STATION, "zstd") as store:
        record(store, rows)
    (episode,) = Store.open(path).episodes
    assert episode.spec == spec
    for name in spec.fields:
        assert np.array_equal(episode[name], np.stack([row[name] for row in rows]))


def test_a_reader_written_from_the_format_page_gets_the_same_hash(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    name = record(store, random_rows(SPEC, 4))
    root = zarr.open_group(tmp_path / "s", mode="r")
    lines = [json.dumps(root.attrs["spec"])]
    for field in root.attrs["spec"]:
        array = root[f"episodes/{name}/{field['name']}"]
        digest = hashlib.sha256(array[:].tobytes()).hexdigest()
        assert array.attrs["sha256"] == digest
        lines.append(f"{field['name']} {digest}")
    content = hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest()
    assert root[f"episodes/{name}"].attrs["content"] == content


def test_the_content_hash_depends_on_data_and_not_on_attributes(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    same, other_task, other_data = (
        store[record(store, random_rows(SPEC, 3, seed), task=task)].attrs["content"]
        for seed, task in [(1, "lift"), (1, "peg"), (2, "lift")]
    )
    assert same == other_task != other_data


def test_the_number_of_a_deleted_episode_is_never_given_again(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", SPEC, STATION, "zstd") as store:
        record(store, random_rows(SPEC, 1))
        discarded = store.writer(COLLECT)
        discarded.append(random_rows(SPEC, 1)[0])
        discarded.discard()
    with Store.open(tmp_path / "s") as store:
        assert record(store, random_rows(SPEC, 1)) == "ep-000002"
        assert [episode.id for episode in store.episodes] == ["ep-000000", "ep-000002"]


def test_missing_rows_are_counted(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    rows = random_rows(SPEC, 10)
    assert store[record(store, rows[:3] + rows[5:])].attrs["drops"] == 2


def test_reading_is_safe_while_another_store_object_writes(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    reader = Store.open(tmp_path / "s")
    writer = store.writer(COLLECT)
    writer.append(random_rows(SPEC, 1)[0])
    assert reader.episodes == []
    writer.commit()
    assert len(reader) == 1


def test_a_second_writer_is_refused_by_the_process_id_of_the_first(tmp_path: Path) -> None:
    program = "import sys; from robot_stack.store import Store; Store.open(sys.argv[1]).salvage()"
    with Store.create(tmp_path / "s", SPEC, STATION, "zstd") as store:
        store.writer(COLLECT)
        other = subprocess.run([sys.executable, "-c", program, store.path], capture_output=True, text=True)
        assert f"is being written by process {os.getpid()}" in other.stderr
        with pytest.raises(StoreError, match=f"process {os.getpid()}"):
            Store.open(store.path).salvage()
    with Store.open(tmp_path / "s") as store:
        store.writer(COLLECT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no store at"),
        (lambda path: zarr.create_group(path), "no robot-stack store"),
        (lambda path: zarr.create_group(path, zarr_format=2), "zarr v2 folder: `robot-stack data import"),
        (lambda path: _with_root(path, version=9), "format version 9"),
        (lambda path: _with_root(path, codec="gif"), "keeps pictures in 'gif', this software knows zstd, lz4"),
        (lambda path: (path.mkdir(), (path / "zarr.json").write_text("{")), "is damaged"),
    ],
)
def test_opening_what_is_no_store_says_why(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    make(tmp_path / "s")
    with pytest.raises(StoreError, match=message):
        Store.open(tmp_path / "s")


def _with_root(path: Path, **attributes: Any) -> None:
    Store.create(path, SPEC, STATION, "zstd")
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"] |= attributes
    (path / "zarr.json").write_text(json.dumps(root))


def test_a_store_that_cannot_be_written_says_so_and_still_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.create(tmp_path / "s", SPEC, STATION, "zstd") as store:
        record(store, random_rows(SPEC, 2))

    def read_only(*arguments: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "rename", read_only)
    with pytest.raises(StoreError, match=r"cannot write to the store .*Read-only file system; reading it works"):
        Store.open(tmp_path / "s").writer(COLLECT)
    assert len(Store.open(tmp_path / "s").episodes[0]["q"]) == 2


def test_a_store_copied_without_its_empty_folder_can_be_written(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", SPEC, STATION, "zstd") as store:
        record(store, random_rows(SPEC, 2))
    shutil.rmtree(tmp_path / "s" / "writing")
    with Store.open(tmp_path / "s") as store:
        assert record(store, random_rows(SPEC, 2)) == "ep-000001"


def test_the_store_is_opened_and_read_without_the_zarr_library_or_torch() -> None:
    program = "import sys, robot_stack.store; sys.exit(bool({'zarr', 'torch', 'cv2'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_creating_over_something_is_refused(tmp_path: Path) -> None:
    Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    with pytest.raises(StoreError, match="not empty"):
        Store.create(tmp_path / "s", SPEC, STATION, "zstd")


@pytest.mark.parametrize(
    "field", [Field("reason", dtype="S9"), Field("x", (0,)), Field("a/b"), Field("y", dtype=">f8")]
)
def test_fields_that_zarr_cannot_hold_are_refused(tmp_path: Path, field: Field) -> None:
    with pytest.raises(SpecError, match=field.name):
        Store.create(tmp_path / "s", Spec([Field("time"), field]), STATION)


def test_wrong_words_are_answered_with_the_right_ones(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    with pytest.raises(ConfigError, match="collect, deploy, replay, import"):
        store.writer({"kind": "play"})
    with store:
        writer = store.writer(COLLECT)
        with pytest.raises(StoreError, match="no rows: discard"):
            writer.commit("success")
        with pytest.raises(ConfigError, match="success, failure, unknown"):
            writer.commit("won")
        with pytest.raises(SpecError, match="row has fields"):
            writer.append(Spec([Field("time")]).record())
    with pytest.raises(ConfigError, match="zstd, lz4, depth, jpeg"):
        Store.create(tmp_path / "t", SPEC, STATION, codec="gif")
    with pytest.raises(ConfigError, match="record in jpeg or zstd"):
        Store.create(tmp_path / "t", SPEC, STATION, codec="av1")
    with pytest.raises(StoreError, match="no episode 'ep-9'"):
        store["ep-9"]


def test_a_damaged_frame_is_an_error_and_not_a_picture(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", SPEC, STATION, "zstd")
    episode = store[record(store, random_rows(SPEC, 3))]
    shard = next((episode.path / "image.front").glob("c.*"))
    content = bytearray(shard.read_bytes())
    content[:16] = bytes(16)
    shard.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        episode["image.front"]
    shard.write_bytes(content[:-1] + b"x")
    with pytest.raises(StoreError, match=r"index of .* is damaged"):
        store[episode.id]["image.front"]


def test_a_store_of_version_1_is_of_version_2_once_it_was_written_to(tmp_path: Path) -> None:
    _with_root(tmp_path / "s", version=1)
    with Store.open(tmp_path / "s") as store:
        assert _version(store.path) == 1  # reading changes nothing
        record(store, random_rows(SPEC, 2))
    (tmp_path / "s" / "zarr.json.7.partial").touch()  # of a writer that was killed while it did that
    with Store.open(tmp_path / "s") as store:
        store.delete(["ep-000000"])
    assert _version(store.path) == 2  # software that knows no edits says so, and does not show what was deleted
    assert not list(store.path.glob("*.partial"))


def _version(path: Path) -> int:
    version: int = json.loads((path / "zarr.json").read_text())["attributes"]["version"]
    return version


@pytest.mark.parametrize("content", [None, "{"])
def test_a_store_that_lost_its_root_is_not_said_to_be_none(tmp_path: Path, content: str | None) -> None:
    root = Store.create(tmp_path / "s", SPEC, STATION, "zstd").path / "zarr.json"
    root.unlink() if content is None else root.write_text(content)
    with pytest.raises(StoreError, match=r"episodes beside it are not touched: restore that one file"):
        Store.open(tmp_path / "s")
