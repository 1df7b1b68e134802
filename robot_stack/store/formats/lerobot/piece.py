"""Writes one episode of an export: a parquet file, a video a camera, and what the index must know of both."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot_stack.store.codecs import mp4
from robot_stack.store.codecs.video import packets
from robot_stack.store.episode import Episode
from robot_stack.store.formats.lerobot import stats as lerobot_stats
from robot_stack.store.formats.lerobot import table as lerobot_table
from robot_stack.store.formats.lerobot.features import flat_shape
from robot_stack.store.formats.lerobot.film import Film
from robot_stack.store.formats.lerobot.layout import OLD_DATA_PATH, OLD_VIDEO_PATH
from robot_stack.store.formats.lerobot.plan import Plan

_BLOCK_BYTES = 16 << 20
_MOST_ROWS = 8192


class Recorded(NamedTuple):
    """A field of an episode that is video in the store already. name: av1 or h264."""

    name: str
    chunks: Iterator[memoryview]


def recorded_video(episode: Episode, name: str) -> Recorded | None:
    """The video that a field is stored as, if it is one and shows just this episode: its packets are copied."""
    array = episode.recordings[0].array(name)
    if array.codec is None or array.codec.name not in ("av1", "h264") or not episode.is_whole:
        return None
    return Recorded(array.codec.name, array.chunks())


@dataclass(frozen=True)
class Piece:
    """What the index says of one episode.

    encoded: features whose pictures had to be encoded. stats: feature -> statistic -> its value as lists.
    """

    length: int
    task: str
    task_index: int
    first: int
    encoded: list[str]
    stats: dict[str, dict[str, Any]]

    def save(self, path: Path) -> None:
        """Write it, whole or not at all: from then on the episode counts as exported."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)))
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path) -> "Piece":
        """The inverse of `save`."""
        return cls(**json.loads(path.read_text()))


def data_file(root: Path, number: int) -> Path:
    """Where an episode's rows are, as in v2.1."""
    return root / OLD_DATA_PATH.format(episode_chunk=number // 1000, episode_index=number)


def video_file(root: Path, number: int, key: str) -> Path:
    """Where an episode's video is, as in v2.1."""
    return root / OLD_VIDEO_PATH.format(episode_chunk=number // 1000, video_key=key, episode_index=number)


class PieceWriter:
    """Writes episodes under a folder in the layout of v2.1."""

    def __init__(self, root: Path, plan: Plan, features: dict[str, dict[str, Any]], rate: float) -> None:
        self._root, self._plan, self._features, self._rate = root, plan, features, rate
        self._schema = lerobot_table.schema(features)

    def write(self, number: int, episode: Episode, task: tuple[int, str], first: int) -> Piece:
        """Write an episode. task: index and words. first: number of its first row in the whole data set."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = data_file(self._root, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        seen = _Statistics(len(episode))
        with ExitStack() as stack:
            table = stack.enter_context(pq.ParquetWriter(path, self._schema, compression="snappy"))
            films = {}
            for column in self._plan.videos:
                target = video_file(self._root, number, column.feature)
                target.parent.mkdir(parents=True, exist_ok=True)
                if video := recorded_video(episode, column.field.name):
                    mp4.write(target, video.name, map(packets, video.chunks), self._rate)
                else:
                    films[column.feature] = stack.enter_context(Film(target, self._rate, *column.field.shape[:2]))
            for start, rows in self._blocks(episode):
                columns = self._numbers(number, start, rows, task[0], first)
                for name, numbers in columns.items():
                    seen.numbers(name, numbers)
                arrays = {n: lerobot_table.array(v, tuple(self._features[n]["shape"])) for n, v in columns.items()}
                for column in self._plan.images:
                    arrays[column.feature] = lerobot_table.picture(rows[column.field.name], column.field.name)
                for column in self._plan.videos:
                    if film := films.get(column.feature):
                        film.extend(rows[column.field.name])
                for column in (*self._plan.videos, *self._plan.images):
                    seen.pictures(column.feature, rows[column.field.name], start)
                table.write_table(pa.table([arrays[name] for name in self._schema.names], self._schema))
        return Piece(len(episode), task[1], task[0], first, list(films), seen.result())

    def _blocks(self, episode: Episode) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Number of the first row, and rows of every field: name -> (n, *shape)."""
        size = max(1, min(_MOST_ROWS, _BLOCK_BYTES // self._plan.spec.dtype.itemsize))
        for start in range(0, len(episode), size):
            yield start, {name: episode.read(name, start, start + size) for name in self._plan.spec.fields}

    def _numbers(
        self, number: int, start: int, rows: dict[str, NDArray[Any]], task: int, first: int
    ) -> dict[str, NDArray[Any]]:
        """Every feature of numbers (n, *shape) of a block."""
        joined = {feature: self._plan.join(feature, rows) for feature in self._plan.joined}
        own = {c.feature: rows[c.field.name].reshape(-1, *flat_shape(c.field)) for c in self._plan.numbers}
        frames = start + np.arange(len(rows["time"]))
        return {
            **joined,
            **own,
            "timestamp": (frames / self._rate).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(len(frames), number),
            "index": first + frames,
            "task_index": np.full(len(frames), task),
        }


class _Statistics:
    """Gathers an episode's numbers, and the pictures that LeRobot looks at."""

    def __init__(self, rows: int) -> None:
        self._wanted = lerobot_stats.sampled(rows)
        self._numbers: dict[str, list[NDArray[Any]]] = {}
        self._pictures: dict[str, list[NDArray[Any]]] = {}

    def numbers(self, name: str, values: NDArray[Any]) -> None:
        self._numbers.setdefault(name, []).append(values)

    def pictures(self, name: str, values: NDArray[Any], start: int) -> None:
        inside = self._wanted[(self._wanted >= start) & (self._wanted < start + len(values))]
        self._pictures.setdefault(name, []).extend(lerobot_stats.thinned(values[i - start]) for i in inside)

    def result(self) -> dict[str, dict[str, Any]]:
        found = {name: lerobot_stats.of_numbers(np.concatenate(parts)) for name, parts in self._numbers.items()}
        for name, pictures in self._pictures.items():
            together = np.stack(pictures)
            found[name] = lerobot_stats.of_pictures(together if together.ndim == 4 else together[..., None])
        return {name: {key: value.tolist() for key, value in stats.items()} for name, stats in found.items()}
