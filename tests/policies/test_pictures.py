"""Memory, cache and store give training the same samples, in the same order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from safetensors.torch import load_file

from policies import Window, train
from policies.goal import Goal
from policies.pictures import Pictures, Place, choose_place, find_pictures
from policies.train import Stop
from policies.windows import Order, Windows
from robot_stack.store import Store
from robot_stack.store.cache import FrameCache
from robot_stack.store.windows import WindowReader
from robot_stack.types import ConfigError

WINDOW = Window(history=3, horizon=8, execute=4)
OBSERVE, ACT = ["pose", "image.top"], ["requested.pose", "requested.grip"]
AFTER = [(kind, name) for kind in ("future", "goal") for name in ("image.top", "pose")]
NOWHERE = {"cache": None, "memory": 0.0}


@pytest.fixture
def config(training: dict[str, Any], config_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Of a training from pictures, shrunk."""
    policy = config_of("bc_images")
    policy["images"] = {**policy["images"], "resolution": [20, 28], "crop": [18, 24]}
    return {**training, "policy": policy}


def windows(store: Store, config: dict[str, Any]) -> Windows:
    return Windows(store.episodes, OBSERVE, ACT, WINDOW, pictures=find_pictures(config, OBSERVE, store.episodes))


def run(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    return load_file(train.train(config, Stop(), Console(quiet=True)) / "model.safetensors")


@pytest.mark.parametrize("more", [{}, {"memory": 0.0}, {"cache": None}, NOWHERE], ids=str)
def test_a_batch_is_the_same_wherever_the_pictures_are(
    store: Store, config: dict[str, Any], more: dict[str, Any]
) -> None:
    expected = Windows(store.episodes, OBSERVE, ACT, WINDOW, pictures=Pictures((20, 28)))
    found = windows(store, {**config, **more})
    assert len(found) == len(expected)
    index = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    found.expect(index)
    batches = expected.batch(index), found.batch(index)
    assert batches[0].observe.keys() == batches[1].observe.keys()
    for name, values in batches[0].observe.items():
        assert torch.equal(values, batches[1].observe[name])
        assert values.dtype == batches[1].observe[name].dtype
    assert torch.equal(batches[0].action, batches[1].action)
    assert batches[0].observe["image.top"].shape == (len(found), 3, 20, 28, 3)


@pytest.mark.parametrize("place", [Place.HOST, Place.DISK])
def test_batches_are_the_same_from_device_memory_and_disk(store: Store, place: Place) -> None:
    """Also what is told of later rows, what comes after the chunk, and whether or not a batch was expected."""

    def told(place: Place) -> Windows:
        goal = Goal(["image.top", "pose"])
        made = Windows(store.episodes, OBSERVE, ACT, WINDOW, None, Pictures((20, 28), None, place), conditioning=goal)
        made.foresee(["image.top", "pose"])
        return made

    device, other = told(Place.DEVICE), told(place)
    for step in range(4):
        orders = Order(len(device), 16, 3), Order(len(other), 16, 3)
        if step % 2:
            other.expect(orders[1](step + 1))
        expected, found = device.batch(orders[0](step)), other.batch(orders[1](step))
        assert list(expected.observe) == [*OBSERVE, *(f"{kind}.{name}" for kind, name in AFTER)]
        assert expected.observe.keys() == found.observe.keys()
        for name, values in expected.observe.items():
            assert torch.equal(values, found.observe[name]), name
        assert torch.equal(expected.action, found.action)


def test_the_future_of_a_window_is_the_row_after_its_last_action(store: Store) -> None:
    data = Windows(store.episodes, ["time", "pose"], ACT, WINDOW)
    data.foresee(["time"])
    future = data.batch(torch.arange(9)).observe["future.time"]  # all windows of the first episode, which has 12 rows
    assert future[:, 0].tolist() == pytest.approx([0.8, 0.9, 1.0, 1.1, 1.1, 1.1, 1.1, 1.1, 1.1])
    with pytest.raises(ConfigError, match="wants grip of the future, but does not observe it"):
        data.foresee(["grip"])


def test_pictures_lie_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(device: float, host: float) -> None:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (device * 1e9, 80e9))
        monkeypatch.setattr("policies.pictures.free_memory", lambda: host * 1e9)

    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    free(device=40.0, host=100.0)
    chosen = [choose_place(int(size * 1e9), None, cuda) for size in (19, 21, 51)]
    assert [place for place, _ in chosen] == [Place.DEVICE, Place.HOST, Place.DISK]
    assert "kept in the memory of cuda, where 20 GB are for them" in chosen[0][1]
    assert "where 50 GB are for them (the memory of cuda has 20 GB for them)" in chosen[1][1]
    assert "more than the 50 GB of memory that are for them" in chosen[2][1]
    assert [choose_place(int(size * 1e9), None, cpu)[0] for size in (49, 51)] == [Place.DEVICE, Place.DISK]
    assert choose_place(int(6e9), 5.0, cuda)[0] is Place.DISK
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert choose_place(int(21e9), None, cuda)[0] is Place.DISK


def test_training_ends_with_the_same_bits_wherever_the_pictures_are(config: dict[str, Any], tmp_path: Path) -> None:
    expected = run({**config, "out": str(tmp_path / "memory")})
    streamed = run({**config, "out": str(tmp_path / "streamed"), "memory": 0.0})
    uncached = run({**config, "out": str(tmp_path / "uncached"), **NOWHERE})
    for found in (streamed, uncached):
        assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_memory_is_bounded_and_said(store: Store, config: dict[str, Any]) -> None:
    total = sum(len(episode) for episode in store.episodes) * 20 * 28 * 3
    resident, streamed = windows(store, config), windows(store, {**config, "memory": 0.9 * total / 1e9})
    assert resident.bytes - streamed.bytes == total
    said = [find_pictures({**config, **more}, OBSERVE, store.episodes).said for more in ({}, {"memory": 0.0}, NOWHERE)]
    assert said[0].startswith("pictures: 0.00 GB, cached in")
    assert "kept in the memory of cpu, where 1 GB are for them" in said[0]
    small = "more than the 0 GB of memory that are for them, so threads read them from"
    assert f"cached in {config['cache']}; {small} there ahead of the training" in said[1]
    assert f"not cached; {small} the store ahead of the training" in said[2]


def test_a_full_disk_is_said_and_training_goes_on(
    config: dict[str, Any], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run({**config, "out": str(tmp_path / "cached")})
    monkeypatch.setattr("robot_stack.store.cache.RESERVE", 1e18)
    full = {**config, "cache": str(tmp_path / "full"), "memory": 0.0}
    assert "6 of 6 files cannot be in the cache" in find_pictures(full, OBSERVE, store.episodes).said
    found = run({**full, "out": str(tmp_path / "uncached")})
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_without_pictures_there_is_no_cache(training: dict[str, Any]) -> None:
    train.train(training, Stop(), Console(quiet=True))
    assert not Path(training["cache"]).exists()


def test_a_run_of_an_older_version_that_names_no_cache_can_be_read(store: Store, config: dict[str, Any]) -> None:
    older = {key: value for key, value in config.items() if key not in ("cache", "cache_limit", "memory")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(store.path.parent / "home"))
        assert len(windows(store, older)) == len(windows(store, config))
    assert len(list((store.path.parent / "home/robot-stack/pictures").iterdir())) == 6


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 4), st.integers(1, 20), st.data())
def test_windows_straight_from_the_store_are_those_of_training(
    store: Store, history: int, horizon: int, data: st.DataObject
) -> None:
    execute = data.draw(st.integers(1, min(horizon, 12)))
    window = Window(history, horizon, execute)
    trained = Windows(store.episodes, OBSERVE, ["requested.pose"], window, pictures=Pictures((20, 28)))
    tables = ["pose", "requested.pose"]
    straight = WindowReader(store.episodes, tables, ["image.top"], history, horizon, execute, resolution=(20, 28))
    assert len(straight) == len(trained)
    number = data.draw(st.integers(0, len(straight) - 1))
    batch, found = trained.batch(torch.tensor([number])), straight[number]
    now = history - 1
    assert np.array_equal(batch.observe["pose"][0], found["pose"][:history].astype(np.float32))
    assert np.array_equal(batch.observe["image.top"][0], found["image.top"])
    assert np.array_equal(batch.action[0], found["requested.pose"][now:].astype(np.float32))
    assert np.array_equal(batch.valid[0], found["valid"][now:])


def test_workers_of_a_loader_read_what_this_process_reads(store: Store, tmp_path: Path) -> None:
    reader = WindowReader(store.episodes, ["pose"], ["image.top"], resolution=(20, 28), cache=FrameCache(tmp_path))
    loader = torch.utils.data.DataLoader(reader, batch_size=16, num_workers=1, multiprocessing_context="spawn")
    batches = list(loader)
    for name in ("pose", "image.top", "valid"):
        values = torch.cat([batch[name] for batch in batches]).numpy()
        assert np.array_equal(values, np.stack([reader[i][name] for i in range(len(reader))]))
