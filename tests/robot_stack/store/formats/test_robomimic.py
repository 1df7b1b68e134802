"""robomimic's HDF5 comes in and goes out with every number; damaged files are named.

What goes out was also opened with the real `SequenceDataset` of robomimic 0.3.0, which does not install beside our
pins without compiling; here the layout that it reads is asserted: robomimic.github.io/docs/datasets/overview.html.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats import Imported, export, import_source, open_source
from robot_stack.types import ConfigError, Source, StoreError

from .sources import fill

LENGTHS = (6, 4, 9)


def make(path: Path, lengths: tuple[int, ...] = LENGTHS, control_freq: float | None = 20.0) -> Path:
    """A file as robomimic's dataset_states_to_obs.py writes it, with its demonstrations 0, 1 and 10."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        kwargs = {} if control_freq is None else {"control_freq": control_freq}
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_type": 1, "env_kwargs": kwargs})
        data.attrs["total"] = sum(lengths)
        for number, rows in zip((0, 1, 10), lengths, strict=True):
            demo = data.create_group(f"demo_{number}")
            demo.attrs.update({"num_samples": rows, "model_file": f"<mujoco model='{number}'/>"})
            demo["actions"] = rng.uniform(-1, 1, (rows, 7))
            demo["states"] = rng.normal(size=(rows, 32))
            demo["rewards"] = np.arange(rows) == rows - 1.0 - (number == 1) * rows
            demo["dones"] = (np.arange(rows) == rows - 1).astype("i8")
            observed = {
                "robot0_eef_pos": rng.normal(size=(rows + 1, 3)),
                "agentview_image": rng.integers(0, 256, (rows + 1, 40, 40, 3)).astype("u1"),
            }
            for name, values in observed.items():
                demo[f"obs/{name}"], demo[f"next_obs/{name}"] = values[:-1], values[1:]
        file["mask/train"] = np.array([b"demo_0", b"demo_10"])
    return path


def bring(source: Path, store: Path, **options: Any) -> Imported:
    return import_source(open_source(source, **options), store)


def test_demonstrations_come_in_with_every_number_in_the_order_of_theirs(tmp_path: Path) -> None:
    done = bring(make(tmp_path / "a.hdf5"), tmp_path / "s")
    assert (done.new, done.rows) == (3, 19)
    store = Store.open(tmp_path / "s")
    assert [len(episode) for episode in store.episodes] == [6, 4, 9]
    with h5py.File(tmp_path / "a.hdf5") as file:
        for demo, episode in zip(("demo_0", "demo_1", "demo_10"), store.episodes, strict=True):
            for path, name in {
                "actions": "actions",
                "states": "states",
                "dones": "dones",
                "obs/robot0_eef_pos": "robot0_eef_pos",
                "obs/agentview_image": "image.agentview",
            }.items():
                wanted = file[f"data/{demo}/{path}"][...]
                assert episode[name].dtype == wanted.dtype
                assert np.array_equal(episode[name], wanted)
            assert set(episode["source"]) == {Source.OPERATOR}


def test_what_a_file_says_of_its_demonstrations_is_kept(tmp_path: Path) -> None:
    bring(make(tmp_path / "a.hdf5"), tmp_path / "s")
    store = Store.open(tmp_path / "s")
    assert (store.station["name"], store.station["rate"]) == ("Lift", 20.0)
    assert store.station["robomimic"]["env_args"]["env_name"] == "Lift"
    first, second, third = (episode.attrs for episode in store.episodes)
    assert [a["verdict"] for a in (first, second, third)] == ["success", "unknown", "success"]
    assert [a["robomimic"]["masks"] for a in (first, second, third)] == [["train"], [], ["train"]]
    assert third["robomimic"]["demo"] == "demo_10"
    assert third["robomimic"]["attributes"]["model_file"] == "<mujoco model='10'/>"
    assert (first["task"], first["time_source"]) == ("Lift", "synthetic")


def test_the_observation_after_the_last_step_is_left_out_and_named(tmp_path: Path) -> None:
    done = bring(make(tmp_path / "a.hdf5"), tmp_path / "s")
    assert "the last row of next_obs/robot0_eef_pos is left out: what was observed after the last step" in done.warnings


def test_next_observations_that_are_something_else_are_kept(tmp_path: Path) -> None:
    make(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        file["data/demo_0/next_obs/robot0_eef_pos"][2] += 1
    bring(tmp_path / "a.hdf5", tmp_path / "s")
    assert "next_obs.robot0_eef_pos" in Store.open(tmp_path / "s").spec


def test_a_rate_is_asked_for_where_the_file_has_none(tmp_path: Path) -> None:
    make(tmp_path / "a.hdf5", control_freq=None)
    with pytest.raises(ConfigError, match="does not say its rate: say rate=<steps a second>"):
        open_source(tmp_path / "a.hdf5")
    assert open_source(tmp_path / "a.hdf5", rate=30).station["rate"] == 30.0


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _edit(change: Callable[[h5py.File], Any]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return damage


def _replace(path: str, values: Any) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file[path] = values

    return _edit(change)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, r"is no whole HDF5 file .*truncated.*copy it again"),
        (lambda path: path.write_bytes(b"hello"), r"is no whole HDF5 file .*signature not found"),
        (_edit(lambda f: f.move("data", "date")), r"has no group data; there are: date, mask"),
        (_edit(lambda f: [f.move(f"data/{d}", f"data/x{d}") for d in list(f["data"])]), r"has no data/demo_0, \.\.\."),
        (_edit(lambda f: f.move("data/demo_1/actions", "data/demo_1/a")), r"demo_1 .* has no actions; there are: a, d"),
        (_edit(lambda f: f.move("data/demo_1/obs", "data/demo_1/o")), r"demo_1 in .* has no obs/agentview_image"),
        (_replace("data/demo_1/obs/robot0_eef_pos", np.ones((3, 3))), r"eef_pos in .* has 3 rows, its actions have 4"),
        (_replace("data/demo_1/actions", np.full((4, 7), np.nan)), r"episode 1 of .*: actions is nan at step 0"),
        (
            _replace("data/demo_1/actions", np.ones((4, 6))),
            r"demo_1/actions in .* is float64 \(4, 6\), in the first .* \(6, 7\)",
        ),
        (lambda path: path.unlink(), r"there is nothing at"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place_of_the_damage(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(make(tmp_path / "a.hdf5"))
    with pytest.raises(StoreError, match=message):
        bring(tmp_path / "a.hdf5", tmp_path / "s")


def test_a_demonstration_without_steps_is_left_out_and_named(tmp_path: Path) -> None:
    done = bring(make(tmp_path / "a.hdf5", (6, 0, 9)), tmp_path / "s")
    assert done.new == 2
    assert "episode 1: left out: it has no steps" in done.warnings


def test_texts_are_left_out_and_named(tmp_path: Path) -> None:
    make(tmp_path / "a.hdf5")
    _edit(lambda f: f["data/demo_0"].create_dataset("lang", data=["lift"] * 6))(tmp_path / "a.hdf5")
    done = bring(tmp_path / "a.hdf5", tmp_path / "s")
    assert "lang is left out: it holds object, the store holds numbers" in done.warnings


def test_what_came_from_robomimic_goes_back_as_it_was(tmp_path: Path) -> None:
    bring(make(tmp_path / "a.hdf5"), tmp_path / "s")
    export(Store.open(tmp_path / "s"), tmp_path / "b.hdf5", "robomimic")
    with h5py.File(tmp_path / "a.hdf5") as a, h5py.File(tmp_path / "b.hdf5") as b:
        assert json.loads(b["data"].attrs["env_args"]) == json.loads(a["data"].attrs["env_args"])
        assert b["data"].attrs["total"] == a["data"].attrs["total"]
        assert list(b["mask/train"]) == [b"demo_0", b"demo_2"]
        for one, other in (("demo_0", "demo_0"), ("demo_1", "demo_1"), ("demo_10", "demo_2")):
            assert dict(b[f"data/{other}"].attrs) == dict(a[f"data/{one}"].attrs)
            for path in ("actions", "states", "rewards", "dones", "obs/robot0_eef_pos", "obs/agentview_image"):
                wanted, got = a[f"data/{one}/{path}"], b[f"data/{other}/{path}"]
                assert got.dtype == wanted.dtype
                assert np.array_equal(got, wanted)


def test_a_recording_goes_out_in_the_layout_that_robomimic_reads(tmp_path: Path) -> None:
    fields = [Field("time"), Field("q", (6,)), Field("target.pose", (7,)), Field("target.grip")]
    fields += [Field("image.front", (40, 40, 3), "u1"), Field("image.front.time")]
    store = fill(tmp_path / "s", Spec(fields), [5, 1])
    done = export(store, tmp_path / "b.hdf5", "robomimic")
    assert done.warnings == [
        "rewards (1 at the last step of a success), dones and states (empty) are made up, as robomimic wants them"
    ]
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert json.loads(file["data"].attrs["env_args"]) == {
            "env_name": "cell",
            "env_type": 2,
            "env_kwargs": {"control_freq": 12.5},
        }
        assert file["data"].attrs["total"] == 6
        for number, episode in enumerate(store.episodes):
            demo = file[f"data/demo_{number}"]
            assert demo.attrs["num_samples"] == len(episode)
            assert set(demo["obs"]) == set(demo["next_obs"]) == {"q", "front_image", "image.front.time"}
            wanted = np.concatenate([episode["target.pose"], episode["target.grip"][:, None]], axis=1)
            assert np.array_equal(demo["actions"], wanted)
            assert np.array_equal(demo["obs/front_image"], episode["image.front"])
            shifted = np.concatenate([episode["q"][1:], episode["q"][-1:]])
            assert np.array_equal(demo["next_obs/q"], shifted)
            last = np.arange(len(episode)) == len(episode) - 1
            assert np.array_equal(demo["dones"], last)
            assert np.array_equal(demo["rewards"], last * (episode.attrs["verdict"] == "success"))
            assert demo["states"].shape == (len(episode), 0)
