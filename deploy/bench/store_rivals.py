"""What others record with, on the same pictures; run by `store_work.rival` in a process of its own.

LeRobotDataset as `lerobot-record` calls it, and a zarr v2 buffer of the layout and with the codecs of
diffusion_policy's `ReplayBuffer` (`compressors='disk'`: Blosc zstd 5 with bitshuffle; one picture a chunk), through
the zarr library that is installed here. Its real robot keeps mp4 files while it records and builds that buffer later.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.bench.store_scene import FILMED, motion, shown
from deploy.bench.store_work import disk_bytes
from robot_stack.clock import Rate, now
from robot_stack.store.codecs.similarity import psnr, ssim

STATE, ACTION = "observation.state", "action"
TASK = "bench"
WRITERS = 4
"""Threads a camera that write pictures: the default of `lerobot-record`."""

Given = Mapping[str, Any]
_COMPARED = 12  # pictures of each camera that are compared with what was filmed


def record_lerobot(given: Given) -> dict[str, Any]:
    """An episode at 30 rows a second. way: 'default', pictures as PNG and a video of them afterwards; 'streaming'."""
    film, rows, folder = np.load(given["film"]), int(given["rows"]), Path(given["folder"]) / "data"
    cameras = film.shape[1]
    how = {"streaming_encoding": True} if given["way"] == "streaming" else {"image_writer_threads": WRITERS * cameras}
    states = motion(rows)
    took, before = [], _cpu()
    with _warnings() as said:
        dataset = lerobot_dataset(folder, film, how)
        rate = Rate(FILMED)
        for row in range(rows):
            rate.sleep()
            began = now()
            dataset.add_frame(lerobot_frame(film, row, states[row]))
            took.append(now() - began)
        missed, began = rate.missed, now()
        dataset.save_episode()
        save = now() - began
        dataset.finalize()
    cpu = _cpu() - before
    dropped = sum("dropped frame" in line and _number_before(line, "dropped frame") for line in said)
    similarity = _likeness(folder, film, np.linspace(0, rows - 1, _COMPARED).astype(int).tolist())
    times = {"p50": np.median(took), "p99": np.percentile(took, 99), "max": max(took)}
    size = disk_bytes(folder)
    return {
        **times,
        **similarity,
        "rows": rows,
        "missed": missed,
        "dropped": dropped,
        "save": save,
        "cpu": cpu,
        "bytes": size,
    }


def record_zarr(given: Given) -> dict[str, Any]:
    """Rows appended one by one to a zarr v2 buffer, as fast as it goes."""
    film, rows, folder = np.load(given["film"]), int(given["rows"]), Path(given["folder"]) / "data"
    states = motion(rows)
    buffer = ZarrBuffer(folder, film.shape[1:], states.shape[1])
    took, before = [], _cpu()
    for row in range(rows):
        began = now()
        buffer.append(film[shown(row, len(film))][None], states[row][None])
        took.append(now() - began)
    times = {"p50": np.median(took), "p99": np.percentile(took, 99), "max": max(took)}
    return {**times, "rows": rows, "busy": sum(took), "cpu": _cpu() - before, "bytes": disk_bytes(folder)}


def encode_lerobot(given: Given) -> dict[str, Any]:
    """An episode in LeRobot's default encoding: its size, likeness, and what two pictures at random cost."""
    from lerobot.datasets.video_utils import decode_video_frames

    film, rows, folder = np.load(given["film"]), int(given["rows"]), Path(given["folder"]) / "data"
    dataset = lerobot_dataset(folder, film, {"image_writer_threads": WRITERS})
    record(dataset, film, motion(rows), 0)
    dataset.finalize()
    similarity = _likeness(folder, film, list(range(0, rows, int(given["every"]))))
    (video,) = (folder / "videos" / camera(0)).rglob("*.mp4")
    costs = {}
    for backend in ("torchcodec", "pyav"):
        times = []
        for row in given["at"]:
            began = now()
            decode_video_frames(video, [(row - 1) / FILMED, row / FILMED], 1e-4, backend, return_uint8=True)
            times.append(now() - began)
        costs[backend] = times
    return {"bytes": disk_bytes(folder / "videos"), **similarity, "costs": costs}


def camera(number: int) -> str:
    """The name of a camera's pictures in LeRobot's data set."""
    return f"observation.images.{number}"


def lerobot_dataset(folder: Path, film: NDArray[np.uint8], how: Mapping[str, Any]) -> Any:
    """An empty LeRobotDataset for a film (n, cameras, height, width, 3). how: further arguments of `create`."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    axes = ["height", "width", "channels"]
    numbers = {"dtype": "float32", "shape": (6,), "names": [f"joint_{joint}" for joint in range(6)]}
    videos = {camera(n): {"dtype": "video", "shape": film.shape[2:], "names": axes} for n in range(film.shape[1])}
    features = {STATE: numbers, ACTION: numbers, **videos}
    return LeRobotDataset.create("bench/bench", round(FILMED), features, root=folder, **how)


def lerobot_frame(film: NDArray[np.uint8], number: int, state: NDArray[np.float64]) -> dict[str, Any]:
    """One row for `add_frame`."""
    pictures = film[shown(number, len(film))]
    values = state.astype(np.float32)
    return {STATE: values, ACTION: values, "task": TASK, **{camera(n): one for n, one in enumerate(pictures)}}


def record(dataset: Any, film: NDArray[np.uint8], states: NDArray[np.float64], first: int) -> None:
    """An episode, as fast as it goes. first: number of the picture that it begins with."""
    for row, state in enumerate(states):
        dataset.add_frame(lerobot_frame(film, first + row, state))
    dataset.save_episode()


class ZarrBuffer:
    """A replay buffer, zarr v2, that is appended to. pictures: shape (cameras, height, width, 3) of a row's."""

    def __init__(self, folder: Path, pictures: tuple[int, ...], joints: int) -> None:
        import zarr
        from numcodecs import Blosc

        disk = Blosc("zstd", clevel=5, shuffle=Blosc.BITSHUFFLE)
        root = zarr.open_group(folder, mode="w", zarr_format=2)
        data, meta = root.create_group("data"), root.create_group("meta")

        def array(group: Any, name: str, row: tuple[int, ...], chunk: int, dtype: str) -> Any:
            shape, chunks = (0, *row), (chunk, *row)
            return group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, compressors=disk)

        self._numbers = [array(data, name, (joints,), 1 << 14, "f8") for name in ("state", "action")]
        self._pictures = [array(data, f"camera_{n}", pictures[1:], 1, "u1") for n in range(pictures[0])]
        self._ends = array(meta, "episode_ends", (), 1 << 14, "i8")

    def append(self, pictures: NDArray[np.uint8], states: NDArray[np.float64]) -> None:
        """Add rows: (n, cameras, height, width, 3) and (n, joints)."""
        for numbers in self._numbers:
            numbers.append(states)
        for place, array in enumerate(self._pictures):
            array.append(pictures[:, place])

    def end(self) -> None:
        """The episode ends with the last row."""
        self._ends.append(np.array([self._numbers[0].shape[0]]))


def _likeness(folder: Path, film: NDArray[np.uint8], rows: list[int]) -> dict[str, float]:
    """SSIM, and PSNR [dB], of what is read back; of the worst camera."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("bench/bench", root=folder, return_uint8=True)
    pairs = np.empty((len(rows), film.shape[1], 2))
    for at, row in enumerate(rows):
        item = dataset[row]
        for place in range(film.shape[1]):
            stored = item[camera(place)].numpy().transpose(1, 2, 0)
            original = film[shown(row, len(film)), place]
            pairs[at, place] = ssim(stored, original), psnr(stored, original)
    worst = pairs.mean(axis=0).min(axis=0)
    return {"ssim": float(worst[0]), "psnr": float(worst[1])}


def _cpu() -> float:
    """Time of a core that this process and its ended children took [s]."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger().removeHandler(handler)


def _number_before(line: str, words: str) -> int:
    """'Episode finished with 12 dropped frame(s)': 12."""
    last = line.split(words)[0].split()[-1]
    return int(last) if line.startswith("Episode finished") and last.isdigit() else 0


def main() -> None:
    """`python -m deploy.bench.store_rivals TASK FOLDER`."""
    from deploy.bench import store_rival_loaders

    task, folder = sys.argv[1], Path(sys.argv[2])
    tasks: dict[str, Callable[[Given], dict[str, Any]]] = {
        "record_lerobot": record_lerobot,
        "record_zarr": record_zarr,
        "encode_lerobot": encode_lerobot,
        "make_sets": store_rival_loaders.make_sets,
        "load_windows": store_rival_loaders.load_windows,
    }
    result = tasks[task](json.loads((folder / "given.json").read_text()))
    (folder / "result.json").write_text(json.dumps(result, default=float))


if __name__ == "__main__":
    main()
