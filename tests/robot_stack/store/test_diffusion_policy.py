"""Replay buffers of diffusion_policy come in whole, once, and damaged ones are named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.store import Store, diffusion_policy
from robot_stack.store.diffusion_policy import PUSHT, ReplayBuffer, import_buffer, import_zarr
from robot_stack.types import Source, StoreError

REAL = Path(__file__).parents[4] / "shared/data/pusht_human_v7/pusht_cchi_v7_replay.zarr"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="the PushT demonstrations are not beside this checkout")


def make(path: Path, ends: list[int], arrays: dict[str, Any]) -> Path:
    """A replay buffer as diffusion_policy writes it."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.create_array("meta/episode_ends", data=np.array(ends, np.int64))
    for name, values in arrays.items():
        root.create_array(f"data/{name}", data=values, chunks=(7, *values.shape[1:]))
    return path


def pusht(path: Path, ends: tuple[int, ...] = (5, 12, 20)) -> Path:
    """Three small PushT episodes."""
    rng, rows = np.random.default_rng(0), ends[-1]
    shapes = {"action": (2,), "state": (5,), "keypoint": (9, 2), "n_contacts": (1,)}
    arrays = {name: rng.normal(100, 50, (rows, *shape)).astype("f4") for name, shape in shapes.items()}
    arrays["img"] = rng.integers(0, 256, (rows, 96, 96, 3)).astype("f4")
    return make(path, list(ends), arrays)


def test_pusht_comes_in_under_the_names_of_a_row(tmp_path: Path) -> None:
    source = zarr.open_group(pusht(tmp_path / "z"), mode="r")
    assert import_zarr(tmp_path / "z", tmp_path / "s").new == 3
    episode = Store.open(tmp_path / "s").episodes[1]
    assert PUSHT.difference(episode.spec) == ["n_contacts is extra"]
    state, action = np.asarray(source["data/state"])[5:12], np.asarray(source["data/action"])[5:12]
    assert np.array_equal(episode["agent"], state[:, :2])
    assert np.array_equal(episode["block"], state[:, 2:])
    assert np.array_equal(episode["target.position"], action)
    assert np.array_equal(episode["requested.position"], action)
    assert np.array_equal(episode["image.top"], np.asarray(source["data/img"])[5:12])
    assert set(episode["source"]) == {Source.OPERATOR}
    assert np.allclose(np.diff(episode["time"]), 0.1)
    assert episode.attrs["time_source"] == "synthetic"
    assert episode.attrs["kind"] == "import"


def test_a_zip_comes_in_like_a_folder(tmp_path: Path) -> None:
    source = Path(shutil.make_archive(str(tmp_path / "replay.zarr"), "zip", pusht(tmp_path / "z")))
    assert import_zarr(source, tmp_path / "s").rows == 20
    assert len(Store.open(tmp_path / "s")) == 3


def test_an_import_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    def cut(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    pusht(tmp_path / "z")
    with pytest.raises(KeyboardInterrupt):
        import_buffer(ReplayBuffer(tmp_path / "z"), tmp_path / "s", cut)
    result = import_zarr(tmp_path / "z", tmp_path / "s")
    assert (result.new, result.skipped) == (1, 2)
    assert [len(episode) for episode in Store.open(tmp_path / "s").episodes] == [5, 7, 8]


@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    arrays=st.dictionaries(
        st.sampled_from(["action", "robot0_eef_pos", "camera0_rgb", "grip"]),
        st.tuples(st.lists(st.integers(1, 6), max_size=3), st.sampled_from(["f4", "f8", "u1", "i8"])),
        min_size=1,
    ),
)
def test_any_replay_buffer_comes_in_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], arrays: dict[str, tuple[list[int], str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rng, ends = np.random.default_rng(1), np.cumsum(lengths)
    values = {name: (99 * rng.random((ends[-1], *shape))).astype(dtype) for name, (shape, dtype) in arrays.items()}
    import_zarr(make(folder / "z", ends.tolist(), values), folder / "s", rate=20.0)
    episodes = Store.open(folder / "s").episodes
    assert [len(episode) for episode in episodes] == lengths
    assert episodes[0].attrs["rate"] == 20.0
    for name, expected in values.items():
        got = np.concatenate([episode[name] for episode in episodes])
        assert got.dtype == expected.dtype
        assert np.array_equal(got, expected)


def _remove(name: str) -> Callable[[Path], Any]:
    return lambda path: shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()


def _shorten(path: Path) -> None:
    chunk = path / "data/img/1.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-100])


def _ends(*ends: int) -> Callable[[Path], Any]:
    return lambda path: zarr.open_group(path, mode="a").create_array(
        "meta/episode_ends", data=np.array(ends, np.int64), overwrite=True
    )


def _codec(path: Path) -> None:
    metadata = path / "data/img/.zarray"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "compressor": {"id": "imagecodecs_jpegxl"}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove("meta"), r"has no meta/episode_ends: not a replay buffer"),
        (_remove("data"), r"has no data: not a replay buffer"),
        (_remove("data/img/2.0.0.0"), r"data/img .* lacks 1 of 3 chunks: not copied whole"),
        (_shorten, r"rows 5 to 12 of data/img .* cannot be read"),
        (_ends(5, 12, 30), r"data/action .* has 20 rows, meta/episode_ends says 30"),
        (_ends(5, 5, 20), r"does not rise.*an episode without steps"),
        (_codec, r"imagecodecs_jpegxl.*install its codec"),
        (shutil.rmtree, r"there is nothing at"),
    ],
)
def test_a_damaged_source_is_refused_with_the_place_of_the_damage(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(pusht(tmp_path / "z"))
    with pytest.raises(StoreError, match=message):
        import_zarr(tmp_path / "z", tmp_path / "s")


def test_what_is_no_replay_buffer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.zip").write_bytes(b"PK not a zip")
    pusht(tmp_path / "z")
    import_zarr(tmp_path / "z", tmp_path / "s")
    for source, message in [("empty", "no zarr folder"), ("a.zip", "no whole .zip"), ("s", "is a robot-stack store")]:
        with pytest.raises(StoreError, match=message):
            import_zarr(tmp_path / source, tmp_path / "t")


def test_a_source_of_other_fields_does_not_go_into_the_same_store(tmp_path: Path) -> None:
    import_zarr(pusht(tmp_path / "z"), tmp_path / "s")
    make(tmp_path / "other", [3], {"action": np.ones((3, 2))})
    with pytest.raises(StoreError, match=r"agent is extra.*Choose a new store"):
        import_zarr(tmp_path / "other", tmp_path / "s")


@needs_real
def test_the_real_demonstrations_come_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = diffusion_policy.ReplayBuffer(REAL)
    assert (len(buffer.ends), buffer.ends[-1]) == (206, 25650)
    monkeypatch.setattr(diffusion_policy, "_ends", lambda *_: buffer.ends[:3])
    import_zarr(REAL, tmp_path / "s")
    episodes = Store.open(tmp_path / "s").episodes
    assert [len(episode) for episode in episodes] == [161, 118, 141]
    agents = np.concatenate([episode["agent"] for episode in episodes])
    assert np.array_equal(agents, np.asarray(buffer.arrays["state"][:420, :2], np.float64))
    assert len(np.unique(episodes[0]["image.top"])) > 10
