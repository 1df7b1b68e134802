"""Data sets as lerobot's own recorder writes them, and what lerobot's own reader finds in a folder.

Importing lerobot takes 8 to 26 s and warns about much, so that only the tests that need it do, inside `quiet`.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.realtime import no_gain_of_priority

FPS = 10
LENGTHS = (7, 12, 5)
HEIGHT, WIDTH = 64, 96
FEATURES: dict[str, dict[str, Any]] = {
    "observation.state": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "grip"]},
    "action": {"dtype": "float32", "shape": (2,), "names": None},
    "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
    "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    "grid": {"dtype": "float64", "shape": (2, 4), "names": None},
    "phase": {"dtype": "string", "shape": (1,), "names": None},
    "observation.images.front": {
        "dtype": "video",
        "shape": (HEIGHT, WIDTH, 3),
        "names": ["height", "width", "channels"],
    },
    "observation.images.wrist": {"dtype": "image", "shape": (40, 48, 3), "names": ["height", "width", "channels"]},
}


@contextmanager
def quiet() -> Iterator[None]:
    """What others warn of is not ours to mend, nor the priority that their encoder takes."""
    with no_gain_of_priority(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def frame(episode: int, step: int) -> dict[str, Any]:
    """One frame; every value follows from its episode and step, and no two pictures are alike."""
    rng = np.random.default_rng(1000 * episode + step)
    return {
        "observation.state": rng.normal(size=3).astype("f4"),
        "action": rng.normal(size=2).astype("f4"),
        "next.reward": np.array([step], "f4"),
        "next.success": np.array([episode != 1 and step == LENGTHS[episode] - 1]),
        "grid": rng.normal(size=(2, 4)),
        "phase": ("reach", "grasp", "lift")[step // 4 % 3],
        "observation.images.front": picture(episode, step),
        "observation.images.wrist": rng.integers(0, 256, (40, 48, 3), dtype="u1"),
        "task": f"put cube {episode % 2} away",
    }


def picture(episode: int, step: int) -> NDArray[np.uint8]:
    """A bright square at a place of its own on a slope of colours: smooth enough that a video keeps it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    made = np.stack([x, y * 2, np.full_like(x, 40 * episode)], -1).astype("u1")
    row, column = 8 * (step // 6), 16 * (step % 6)
    made[row : row + 8, column : column + 16] = 250
    return made


def record(root: Path) -> Path:
    """Record three episodes with lerobot's recorder, and close it."""
    with quiet():
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        made = LeRobotDataset.create("test/recorded", FPS, FEATURES, root=root, robot_type="ur5e")
        for episode, length in enumerate(LENGTHS):
            for step in range(length):
                made.add_frame(frame(episode, step))
            made.save_episode()
        made.finalize()
    return root


def record_until_killed(root: Path) -> Path:
    """What is on the disk when lerobot's recorder is killed in its fourth episode."""
    with quiet():
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        made = LeRobotDataset.create("test/killed", FPS, FEATURES, root=root.with_name("alive"))
        for episode, length in enumerate(LENGTHS):
            for step in range(length):
                made.add_frame(frame(episode, step))
            made.save_episode()
        made.add_frame(frame(0, 0))
        shutil.copytree(root.with_name("alive"), root)
        made.finalize()
    return root


def record_depth(root: Path) -> Path:
    """One episode of depths [mm], as a video and as single pictures."""
    shape = {"shape": (64, 80, 1), "names": ["height", "width", "channels"], "info": {"is_depth_map": True}}
    features = {f"observation.images.{kind}": {"dtype": kind, **deepcopy(shape)} for kind in ("video", "image")}
    with quiet():
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        made = LeRobotDataset.create("test/depth", FPS, features, root=root)
        for step in range(5):
            made.add_frame({**{name: depth(step) for name in features}, "task": "look"})
        made.save_episode()
        made.finalize()
    return root


def depth(step: int) -> NDArray[np.uint16]:
    """Depths from 0.3 to 7 m (64, 80, 1) [mm]."""
    return (300 + 1300 * step + 20 * np.arange(64)[:, None, None] + np.arange(80)[:, None]).astype(np.uint16)


def convert_to_v30(root: Path, new_root: Path) -> Path:
    """A v2.1 data set by lerobot's own converter."""
    with quiet():
        from lerobot.scripts import convert_dataset_v21_to_v30 as converter

        converter.validate_local_dataset_version(root)
        converter.convert_info(root, new_root, 100, 200)
        converter.convert_tasks(root, new_root)
        episodes = converter.convert_data(root, new_root, 100)
        videos = converter.convert_videos(root, new_root, 200)
        converter.convert_episodes_metadata(root, new_root, episodes, videos)
    return new_root


class Opened:
    """A folder opened with lerobot's reader."""

    def __init__(self, root: Path, backend: str = "torchcodec", **options: Any) -> None:
        with quiet():
            from lerobot.datasets.lerobot_dataset import LeRobotDataset

            self.dataset = LeRobotDataset("test/opened", root=root, video_backend=backend, **options)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """An item as a policy gets it, tensors as arrays; pictures in 0..255."""
        with quiet():
            item = self.dataset[row]
        values = {name: value.numpy() if hasattr(value, "numpy") else value for name, value in item.items()}
        return {
            name: 255 * np.moveaxis(value, -3, -1)
            if name.startswith("observation.images") and value.ndim > 2
            else value
            for name, value in values.items()
        }

    def column(self, name: str) -> NDArray[Any]:
        """All rows of a feature, at the precision that they have on disk."""
        return np.array(self.dataset.hf_dataset.data.column(name).to_pylist())
