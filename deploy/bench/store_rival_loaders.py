"""Random windows for training: from our store and our cache, from LeRobotDataset and from a zarr v2 buffer, in turn.

Runs in a process of its own (`store_work.rival`). All are read through one `torch.utils.data.DataLoader` and collated
to the same batches of pictures in bytes: 16 rows of state and action, 2 pictures of each camera. `policies.windows`,
which gathers batches by itself, is measured as training uses it: without workers.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from deploy.bench.store_rivals import ACTION, STATE, ZarrBuffer, camera, lerobot_dataset, record
from deploy.bench.store_scene import FILMED, motion, shown
from deploy.bench.store_work import forget
from policies import Window
from policies.pictures import Pictures, Place
from policies.windows import Windows
from robot_stack.clock import now
from robot_stack.store import Store
from robot_stack.store.cache import FrameCache
from robot_stack.store.windows import WindowReader

HORIZON, HISTORY, BATCH = 16, 2, 16
TABLES, IMAGES = ["q", "target.q"], ["image.front", "image.wrist"]
LONG = 1.0
"""A measurement of what is in memory takes about so long [s]."""

Given = Mapping[str, Any]
Reader = Callable[[NDArray[np.int64]], int]
"""Reads windows by their numbers; returns how many came."""


def make_sets(given: Given) -> dict[str, Any]:
    """The same episodes as LeRobot's data set and as a zarr v2 buffer, in `into`."""
    film, into, rows = np.load(given["film"]), Path(given["into"]), int(given["rows"])
    dataset = lerobot_dataset(into / "lerobot", film, {"image_writer_threads": 4})
    buffer = ZarrBuffer(into / "zarr", film.shape[1:], 6)
    for episode in range(int(given["episodes"])):
        states, first = motion(rows), 7 * episode
        record(dataset, film, states, first)
        buffer.append(film[shown(first + np.arange(rows), len(film))], states)
        buffer.end()
    dataset.finalize()
    return {}


def load_windows(given: Given) -> dict[str, Any]:
    """Windows a second of every way to read them, `repeats` times in turn, cold and warm; and memory that they add."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(given["seed"])
    count = int(given["rows"]) * int(given["episodes"])
    ways, readers = _ways(given), {}
    memory, speed = {}, {}
    for name, way in ways.items():
        before, first = _memory(), generator.integers(0, count, 2 * BATCH)
        readers[name] = way.make()
        readers[name](first)
        speed[name] = _rate(readers[name], first)
        memory[name] = _memory() - before
    cold: dict[str, list[float]] = {name: [] for name, way in ways.items() if way.folder is not None}
    warm: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(int(given["repeats"])):
        numbers = generator.permutation(count)
        for name in cold:
            cold[name].append(_cold(ways[name], readers[name], numbers, int(given["cold"])))
        for name in warm:
            windows = int(np.clip(speed[name] * LONG, 2 * BATCH, 4000)) // BATCH * BATCH
            warm[name].append(_rate(readers[name], generator.integers(0, count, windows)))
    return {"rates": {"cold": cold, "warm": warm}, "memory": memory}


@dataclass(frozen=True)
class Way:
    """One way to read windows. folder: of its files, None if it has none. loads: into memory, before the first one."""

    make: Callable[[], Reader]
    folder: Path | None
    loads: bool = False


def _ways(given: Given) -> dict[str, Way]:
    """By name: the store and the cache, LeRobot, zarr v2, and the DataLoader alone. Those named `training` are
    `policies.windows`, which has no workers."""
    workers = int(given["workers"])
    stores = {codec: Path(path) for codec, path in given["stores"].items()}
    jpeg, cache = Store.open(stores["jpeg"]).episodes, FrameCache(Path(given["cache"]))
    lerobot, zarr = Path(given["into"]) / "lerobot", Path(given["into"]) / "zarr"

    def loader(dataset: Callable[[], Any], folder: Path | None) -> Way:
        return Way(lambda: _loaded(dataset(), workers), folder)

    def straight(path: Path, cached: FrameCache | None = None) -> WindowReader:
        return WindowReader(Store.open(path).episodes, TABLES, IMAGES, HISTORY, HORIZON, cache=cached)

    def training(resident: bool) -> Way:
        pictures = Pictures(None, cache, Place.DEVICE if resident else Place.DISK)
        return Way(lambda: _batches(jpeg, pictures), cache.folder, loads=resident)

    return {
        "store jpeg": loader(lambda: straight(stores["jpeg"]), stores["jpeg"]),
        "store zstd": loader(lambda: straight(stores["zstd"]), stores["zstd"]),
        "zarr v2": loader(lambda: ZarrWindows(zarr), zarr),
        "LeRobot torchcodec": loader(lambda: _lerobot(lerobot, "torchcodec"), lerobot),
        "LeRobot pyav": loader(lambda: _lerobot(lerobot, "pyav"), lerobot),
        "cache": loader(lambda: straight(stores["jpeg"], cache), cache.folder),
        "training, cache on disk": training(resident=False),
        "training, cache in memory": training(resident=True),
        "DataLoader, one window again and again": loader(lambda: _Same(straight(stores["jpeg"])[0]), None),
    }


def _cold(way: Way, reader: Reader, numbers: NDArray[np.int64], some: int) -> float:
    """Windows a second while nothing of the files is in the system's memory: some, or where all pictures are loaded
    first, that and one epoch."""
    assert way.folder is not None
    forget(way.folder)
    began = now()
    windows = way.make()(numbers) if way.loads else reader(numbers[:some])
    return windows / (now() - began)


class ZarrWindows:
    """Windows of a replay buffer on disk: numbers in memory, pictures read from the file, as diffusion_policy's
    `SequenceSampler` slices them; ends of episodes are padded alike."""

    def __init__(self, folder: Path) -> None:
        import zarr

        self._root = zarr.open_group(folder, mode="r", zarr_format=2)
        data: Any = self._root["data"]
        self._numbers = {name: data[name][:] for name in ("state", "action")}
        self._pictures = {name: array for name, array in data.arrays() if name.startswith("camera")}
        ends: Any = self._root["meta/episode_ends"]
        self._ends = ends[:]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, now: int) -> dict[str, Any]:
        episode = int(np.searchsorted(self._ends, now, side="right"))
        start, end = int(self._ends[episode - 1]) if episode else 0, int(self._ends[episode])
        rows = np.arange(now + 1 - HISTORY, now + HORIZON).clip(start, end - 1)
        window: dict[str, Any] = {name: values[rows] for name, values in self._numbers.items()}
        for name, array in self._pictures.items():
            first = max(start, now + 1 - HISTORY)
            pictures = array[first : now + 1]
            short = HISTORY - len(pictures)
            window[name] = np.concatenate([np.repeat(pictures[:1], short, axis=0), pictures]) if short else pictures
        return window


class _Same:
    """A data set of one window: what is left is the DataLoader's own work."""

    def __init__(self, window: Mapping[str, NDArray[Any]]) -> None:
        self._window = dict(window)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, now: int) -> dict[str, NDArray[Any]]:
        return self._window


def _lerobot(root: Path, backend: str) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    ahead, back = [step / FILMED for step in range(HORIZON)], [-1 / FILMED, 0.0]
    times = {STATE: ahead, ACTION: ahead, camera(0): back, camera(1): back}
    how = {"delta_timestamps": times, "video_backend": backend, "return_uint8": True}
    return LeRobotDataset("bench/bench", root=root, **how)


class _Chosen:
    """The numbers that it was given last."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


def _loaded(dataset: Any, workers: int) -> Reader:
    """Through a DataLoader."""
    chosen = _Chosen()
    loader = DataLoader(dataset, BATCH, sampler=chosen, num_workers=workers, persistent_workers=workers > 0)

    def read(numbers: NDArray[np.int64]) -> int:
        chosen.numbers = numbers.tolist()
        for _ in loader:
            pass
        return len(numbers)

    return read


def _batches(episodes: Any, pictures: Pictures) -> Reader:
    """By `policies.windows`, as training reads."""
    windows = Windows(episodes, ["q", *IMAGES], ["target.q"], Window(HISTORY, HORIZON, 1), pictures=pictures)

    def read(numbers: NDArray[np.int64]) -> int:
        parts = torch.from_numpy(numbers).split(BATCH)
        for part, following in zip_longest(parts, parts[1:]):
            if following is not None:
                windows.expect(following)
            windows.batch(part)
        return len(numbers)

    return read


def _rate(read: Reader, numbers: NDArray[np.int64]) -> float:
    """Windows a second."""
    began = now()
    return read(numbers) / (now() - began)


def _memory() -> int:
    """Of this process and its workers, what they share counted once [B]."""
    gc.collect()
    here = psutil.Process()
    return sum(int(process.memory_full_info().pss) for process in [here, *here.children(recursive=True)])
