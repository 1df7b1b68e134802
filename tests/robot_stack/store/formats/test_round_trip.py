"""What goes out and comes in again is the same: rows, streams, attributes, units, for any spec."""

import json
import string
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats import export, import_source, open_source
from robot_stack.store.formats.diffusion_policy import ReplayBuffer
from robot_stack.store.formats.replay_layout import PUSHT

from .sources import SPEC, fill, same

REAL = Path(__file__).parents[5] / "shared/data/pusht_human_v7/pusht_cchi_v7_replay.zarr"

NAMES = st.one_of(
    st.sampled_from(["q", "target.q", "action", "image.front", "image.camera0", "robot0_eef_pos", "source", "state"]),
    st.text(string.ascii_lowercase + "._", min_size=1, max_size=6).filter(lambda name: name.strip(".") == name),
).filter(lambda name: name not in ("time", "streams") and not name.startswith("__"))
FIELDS = st.builds(
    Field,
    NAMES,
    st.lists(st.integers(1, 4), max_size=3).map(tuple) | st.just((40, 40, 3)),
    st.sampled_from(["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]),
    st.sampled_from(["", "rad", "m,1"]),
    st.sampled_from(["", "base", "base_from_tcp"]),
)
SPECS = st.lists(FIELDS, min_size=1, max_size=5, unique_by=lambda field: field.name).map(
    lambda fields: Spec([Field("time", unit="s"), *fields])
)


@settings(max_examples=15, deadline=None)
@given(
    spec=SPECS,
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    seed=st.integers(0, 99),
    way=st.sampled_from(
        [("out.zarr", "diffusion_policy"), ("out.zarr.zip", "diffusion_policy"), ("o.hdf5", "robomimic")]
    ),
)
def test_any_store_comes_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, spec: Spec, lengths: list[int], seed: int, way: tuple[str, str]
) -> None:
    folder, (name, format) = tmp_path_factory.mktemp("trip"), way
    store = fill(folder / "store", spec, lengths, seed)
    action = None if {"action", "actions"} & set(spec.fields) else [next(iter(spec.fields))]
    if format == "robomimic" and "action" in spec:
        action = ["action"]
    export(store, folder / name, format, action=action)
    import_source(open_source(folder / name), folder / "again", nan="keep")
    same(store, Store.open(folder / "again"))


@pytest.mark.parametrize(
    ("fields", "way"),
    [
        (["image.camera0", "camera0_rgb", "robot0_eef_pos"], ("out.zarr", "diffusion_policy")),
        ([*PUSHT.fields, "state", "action"], ("out.zarr", "diffusion_policy")),
        (["image.front", "front_image", "obs", "next_obs"], ("out.hdf5", "robomimic")),
    ],
)
def test_fields_whose_names_are_those_of_other_arrays_are_not_mixed_up(
    tmp_path: Path, fields: list[str], way: tuple[str, str]
) -> None:
    small = [Field(name, (40, 40, 3), "u1") for name in fields if name not in (*PUSHT.fields, "time")]
    pusht = [PUSHT[name] for name in fields if name in PUSHT]
    store = fill(tmp_path / "store", Spec([*(pusht or [Field("time")]), Field("x"), *small]), [4])
    export(store, tmp_path / way[0], way[1], action=None if "action" in fields else ["x"])
    import_source(open_source(tmp_path / way[0]), tmp_path / "again")
    same(store, Store.open(tmp_path / "again"))


def test_a_view_goes_out_as_it_is_seen(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", SPEC, [6, 4, 9])
    first, second, third = store.episodes
    with Store.open(store.path) as edited:
        edited.trim(first.id, 2, 5)
        edited.delete([second.id])
        edited.relabel([third.id], task="stack")
    export(Store.open(store.path), tmp_path / "out.zarr", "diffusion_policy", action=["q"])
    import_source(open_source(tmp_path / "out.zarr"), tmp_path / "again")
    seen, again = Store.open(store.path).episodes, Store.open(tmp_path / "again").episodes
    assert [len(episode) for episode in again] == [3, 9]
    assert again[1].attrs["task"] == "stack"
    for wanted, got in zip(seen, again, strict=True):
        assert np.array_equal(got["image.top"], wanted["image.top"])
        assert np.array_equal(got.stream("wrist"), wanted.stream("wrist"))


def test_a_replay_buffer_has_the_layout_of_zarr_v2_that_diffusion_policy_writes(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", Spec([*SPEC, Field("target.pose", (7,)), Field("target.grip")]), [3, 5])
    export(store, tmp_path / "out.zarr", "diffusion_policy")
    for group in (".zgroup", "data/.zgroup", "meta/.zgroup"):
        assert json.loads((tmp_path / "out.zarr" / group).read_text()) == {"zarr_format": 2}
    blosc = {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2, "blocksize": 0}
    expected: dict[str, Any] = {
        "data/action": {"shape": [8, 8], "chunks": [1024, 8], "dtype": "<f8", "fill_value": 0.0},
        "data/image.top": {"shape": [8, 40, 40, 3], "chunks": [417, 40, 40, 3], "dtype": "|u1", "fill_value": 0},
        "meta/episode_ends": {"shape": [2], "chunks": [1024], "dtype": "<i8", "fill_value": 0},
    }
    for name, wanted in expected.items():
        found = json.loads((tmp_path / "out.zarr" / name / ".zarray").read_text())
        assert found.items() >= wanted.items()
        assert (found["zarr_format"], found["compressor"], found["order"]) == (2, blosc, "C")
        assert found["filters"] is None
        assert found.get("dimension_separator", ".") == "."
    root = zarr.open_group(tmp_path / "out.zarr", mode="r")
    wanted = np.concatenate([np.c_[e["target.pose"], e["target.grip"]] for e in store.episodes])
    assert np.array_equal(root["data/action"], wanted)
    assert np.asarray(root["meta/episode_ends"]).tolist() == [3, 8]


def test_a_zip_is_one_file_without_a_folder_around_it(tmp_path: Path) -> None:
    export(fill(tmp_path / "store", SPEC, [3]), tmp_path / "out.zarr.zip", "diffusion_policy", action=["q"])
    with ZipFile(tmp_path / "out.zarr.zip") as file:
        assert {".zgroup", "data/q/0.0", "meta/episode_ends/0"} <= set(file.namelist())
        assert len(set(file.namelist())) == len(file.namelist())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr.zip", "store"]


def test_a_store_without_commands_says_that_there_is_no_action(tmp_path: Path) -> None:
    done = export(fill(tmp_path / "store", SPEC, [3]), tmp_path / "out.zarr", "diffusion_policy")
    assert done.warnings == ["there is no array action, which diffusion_policy trains on: say action=[field,…]"]


def test_without_its_sidecar_an_export_is_a_replay_buffer_like_any_other(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", SPEC, [3, 5])
    export(store, tmp_path / "out.zarr", "diffusion_policy", action=["q"])
    del zarr.open_group(tmp_path / "out.zarr", mode="r+")["robot_stack"]
    import_source(open_source(tmp_path / "out.zarr"), tmp_path / "again")
    for wanted, got in zip(store.episodes, Store.open(tmp_path / "again").episodes, strict=True):
        assert np.array_equal(got["time"], wanted["time"])
        assert np.array_equal(got["action"], wanted["q"])
        assert got.attrs["kind"] == "import"


@pytest.mark.skipif(not REAL.exists(), reason="the PushT demonstrations are not beside this checkout")
@pytest.mark.parametrize("sidecar", [True, False])
def test_the_real_demonstrations_go_out_under_their_own_names_with_the_same_numbers(
    tmp_path: Path, sidecar: bool
) -> None:
    buffer = ReplayBuffer(REAL)
    buffer.ends = buffer.ends[:2]
    import_source(buffer, tmp_path / "store")
    assert export(Store.open(tmp_path / "store"), tmp_path / "out.zarr", "diffusion_policy").warnings == []
    root = zarr.open_group(tmp_path / "out.zarr", mode="r+")
    for name, array in buffer.arrays.items():
        assert np.array_equal(root[f"data/{name}"], array[:279])
    assert root["data/img"].dtype == np.float32
    if not sidecar:
        del root["robot_stack"]
    import_source(open_source(tmp_path / "out.zarr"), tmp_path / "again")
    one, again = (Store.open(tmp_path / name).episodes for name in ("store", "again"))
    assert [e.attrs["content"] for e in again] == [e.attrs["content"] for e in one]
