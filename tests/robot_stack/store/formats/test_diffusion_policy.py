"""Replay buffers of diffusion_policy and UMI come in whole, once, and damaged ones are named."""

import builtins
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs.numcodecs
import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.store import Store
from robot_stack.store.formats import Imported, import_source, open_source
from robot_stack.store.formats.diffusion_policy import ReplayBuffer
from robot_stack.store.formats.replay_layout import PUSHT
from robot_stack.types import ConfigError, Source, StoreError

REAL = Path(__file__).parents[5] / "shared/data/pusht_human_v7/pusht_cchi_v7_replay.zarr"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="the PushT demonstrations are not beside this checkout")


def bring(source: Path, store: Path, rate: float | None = 10.0, **options: Any) -> Imported:
    """Import as the verb does."""
    return import_source(open_source(source, rate=rate), store, **options)


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


def umi(path: Path) -> Path:
    """Two episodes with UMI's names and its JPEG XL pictures, one a chunk (its 07_generate_replay_buffer.py)."""
    rng = np.random.default_rng(3)
    names = {"robot0_eef_pos": 3, "robot0_eef_rot_axis_angle": 3, "robot0_gripper_width": 1}
    make(path, [4, 6], {name: rng.normal(size=(6, size)).astype("f4") for name, size in names.items()})
    codec = imagecodecs.numcodecs.Jpegxl(level=99, numthreads=1)
    numcodecs.registry.register_codec(imagecodecs.numcodecs.Jpegxl)
    pictures = rng.integers(0, 256, (6, 16, 16, 3), np.uint8)
    zarr.open_group(path, mode="a").create_array(
        "data/camera0_rgb", data=pictures, chunks=(1, 16, 16, 3), compressors=codec
    )
    return path


def test_pusht_comes_in_under_the_names_of_a_row(tmp_path: Path) -> None:
    source = zarr.open_group(pusht(tmp_path / "z"), mode="r")
    assert bring(tmp_path / "z", tmp_path / "s", rate=None).new == 3
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


def test_umi_comes_in_with_its_cameras_named_as_ours_and_its_pose_under_its_own_names(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    folder = umi(tmp_path / "z")
    source = Path(shutil.make_archive(str(tmp_path / "dataset.zarr"), "zip", folder))
    bring(source, tmp_path / "s", rate=59.94)
    store = Store.open(tmp_path / "s")
    assert set(store.spec.fields) == {
        "time",
        "source",
        "image.camera0",
        "robot0_eef_pos",
        "robot0_eef_rot_axis_angle",
        "robot0_gripper_width",
    }
    assert store.spec["robot0_eef_rot_axis_angle"].unit == "rad"
    pictures = np.asarray(zarr.open_group(folder, mode="r")["data/camera0_rgb"])
    assert np.array_equal(np.concatenate([e["image.camera0"] for e in store.episodes]), pictures)


def test_a_rate_is_asked_for_where_the_source_has_no_times(tmp_path: Path) -> None:
    make(tmp_path / "z", [3], {"action": np.ones((3, 2))})
    with pytest.raises(ConfigError, match="has no times in it: say rate=<steps a second>"):
        open_source(tmp_path / "z")


def test_times_of_the_source_are_kept(tmp_path: Path) -> None:
    times = 1.7e9 + np.arange(9) / 8
    make(tmp_path / "z", [4, 9], {"action": np.ones((9, 2)), "timestamp": times})
    bring(tmp_path / "z", tmp_path / "s", rate=None)
    store = Store.open(tmp_path / "s")
    assert store.station["rate"] == 8.0
    assert np.array_equal(np.concatenate([e["time"] for e in store.episodes]), times)
    assert store.episodes[0].attrs["time_source"] == "measured"


def test_a_zip_comes_in_like_a_folder(tmp_path: Path) -> None:
    source = Path(shutil.make_archive(str(tmp_path / "replay.zarr"), "zip", pusht(tmp_path / "z")))
    assert bring(source, tmp_path / "s").rows == 20
    assert len(Store.open(tmp_path / "s")) == 3


def test_arrays_in_a_zip_whose_names_begin_alike_come_in(tmp_path: Path) -> None:
    folder = make(tmp_path / "z", [2], {"q": np.ones((2, 1)), "qd": np.ones((2, 1)), "camera0": np.ones((2, 3))})
    source = Path(shutil.make_archive(str(tmp_path / "replay.zarr"), "zip", folder))
    assert bring(source, tmp_path / "s").rows == 2


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
    values = {name: (1 + 99 * rng.random((ends[-1], *shape))).astype(dtype) for name, (shape, dtype) in arrays.items()}
    bring(make(folder / "z", ends.tolist(), values), folder / "s", rate=20.0)
    episodes = Store.open(folder / "s").episodes
    assert [len(episode) for episode in episodes] == lengths
    assert episodes[0].attrs["rate"] == 20.0
    for name, expected in values.items():
        field = "image.camera0" if name == "camera0_rgb" else name
        got = np.concatenate([episode[field] for episode in episodes])
        assert got.dtype == expected.dtype
        assert np.array_equal(got, expected)


def _remove(name: str) -> Callable[[Path], Any]:
    return lambda path: shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()


def _shorten(path: Path) -> None:
    chunk = path / "data/img/1.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-100])


def _overwrite(path: Path) -> None:
    chunk = path / "data/img/1.0.0.0"
    content = bytearray(chunk.read_bytes())
    content[4:8] = b"\xff" * 4  # how many bytes are in it
    chunk.write_bytes(content)


def _ends(*ends: int) -> Callable[[Path], Any]:
    return lambda path: zarr.open_group(path, mode="a").create_array(
        "meta/episode_ends", data=np.array(ends, np.int64), overwrite=True
    )


def _codec(path: Path) -> None:
    metadata = path / "data/img/.zarray"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "compressor": {"id": "nobodys_codec"}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove("meta"), r"has no meta/episode_ends: not a replay buffer"),
        (_remove("data"), r"has no data: not a replay buffer"),
        (_remove("data/img/2.0.0.0"), r"data/img .* lacks 1 of 3 chunks: not copied whole"),
        (_shorten, r"data/img/1.0.0.0 is not whole: \d+ bytes are not what it says of itself; copy it again"),
        (_overwrite, r"rows 5 to 12 of data/img .* cannot be read"),
        (_ends(5, 12, 30), r"data/action .* has 20 rows, meta/episode_ends says 30"),
        (_ends(12, 5, 20), r"episode_ends in .* falls"),
        (_ends(0, 0), r"has no episodes in it"),
        (_codec, r"nobodys_codec.*install its codec"),
        (shutil.rmtree, r"there is nothing at"),
    ],
)
def test_a_damaged_source_is_refused_with_the_place_of_the_damage(
    tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(pusht(tmp_path / "z"))
    with pytest.raises(StoreError, match=message):
        bring(tmp_path / "z", tmp_path / "s", rate=None)


COMPRESSORS = [numcodecs.Blosc("lz4", 5, 1), numcodecs.Blosc("zstd", 5, 2), numcodecs.Blosc("lz4", 0), numcodecs.LZ4()]


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A buffer of numbers that compress badly, one a compressor: blosc keeps such bytes as they are."""
    folder, state = tmp_path_factory.mktemp("compressed"), np.random.default_rng(0).random((20, 5))
    paths = [make(folder / f"{number}.zarr", [20], {}) for number in range(len(COMPRESSORS))]
    for path, codec in zip(paths, COMPRESSORS, strict=True):
        zarr.open_group(path, mode="a").create_array("data/state", data=state, chunks=(7, 5), compressors=codec)
    return paths


@settings(max_examples=40, deadline=None)
@given(number=st.integers(0, len(COMPRESSORS) - 1), packed=st.booleans(), share=st.floats(0.0, 0.999))
def test_a_chunk_that_is_cut_at_any_byte_is_never_taken_for_rows(
    compressed: list[Path], tmp_path_factory: pytest.TempPathFactory, number: int, packed: bool, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    source = Path(shutil.copytree(compressed[number], folder / "z"))
    chunk = source / "data" / "state" / "1.0"
    chunk.write_bytes(chunk.read_bytes()[: int(share * chunk.stat().st_size)])
    if packed:
        source = Path(shutil.make_archive(str(folder / "z.zarr"), "zip", source))
    with pytest.raises(StoreError, match=r"copy (it|the source) again"):
        bring(source, folder / "s")


def test_files_that_somebody_else_put_between_the_chunks_are_passed_over(tmp_path: Path) -> None:
    source = pusht(tmp_path / "z")
    for name in ("data/img/.DS_Store", "data/img/._1.0.0.0", "data/img/1.0.0.0.bak"):
        (source / name).write_bytes(b"not of zarr")
    assert bring(source, tmp_path / "s").rows == 20


def test_pictures_of_umi_without_imagecodecs_are_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = umi(tmp_path / "z")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("imagecodecs"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(numcodecs.registry.codec_registry, "imagecodecs_jpegxl")
    with pytest.raises(StoreError, match=r"imagecodecs_jpegxl.*`uv pip install imagecodecs`"):
        open_source(folder, rate=60)


def test_an_episode_without_steps_is_left_out_and_named(tmp_path: Path) -> None:
    _ends(5, 5, 20)(pusht(tmp_path / "z"))
    done = bring(tmp_path / "z", tmp_path / "s")
    assert (done.new, done.warnings) == (2, ["episode 1: left out: it has no steps"])


def test_rows_that_a_killed_writer_left_after_the_last_episode_are_left_out_and_named(tmp_path: Path) -> None:
    _ends(5, 12)(pusht(tmp_path / "z"))
    done = bring(tmp_path / "z", tmp_path / "s")
    assert (done.new, done.rows) == (2, 12)
    assert "data/img has 8 rows after the last episode: its writer was killed; they are left out" in done.warnings


def test_what_is_no_replay_buffer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 not a zip")
    (tmp_path / "a.txt").write_text("hello")
    pusht(tmp_path / "z")
    bring(tmp_path / "z", tmp_path / "s")
    refusals = {
        "empty": r"no format that is known.*\n.*lerobot",
        "a.txt": r"no format that is known.*\n.*lerobot",
        "a.zip": "no whole .zip",
        "s": "is a robot-stack store",
    }
    for source, message in refusals.items():
        with pytest.raises(StoreError, match=message):
            bring(tmp_path / source, tmp_path / "t")


def test_a_source_of_other_fields_does_not_go_into_the_same_store(tmp_path: Path) -> None:
    bring(pusht(tmp_path / "z"), tmp_path / "s")
    make(tmp_path / "other", [3], {"action": np.ones((3, 2))})
    with pytest.raises(StoreError, match=r"agent is extra.*Choose a new store"):
        bring(tmp_path / "other", tmp_path / "s")


def test_sources_of_the_same_shape_and_other_numbers_are_not_taken_for_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tmp_path / name, [3], {"action": np.full((3, 2), 1.0 + (name == "b"))})
        assert bring(tmp_path / name, tmp_path / "s").new == 1


@needs_real
def test_the_real_demonstrations_come_in(tmp_path: Path) -> None:
    buffer = ReplayBuffer(REAL)
    assert (len(buffer.ends), buffer.ends[-1]) == (206, 25650)
    buffer.ends = buffer.ends[:3]
    import_source(buffer, tmp_path / "s")
    episodes = Store.open(tmp_path / "s").episodes
    assert [len(episode) for episode in episodes] == [161, 118, 141]
    agents = np.concatenate([episode["agent"] for episode in episodes])
    assert np.array_equal(agents, np.asarray(buffer.arrays["state"][:420, :2], np.float64))
    assert len(np.unique(episodes[0]["image.top"])) > 10
