"""LeRobotDatasets that lerobot recorded come in, and what goes out is opened by lerobot with the same numbers."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.spec import Field, Spec
from robot_stack.station import Station
from robot_stack.store import Store
from robot_stack.store.codecs.video import Video
from robot_stack.store.formats import export, import_source, open_source
from tests.robot_stack.store.formats import lerobot_recording as lerobot

REAL = Path(__file__).parents[5] / "shared/data/pusht_human_v7/pusht_cchi_v7_replay.zarr"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="the PushT demonstrations are not beside this checkout")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lerobot.record(tmp_path_factory.mktemp("lerobot") / "recorded")


@pytest.fixture(scope="module")
def brought(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """What lerobot recorded, in a store."""
    path = tmp_path_factory.mktemp("store") / "brought"
    assert import_source(open_source(recorded), path).warnings == []
    return Store.open(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three episodes as one of our stations records them."""
    path = tmp_path_factory.mktemp("ours") / "store"
    station = Station("cell", 6, {"front": (lerobot.HEIGHT, lerobot.WIDTH), "wrist": (48, 40)}, 10.0, objects=("cube",))
    spec = station.row + Spec([Field("image.depth", (48, 48), "u2", "mm"), Field("deep", (2, 1, 2, 1, 2, 3), "f4")])
    with Store.create(path, spec, {"name": "cell", "robot": "ur5e", "rate": 10.0}) as made:
        for episode, length in enumerate(lerobot.LENGTHS):
            writer = made.writer({"kind": "collect", "task": f"task {episode % 2}", "operator": "ada"})
            for step in range(length):
                writer.append(row(spec, episode, step))
            writer.commit("success")
    return Store.open(path)


def row(spec: Spec, episode: int, step: int) -> Any:
    rng = np.random.default_rng(100 * episode + step)
    record = spec.record()
    for field in spec:
        if field.dtype[1] == "f":
            record[field.name] = rng.normal(size=field.shape)
        else:
            record[field.name] = rng.integers(0, 3000 if field.dtype == "<u2" else 4, field.shape)
    record["time"] = 1000.0 + step / 10 + rng.uniform(0, 0.01)
    record["image.front"] = lerobot.picture(episode, step)
    record["image.wrist"] = 10 * step
    return record


@pytest.fixture(scope="module")
def exported(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out") / "v3.0"
    export(store, path, "lerobot")
    return path


def psnr(one: Any, other: Any) -> float:
    error = np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def together(store: Store, name: str) -> Any:
    return np.concatenate([episode[name] for episode in store.episodes])


def test_what_lerobot_recorded_comes_in_as_it_was(brought: Store) -> None:
    assert [len(episode) for episode in brought.episodes] == list(lerobot.LENGTHS)
    for number, episode in enumerate(brought.episodes):
        frames = [lerobot.frame(number, step) for step in range(len(episode))]
        for name in ("observation.state", "action", "grid"):
            assert np.array_equal(episode[name], [frame[name] for frame in frames])
        for name in ("next.reward", "next.success"):
            assert np.array_equal(episode[name], [frame[name][0] for frame in frames])
        assert np.array_equal(episode["image.wrist"], [frame["observation.images.wrist"] for frame in frames])
        texts = episode.attrs["texts"]["phase"]
        assert [texts[index] for index in episode["phase"]] == [frame["phase"] for frame in frames]
        assert episode.attrs["task"] == episode.attrs["language"] == frames[0]["task"]
        assert episode.attrs["verdict"] == ("failure" if number == 1 else "success")
        assert episode.attrs["time_source"] == "synthetic"
        assert np.allclose(np.diff(episode["time"]), 0.1, atol=1e-12)
    assert brought.station["robot"] == "ur5e"
    assert brought.station["names"]["observation.state"] == ["x", "y", "grip"]


def test_what_a_killed_lerobot_left_is_saved_to_the_last_whole_episode(brought: Store, tmp_path: Path) -> None:
    killed = lerobot.record_until_killed(tmp_path / "killed")
    with pytest.raises(ConnectionError, match="offline mode"):  # lerobot finds no episodes and asks the hub for them
        lerobot.Opened(killed)
    done = import_source(open_source(killed), tmp_path / "s")
    assert (done.new, done.rows) == (3, sum(lerobot.LENGTHS))
    assert "has no footer, because its recording was killed before `finalize()`" in done.warnings[1]
    saved = Store.open(tmp_path / "s")
    for field in brought.spec:
        assert together(saved, field.name).tobytes() == together(brought, field.name).tobytes(), field.name
    assert [episode.attrs["task"] for episode in saved.episodes] == [
        episode.attrs["task"] for episode in brought.episodes
    ]


def test_pictures_come_in_as_lerobot_shows_them(brought: Store, recorded: Path) -> None:
    theirs, ours = lerobot.Opened(recorded, "pyav"), together(brought, "image.front")
    for number in range(len(theirs)):
        assert psnr(theirs[number]["observation.images.front"], ours[number]) > 45
    steps = [(episode, step) for episode, length in enumerate(lerobot.LENGTHS) for step in range(length)]
    assert min(psnr(lerobot.picture(*at), shown) for at, shown in zip(steps, ours, strict=True)) > 28


def test_videos_come_in_and_go_out_without_being_encoded_again(brought: Store, recorded: Path, tmp_path: Path) -> None:
    stored = [episode.recordings[0].array("image.front").codec for episode in brought.episodes]
    assert stored == [Video("av1", 2, None, None)] * 3
    export(brought, tmp_path / "out", "lerobot")
    before, after = lerobot.Opened(recorded), lerobot.Opened(tmp_path / "out")
    for number in range(len(before)):
        for name in ("observation.images.front", "observation.images.wrist", "observation.state", "next.reward"):
            assert np.array_equal(before[number][name], after[number][name]), (number, name)
    import_source(open_source(tmp_path / "out"), tmp_path / "back")
    back = Store.open(tmp_path / "back")
    for field in brought.spec:
        assert together(back, field.name).tobytes() == together(brought, field.name).tobytes(), field.name


def test_lerobot_opens_an_export_with_the_same_numbers(store: Store, exported: Path) -> None:
    theirs = lerobot.Opened(exported)
    assert (len(theirs), theirs.dataset.num_episodes, theirs.dataset.fps) == (sum(lerobot.LENGTHS), 3, 10)
    for field in store.spec:
        if not field.name.startswith("image.") or field.name.endswith(".time"):
            found = theirs.column(field.name.replace("image", "camera"))
            wanted = together(store, field.name)
            assert np.array_equal(found.reshape(wanted.shape), wanted), field.name
    state = np.column_stack([together(store, "q"), together(store, "grip")])
    action = np.column_stack([together(store, "target.q"), together(store, "target.grip")])
    assert np.array_equal(theirs.column("observation.state"), state.astype("f4"))
    assert np.array_equal(theirs.column("action"), action.astype("f4"))
    assert theirs.dataset.meta.features["action"]["names"][-1] == "target.grip"
    assert theirs[0]["task"] == "task 0"
    assert theirs[len(theirs) - 6]["task"] == "task 1"


@pytest.mark.parametrize("backend", ["torchcodec", "pyav"])
def test_every_picture_of_an_export_is_that_of_its_row(store: Store, exported: Path, backend: str) -> None:
    theirs = lerobot.Opened(exported, backend)
    front, depth = together(store, "image.front"), together(store, "image.depth")
    for number in range(len(theirs)):
        item = theirs[number]
        assert psnr(item["observation.images.front"], front[number]) > 28
        assert np.array_equal(item["observation.images.depth"][..., 0] / 255, depth[number])


def test_a_policy_gets_its_windows_from_an_export(store: Store, exported: Path) -> None:
    steps = {"action": [0.0, 0.1, 0.2], "observation.images.front": [-0.1, 0.0]}
    item = lerobot.Opened(exported, delta_timestamps=steps)[6]  # the last of its episode
    assert np.array_equal(item["action_is_pad"], [False, True, True])
    assert item["action"].shape == (3, 7)
    assert psnr(item["observation.images.front"][0], store.episodes[0]["image.front"][5]) > 28


def test_statistics_are_those_that_lerobot_computes(store: Store, exported: Path) -> None:
    with lerobot.quiet():
        from lerobot.datasets.compute_stats import aggregate_stats, compute_episode_stats

        theirs = lerobot.Opened(exported)
        features = {n: f for n, f in theirs.dataset.features.items() if f["dtype"] not in ("video", "image")}
        ends = np.cumsum([0, *lerobot.LENGTHS])
        each = [
            compute_episode_stats(
                {name: typed(theirs, name, feature)[a:b] for name, feature in features.items()}, features
            )
            for a, b in itertools.pairwise(ends)
        ]
        wanted = aggregate_stats(each)
        aggregate_stats([theirs.dataset.meta.stats])  # it checks the shapes, also those of the pictures
    stats = json.loads((exported / "meta/stats.json").read_text())
    for name, values in wanted.items():
        for key, value in values.items():
            assert np.allclose(stats[name][key], value, rtol=1e-5, atol=1e-7), (name, key)
    picture = together(store, "image.front").reshape(-1, 3) / 255
    assert np.allclose(np.ravel(stats["observation.images.front"]["mean"]), picture.mean(axis=0), atol=1e-6)


def typed(opened: lerobot.Opened, name: str, feature: dict[str, Any]) -> Any:
    values = opened.column(name).astype(feature["dtype"])
    return values.reshape(-1) if tuple(feature["shape"]) == (1,) else values


def test_lerobot_converts_and_opens_an_export_in_v21(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "v2.1", "lerobot2.1")
    theirs = lerobot.Opened(lerobot.convert_to_v30(tmp_path / "v2.1", tmp_path / "converted"))
    assert np.array_equal(theirs.column("q"), together(store, "q"))
    front = together(store, "image.front")
    assert min(psnr(theirs[n]["observation.images.front"], front[n]) for n in range(len(theirs))) > 28


def test_depths_come_in_as_lerobot_gives_them(tmp_path: Path) -> None:
    recorded = lerobot.record_depth(tmp_path / "depth")
    done = import_source(open_source(recorded), tmp_path / "s")
    (episode,) = Store.open(tmp_path / "s").episodes
    assert (episode.spec["image.video"].dtype, episode.spec["image.video"].shape) == ("<u2", (64, 80))
    theirs = lerobot.Opened(recorded, depth_output_unit="mm")
    for step in range(5):
        shown = theirs[step]["observation.images.video"][..., 0] / 255
        assert np.allclose(shown, episode["image.video"][step], rtol=0, atol=1.01)  # the last bit of exp(), rounded
        assert np.abs(episode["image.video"][step] - lerobot.depth(step)[..., 0].astype(int)).max() <= 2  # 12 bit
        assert np.array_equal(episode["image.image"][step], lerobot.depth(step)[..., 0])
    assert done.warnings == []


@pytest.mark.parametrize("format", ["lerobot", "lerobot2.1"])
def test_an_export_comes_back_as_it_was(store: Store, tmp_path: Path, format: str) -> None:
    export(store, tmp_path / "out", format)
    import_source(open_source(tmp_path / "out"), tmp_path / "back")
    back = Store.open(tmp_path / "back")
    assert back.spec == store.spec
    for one, other in zip(store.episodes, back.episodes, strict=True):
        for field in store.spec:
            if field.name in ("image.front", "image.wrist"):
                assert psnr(one[field.name], other[field.name]) > 28
            else:
                assert one[field.name].tobytes() == other[field.name].tobytes(), field.name
        assert other.attrs["operator"] == "ada"
        assert other.attrs["time_source"] == "measured"


def test_pictures_one_by_one_come_back_bit_for_bit(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out", "lerobot", pictures="image")
    import_source(open_source(tmp_path / "out"), tmp_path / "back")
    for name in ("image.front", "image.wrist"):
        assert np.array_equal(together(Store.open(tmp_path / "back"), name), together(store, name))
    item = lerobot.Opened(tmp_path / "out")[3]
    assert np.array_equal(np.rint(item["observation.images.front"]), store.episodes[0]["image.front"][3])


def test_what_was_imported_goes_out_under_the_names_it_came_with(brought: Store, tmp_path: Path) -> None:
    export(brought, tmp_path / "out", "lerobot")
    theirs = lerobot.Opened(tmp_path / "out").dataset.features
    assert theirs["observation.state"]["names"] == ["x", "y", "grip"]
    assert {"action", "next.reward", "observation.images.front", "observation.images.wrist"} <= set(theirs)


def test_state_and_action_may_be_chosen(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out", "lerobot", state=["pose"], action=["requested.pose", "requested.grip"])
    theirs = lerobot.Opened(tmp_path / "out")
    assert np.array_equal(theirs.column("observation.state"), together(store, "pose").astype("f4"))
    assert theirs.column("action").shape[1] == 8


@needs_real
def test_real_demonstrations_go_out_to_lerobot(tmp_path: Path) -> None:
    source = open_source(REAL)
    type(source).__len__, length = lambda _: 3, type(source).__len__
    try:
        import_source(source, tmp_path / "s")
    finally:
        type(source).__len__ = length
    store = Store.open(tmp_path / "s")
    export(store, tmp_path / "out", "lerobot")
    theirs = lerobot.Opened(tmp_path / "out")
    assert [int(n) for n in theirs.dataset.meta.episodes["length"]] == [161, 118, 141]
    for name in ("agent", "block", "keypoints"):
        assert np.array_equal(theirs.column(name), together(store, name))
    assert np.array_equal(theirs.column("action"), together(store, "target.position").astype("f4"))
    assert psnr(theirs[300]["observation.images.top"], together(store, "image.top")[300]) > 28
