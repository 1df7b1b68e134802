"""Where things lie in a LeRobotDataset, v3.0 and v2.1 (v2.0 lies like v2.1), and what its `meta` folder says.

    meta/info.json                                 version, fps, features, path templates
    v3.0  meta/episodes/chunk-000/file-000.parquet meta/tasks.parquet   data/chunk-000/file-000.parquet (many episodes)
          videos/<key>/chunk-000/file-000.mp4 (many episodes, each from `from_timestamp` to `to_timestamp`)
    v2.1  meta/episodes.jsonl  meta/tasks.jsonl    data/chunk-000/episode_000000.parquet
          videos/chunk-000/<key>/episode_000000.mp4

Source: lerobot 0.6.1, `lerobot/datasets/{utils,dataset_metadata,dataset_writer}.py`.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robot_stack.types import StoreError

INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
OLD_TASKS = "meta/tasks.jsonl"
OLD_EPISODES = "meta/episodes.jsonl"
OLD_STATS = "meta/episodes_stats.jsonl"

FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODES_PATH = f"meta/episodes/{FILE}.parquet"
DATA_PATH = f"data/{FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE}.mp4"
OLD_DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
OLD_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"

FILES_PER_CHUNK = 1000
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200

INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""Columns that every LeRobotDataset has; all but `timestamp` are int64."""

_OLD = ("v2.0", "v2.1")
_META_COLUMNS = ("episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index")
_META_PREFIXES = ("stats/", "videos/", "data/", "meta/")


@dataclass(frozen=True)
class Clip:
    """The part of a video file that shows one episode [s]."""

    path: Path
    start: float = 0.0
    stop: float = math.inf


@dataclass(frozen=True)
class Listed:
    """What `meta` says of one episode. length: -1 where it is not listed. extra: columns that LeRobot does not know."""

    length: int = -1
    tasks: list[str] = field(default_factory=list)
    clips: dict[str, Clip] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


class Layout:
    """The `meta` folder of a data set, read. warnings: what of it was missing and made up again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.warnings: list[str] = []
        self.info = _read_info(root)
        self.version = str(self.info["codebase_version"])
        self.old = self.version in _OLD
        self.fps = float(self.info["fps"])
        self.features: dict[str, dict[str, Any]] = self.info["features"]
        self.video_keys = [key for key, feature in self.features.items() if feature["dtype"] == "video"]
        self.tasks = self._read_tasks()
        self.episodes = self._read_old_episodes() if self.old else self._read_episodes()

    @property
    def data_files(self) -> list[Path]:
        """All parquet files with rows, in order."""
        return sorted((self.root / "data").glob("*/*.parquet"))

    def video_files(self, key: str) -> list[Path]:
        """All videos of a camera of v3.0, in order."""
        return sorted((self.root / "videos" / key).glob("*/*.mp4"))

    def clip(self, key: str, number: int) -> Clip | None:
        """Where the pictures of an episode are; None when nothing says so."""
        listed = self.episodes.get(number, Listed())
        return listed.clips.get(key) or (self._old_clip(key, number) if self.old else None)

    def _old_clip(self, key: str, number: int) -> Clip:
        template = self.info.get("video_path") or OLD_VIDEO_PATH
        chunk = number // int(self.info.get("chunks_size", FILES_PER_CHUNK))
        return Clip(self.root / template.format(episode_chunk=chunk, video_key=key, episode_index=number))

    def _read_tasks(self) -> dict[int, str]:
        """Task index -> what is to be done, in words."""
        path = self.root / (OLD_TASKS if self.old else TASKS)
        if not path.exists():
            self.warnings.append(f"{path.name} is missing: episodes come in without their task")
            return {}
        if self.old:
            return {int(line["task_index"]): str(line["task"]) for line in _read_lines(path)}
        table = _read_table(path)
        (name,) = [name for name in table if name != "task_index"][:1] or ["task_index"]
        return {int(number): str(task) for number, task in zip(table["task_index"], table[name], strict=True)}

    def _read_old_episodes(self) -> dict[int, Listed]:
        path = self.root / OLD_EPISODES
        if not path.exists():
            self.warnings.append(f"{path.name} is missing: episodes were found by their rows")
            return {}
        known = ("episode_index", "tasks", "length")
        return {
            int(line["episode_index"]): Listed(
                int(line.get("length", -1)),
                list(line.get("tasks", [])),
                extra={key: value for key, value in line.items() if key not in known},
            )
            for line in _read_lines(path)
        }

    def _read_episodes(self) -> dict[int, Listed]:
        found: dict[int, Listed] = {}
        files = sorted((self.root / "meta/episodes").glob("*/*.parquet"))
        for path in files:
            try:
                table = _read_table(path, lambda name: not name.startswith("stats/"))
            except StoreError as error:
                self.warnings.append(f"{error}; episodes listed there were found by their rows")
                continue
            for row in (dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)):
                found[int(row["episode_index"])] = self._listed(row)
        if not files:
            self.warnings.append("meta/episodes is missing: episodes were found by their rows")
        return found

    def _listed(self, row: dict[str, Any]) -> Listed:
        clips = {}
        for key in self.video_keys:
            if (chunk := row.get(f"videos/{key}/chunk_index")) is not None:
                place = {
                    "video_key": key,
                    "chunk_index": int(chunk),
                    "file_index": int(row[f"videos/{key}/file_index"]),
                }
                path = self.root / (self.info.get("video_path") or VIDEO_PATH).format(**place)
                clips[key] = Clip(
                    path, float(row[f"videos/{key}/from_timestamp"]), float(row[f"videos/{key}/to_timestamp"])
                )
        extra = {
            name: value
            for name, value in row.items()
            if name not in _META_COLUMNS and not name.startswith(_META_PREFIXES)
        }
        return Listed(int(row.get("length", -1)), list(row.get("tasks") or []), clips, extra)


def _read_info(root: Path) -> dict[str, Any]:
    path = root / INFO
    try:
        info: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise StoreError(f"{root} has no {INFO}: not a LeRobotDataset, or not copied whole") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); copy or download it again") from error
    version = str(info.get("codebase_version"))
    if version not in _OLD and not version.startswith("v3."):
        raise StoreError(
            f"{path} says codebase_version {version!r}; v3.0, v2.1 and v2.0 can be read. A v1 set is converted by "
            "lerobot's own scripts: convert_dataset_v1_to_v2, then convert_dataset_v20_to_v21"
        )
    if missing := [key for key in ("fps", "features") if key not in info]:
        raise StoreError(f"{path} has no {' and no '.join(missing)}: damaged, or written by another program")
    if not float(info["fps"]) > 0:
        raise StoreError(f"{path} says fps {info['fps']}; a rate above 0 [Hz] was expected: correct it there")
    return info


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a .jsonl file; StoreError names the line that is none."""
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.strip():
            try:
                lines.append(json.loads(text))
            except ValueError as error:
                raise StoreError(f"line {number} of {path} is no JSON ({error}); copy or download it again") from error
    return lines


def _read_table(path: Path, wanted: Any = lambda name: True) -> dict[str, list[Any]]:
    """Columns of a small parquet file as Python lists."""
    import pyarrow.parquet as pq  # 0.2 s that nobody else has to wait for
    from pyarrow import ArrowException

    try:
        file = pq.ParquetFile(path)
        columns: dict[str, list[Any]] = file.read([n for n in file.schema_arrow.names if wanted(n)]).to_pydict()
    except (ArrowException, OSError) as error:
        raise StoreError(f"{path} cannot be read ({_first_line(error)})") from error
    return columns


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]
