"""`data compact`: what is shown stays the same, to the last chunk where nothing is compressed again."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from robot_stack.spec import Field, Spec
from robot_stack.store import Episode, Store, compact_cli
from robot_stack.store.check import damages
from robot_stack.store.codecs.similarity import ssim
from robot_stack.store.compact import compact
from robot_stack.types import StoreError

SPEC = Spec(
    [
        Field("time"),
        Field("source", dtype="u1"),
        Field("q", (6,)),
        Field("image.front", (48, 64, 3), "u1"),
        Field("depth.front", (48, 64), "u2"),
    ]
)


def picture(seed: int, step: int) -> np.ndarray:
    """A smooth picture that moves."""
    y, x = np.mgrid[:48, :64] + step + 10 * seed
    return np.stack(
        [128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 7), 128 + 90 * np.sin((x + y) / 11)], axis=2
    ).astype(np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four episodes of 20 rows in JPEG, of which edits have made four others."""
    store = Store.create(tmp_path / "s", SPEC, {"name": "cell", "rate": 10.0}, "jpeg")
    for number in range(4):
        writer = store.writer({"kind": "collect", "task": "lift"}, {"control": ["time", "load"]})
        for step in range(20):
            row = SPEC.record(time=100 * number + step / 10, q=np.full(6, step))
            row["image.front"], row["depth.front"] = picture(number, step), step
            writer.append(row)
            writer.log("control", np.array([[float(row["time"]) - 0.01 * k, step] for k in (1, 0)]))
        writer.commit("success")
    store.trim("ep-000000", 4, 17)
    store.merge(store.split("ep-000001", 7))
    store.delete(["ep-000002"])
    store.relabel(["ep-000003"], verdict="failure")
    store.filter("verdict == 'failure'", "failed")
    return store


def shown(store: Store) -> dict[str, tuple[np.ndarray, np.ndarray, str, str]]:
    return {e.id: (e.rows(), e.stream("control"), e.attrs["verdict"], e.attrs["task"]) for e in store.episodes}


def assert_shows(store: Store, before: dict[str, tuple[np.ndarray, np.ndarray, str, str]]) -> None:
    assert list(shown(store)) == list(before)
    for name, (rows, stream, *labels) in shown(store).items():
        assert np.array_equal(rows, before[name][0])
        assert np.array_equal(stream, before[name][1])
        assert tuple(labels) == before[name][2:]


def assert_whole(episode: Episode) -> None:
    assert episode.is_whole
    assert not episode.attrs["edited"]
    assert [what for recording in episode.recordings for what in damages(recording)] == []


def test_edits_become_final_and_no_picture_changes(store: Store) -> None:
    before = shown(store)
    done = compact(store)
    assert (done.rewritten, done.removed) == (3, 2)
    assert done.after < done.before
    assert_shows(store, before)
    assert len(list((store.path / "episodes").glob("ep-*"))) == 3
    for episode in store.episodes:
        assert_whole(episode)
    with pytest.raises(StoreError, match="compact"):
        store.undo()


def test_a_view_keeps_its_episodes(store: Store) -> None:
    compact(store)
    assert [e.id for e in Store.open(f"{store.path}@failed").episodes] == ["ep-000003"]


def test_what_is_compact_already_is_left_alone(store: Store) -> None:
    compact(store)
    folders = sorted((store.path / "episodes").glob("ep-*"))
    assert compact(store).rewritten == 0
    assert sorted((store.path / "episodes").glob("ep-*")) == folders


@pytest.mark.parametrize("codec", ["av1", "h264"])
def test_pictures_become_video_that_looks_the_same_and_depth_stays_bit_for_bit(store: Store, codec: str) -> None:
    before = shown(store)
    assert compact(store, codec).rewritten == 3
    for episode in store.episodes:
        rows = before[episode.id][0]
        assert_whole(episode)
        assert episode.attrs["was"]
        assert np.array_equal(episode["depth.front"], rows["depth.front"])
        for step in (0, 1, 5, len(episode) - 1):  # in the middle of a group of pictures, too
            (new,) = episode.read("image.front", step, step + 1)
            likeness = [ssim(old, new) for old in rows["image.front"]]
            assert int(np.argmax(likeness)) == step
            assert likeness[step] > 0.9
        recording = episode.recordings[0].array("image.front")
        assert recording.codec is not None
        assert recording.codec.name == codec


def test_video_that_is_cut_between_groups_is_copied_and_within_one_compressed_again(store: Store) -> None:
    compact(store, "av1")
    store.trim("ep-000003", 3, 15)
    old = store["ep-000003"]
    chunks = [bytes(chunk) for chunk in old.recordings[0].array("image.front").chunks(1, 5)]
    pictures = old["image.front"]
    compact(store)
    new = store["ep-000003"]
    assert [bytes(chunk) for chunk in new.recordings[0].array("image.front").chunks()] == chunks
    assert np.array_equal(new["image.front"], pictures)
    store.trim("ep-000003", 1, 12)
    compact(store)
    assert_whole(store["ep-000003"])
    assert min(map(ssim, pictures[1:12], store["ep-000003"]["image.front"])) > 0.9


def test_an_older_generation_is_shown_when_the_newest_cannot_be_read(store: Store) -> None:
    folder = store.path / "episodes" / "ep-000003~1"
    folder.mkdir()
    (folder / "zarr.json").write_text("{")
    assert store["ep-000003"].attrs["verdict"] == "failure"
    assert store.catalog.broken.keys() == {"ep-000003~1"}
    with pytest.raises(StoreError, match=r"ep-000003~1 cannot be read.*--fix"):
        compact(store)


def test_a_damaged_episode_that_was_hidden_is_put_aside_and_not_removed(store: Store) -> None:
    folder = store["ep-000003"].path
    chunk = next((folder / "q").glob("c.*"))
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
    store.delete(["ep-000003"])
    assert compact(store).removed == 2
    assert not folder.exists()
    assert (store.path / "damaged" / folder.name / "q").is_dir()
    assert "ep-000003" not in shown(store)


def test_an_episode_in_a_codec_that_is_not_installed_is_put_aside_and_not_removed(store: Store) -> None:
    folder = store["ep-000003"].path
    metadata = folder / "image.front" / "zarr.json"
    metadata.write_text(metadata.read_text().replace("imagecodecs_jpeg", "not_here"))
    store.delete(["ep-000003"])
    compact(store)
    assert (store.path / "damaged" / folder.name).is_dir()


def test_pictures_that_another_program_compressed_are_compressed_anew_when_a_codec_is_said(store: Store) -> None:
    episode = store["ep-000003"]
    before = episode["image.front"]
    group = zarr.open_group(episode.path, mode="a")
    group.create_array("image.front", data=before, chunks=(2, *before.shape[1:]), overwrite=True)
    store.close()  # as one would while another program writes in it
    store = Store.open(store.path)
    with pytest.raises(StoreError, match=r"image.front is in a codec of another program.*codec=zstd"):
        compact(store)
    compact(store, "zstd")
    assert_whole(store["ep-000003"])
    assert np.array_equal(store["ep-000003"]["image.front"], before)


@pytest.mark.parametrize(("recorded", "kept"), [("jpeg", "av1"), ("zstd", "zstd"), ("lz4", "lz4")])
def test_by_default_pictures_become_video_unless_they_were_recorded_bit_for_bit(
    tmp_path: Path, recorded: str, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.create(tmp_path / "t", SPEC, {"name": "cell", "rate": 10.0}, recorded) as store:
        writer = store.writer({"kind": "collect"})
        writer.append(SPEC.record(time=1.0))
        writer.commit("success")
    assert compact_cli.run({"store": str(store.path), "codec": "auto"}) == 0
    codec = store.episodes[0].recordings[0].array("image.front").codec
    assert codec is not None
    assert codec.name == kept
    assert ("pictures in av1" if kept == "av1" else "pictures as they were") in capsys.readouterr().out


def test_a_view_is_not_compacted(store: Store) -> None:
    store.close()
    with pytest.raises(StoreError, match="is a view: compact the whole store"):
        compact(Store.open(f"{store.path}@failed"))


def test_rows_that_were_cut_away_do_not_count_as_missing(store: Store) -> None:
    assert store["ep-000000"].attrs["drops"] == 0
    store.split("ep-000003", 3)
    assert [episode.attrs["drops"] for episode in store.episodes] == [0] * 4


def test_a_damaged_episode_stops_compact_and_leaves_no_copy_behind(store: Store) -> None:
    path = store["ep-000000"].recordings[0].array("q").path / "c.0.0"
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(StoreError, match="restore the file from a copy"):
        compact(store, "av1")
    assert [entry.name for entry in (store.path / "writing").iterdir()] == ["zarr.json"]
