"""`bench store`, part open: a store of thousands of episodes is opened and all of them are listed."""

import gc
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deploy.bench.figure import Figure, count, duration
from deploy.bench.store_work import Say
from robot_stack.clock import now
from robot_stack.raw import raw_streams
from robot_stack.station import Station
from robot_stack.store import Store
from robot_stack.store.catalog import FOLDER
from robot_stack.store.index import NAME

OPENED = 1.0
"""Target [s]."""

STATION = Station("bench", 6, {"front": (48, 64), "wrist": (48, 64)}, rate=10.0)
_ROWS = 5
_REPEATS = 5


def measure(config: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    """Time with the index and without it, size and files."""
    wanted, path = int(config["episodes"]), folder / "store"
    say(f"making {wanted} episodes")
    files, size = make(path, wanted)
    what = f"open {wanted:,} episodes"
    with_index = [_listed(path, wanted) for _ in range(_REPEATS)]
    (path / FOLDER / NAME).unlink()
    without = _listed(path, wanted)
    return [
        duration(f"{what} and list them", float(np.median(with_index)), "s", OPENED),
        duration(f"{what}: without the index", without, "s"),
        count(f"{what}: files", files),
        Figure(f"{what}: on disk, of {_ROWS} rows each", {"": float(size)}, "MB"),
    ]


def make(path: Path, episodes: int) -> tuple[int, int]:
    """A store of one recorded episode and copies of it, whose files are hard links; its files, and the bytes that they
    would take on disk without links, folders included."""
    with Store.create(path, STATION.row, {"name": "bench", "robot": "ur5e", "rate": STATION.rate}) as store:
        streams = {name: stream.columns for name, stream in raw_streams(STATION).items()}
        writer = store.writer({"kind": "collect", "task": "bench"}, streams)
        for row in range(_ROWS):
            writer.append(STATION.row.record(time=row / STATION.rate))
        writer.commit("success")
        first = path / "episodes" / writer.id
        for number in range(1, episodes):
            shutil.copytree(first, first.with_name(f"ep-{number:06d}"), copy_function=os.link)
        store.reindex()
    inside = list(first.rglob("*"))
    blocks = sum(one.stat().st_blocks * 512 for one in [first, *inside])
    return episodes * sum(one.is_file() for one in inside), episodes * blocks


def _listed(path: Path, episodes: int) -> float:
    """How long it takes to open the store and have all attributes [s]."""
    gc.collect()
    began = now()
    attributes = [(episode.id, episode.attrs) for episode in Store.open(path).episodes]
    took = now() - began
    assert len(attributes) == episodes
    return took
