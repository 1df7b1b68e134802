"""Joins episodes that lie one by one into the files of a LeRobotDataset v3.0, without decoding anything."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.store.formats.lerobot import film as lerobot_film
from robot_stack.store.formats.lerobot.layout import (
    DATA_FILE_MB,
    DATA_PATH,
    EPISODES_PATH,
    FILES_PER_CHUNK,
    TASKS,
    VIDEO_FILE_MB,
    VIDEO_PATH,
)
from robot_stack.store.formats.lerobot.piece import Piece, data_file, video_file


def join(pieces_root: Path, root: Path, pieces: list[Piece], videos: list[str], rate: float) -> None:
    """Write `data`, `videos` and `meta/episodes` of all episodes; what a killed attempt left is replaced."""
    for name in ("data", "videos", "meta/episodes"):
        shutil.rmtree(root / name, ignore_errors=True)
    index: list[dict[str, Any]] = [
        {
            "episode_index": number,
            "tasks": [piece.task],
            "length": piece.length,
            "dataset_from_index": piece.first,
            "dataset_to_index": piece.first + piece.length,
        }
        for number, piece in enumerate(pieces)
    ]
    _join_data(pieces_root, root, index)
    for key in videos:
        _join_videos(pieces_root, root, index, key, rate)
    for entry, piece in zip(index, pieces, strict=True):
        for feature, stats in piece.stats.items():
            entry |= {f"stats/{feature}/{name}": value for name, value in stats.items()}
        entry |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
    _write_index(root, index)


def write_tasks(root: Path, tasks: dict[str, int]) -> None:
    """Write `meta/tasks.parquet`: LeRobot reads it with pandas, with the words as its index."""
    import pandas as pd

    words = pd.Index(list(tasks), name="task", dtype=object)
    pd.DataFrame({"task_index": np.array(list(tasks.values()), np.int64)}, index=words).to_parquet(root / TASKS)


def _join_data(pieces_root: Path, root: Path, index: list[dict[str, Any]]) -> None:
    import pyarrow.parquet as pq

    files = [data_file(pieces_root, entry["episode_index"]) for entry in index]
    for number, group in enumerate(_groups([path.stat().st_size for path in files], DATA_FILE_MB << 20)):
        place = _place(number)
        target = _made(root / DATA_PATH.format(**place))
        with pq.ParquetWriter(target, pq.read_schema(files[group[0]]), compression="snappy") as writer:
            for episode in group:
                source = pq.ParquetFile(files[episode])
                for rows in range(source.num_row_groups):
                    writer.write_table(source.read_row_group(rows))
                index[episode] |= {f"data/{name}": value for name, value in place.items()}


def _join_videos(pieces_root: Path, root: Path, index: list[dict[str, Any]], key: str, rate: float) -> None:
    files = [video_file(pieces_root, entry["episode_index"], key) for entry in index]
    kinds = [lerobot_film.parameters(path) for path in files]
    for number, group in enumerate(_groups([path.stat().st_size for path in files], VIDEO_FILE_MB << 20, kinds)):
        place = _place(number)
        target = _made(root / VIDEO_PATH.format(video_key=key, **place))
        lengths = [index[episode]["length"] for episode in group]
        lerobot_film.join([files[episode] for episode in group], lengths, target, rate)
        ends = np.cumsum(lengths)
        for episode, length, end in zip(group, lengths, ends.tolist(), strict=True):
            index[episode] |= {f"videos/{key}/{name}": value for name, value in place.items()}
            index[episode] |= {
                f"videos/{key}/from_timestamp": (end - length) / rate,
                f"videos/{key}/to_timestamp": end / rate,
            }


def _groups(sizes: list[int], limit: int, kinds: list[Any] | None = None) -> list[list[int]]:
    """Which episodes share a file: neighbours of one kind, together smaller than `limit` bytes."""
    groups: list[list[int]] = []
    filled = 0
    for episode, size in enumerate(sizes):
        other = bool(kinds and groups and kinds[episode] != kinds[groups[-1][-1]])
        if not groups or other or filled + size >= limit:
            groups.append([])
            filled = 0
        groups[-1].append(episode)
        filled += size
    return groups


def _write_index(root: Path, index: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(index), _made(root / EPISODES_PATH.format(**_place(0))), compression="snappy")


def _place(number: int) -> dict[str, int]:
    return {"chunk_index": number // FILES_PER_CHUNK, "file_index": number % FILES_PER_CHUNK}


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
