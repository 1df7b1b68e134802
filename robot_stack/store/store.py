"""A store of episodes: a folder that is a plain zarr v3 group. FORMAT.md describes every file in it."""

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from robot_stack.clock import now
from robot_stack.spec import Spec
from robot_stack.store import arrays
from robot_stack.store.blosc import frame_codec
from robot_stack.store.episode import Episode
from robot_stack.store.lock import WriterLock
from robot_stack.store.writer import EpisodeWriter, finish
from robot_stack.types import ConfigError, SpecError, StoreError

FORMAT = "robot-stack store"
VERSION = 1
KINDS = ("collect", "deploy", "replay", "import")


class Store:
    """Episodes of one spec. Any number of processes may read while one writes.

    The first `writer` or `salvage` takes the store's write lock, which is held until `close` or the end of the process.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        root = _read_root(self.path)
        self.spec = Spec.from_json(json.dumps(root["spec"]))
        self.station: dict[str, Any] = root["station"]
        self._codec = frame_codec(root["codec"])
        self._lock: WriterLock | None = None
        self._writers: list[EpisodeWriter] = []

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The store in a folder; StoreError says why it is none."""
        return cls(path)

    @classmethod
    def create(cls, path: str | Path, spec: Spec, station: Mapping[str, Any], codec: str = "zstd") -> Self:
        """Make an empty store. station: what stood there (name, robot, rate [Hz]). codec of images: zstd or lz4."""
        path = Path(path)
        frame_codec(codec)
        _check_storable(spec)
        if "rate" not in station:
            raise ConfigError(f"a station needs a rate [Hz]; there are: {', '.join(station)}")
        if path.exists() and any(path.iterdir()):
            raise StoreError(f"{path} exists and is not empty; open it, or choose another folder")
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        arrays.write_group(partial / "episodes", {})
        arrays.write_group(partial / "writing", {})
        root = {"format": FORMAT, "version": VERSION, "codec": codec}
        arrays.write_group(partial, {**root, "spec": json.loads(spec.to_json()), "station": dict(station)})
        arrays.sync_tree(partial)
        os.rename(partial, path)
        arrays.sync_folder(path.absolute().parent)
        return cls(path)

    @property
    def episodes(self) -> list[Episode]:
        """All committed episodes, oldest first."""
        names = sorted(entry.name for entry in os.scandir(self.path / "episodes") if entry.is_dir())
        return [Episode(self.path / "episodes" / name, self.spec) for name in names]

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, episode: str) -> Episode:
        """The episode of that id."""
        found = Episode(self.path / "episodes" / episode, self.spec)
        if not found.path.is_dir():
            raise StoreError(f"no episode {episode!r} in {self.path}; `robot-stack data list` shows what is there")
        return found

    def load(self, fields: Iterable[str], episodes: Iterable[Episode] | None = None) -> dict[str, list[NDArray[Any]]]:
        """Whole fields of all (or the given) episodes: name -> one (T, *shape) an episode."""
        chosen = self.episodes if episodes is None else list(episodes)
        return {name: [episode[name] for episode in chosen] for name in fields}

    def writer(self, attrs: Mapping[str, Any]) -> EpisodeWriter:
        """Open a new episode. attrs: kind (one of KINDS), task, operator and so on: see FORMAT.md."""
        if attrs.get("kind") not in KINDS:
            raise ConfigError(f"an episode needs a kind, not {attrs.get('kind')!r}; there are: {', '.join(KINDS)}")
        number = self._claim().next_number(at_least=1 + max(map(_number, self._names()), default=-1))
        folder, destination = self._places(f"ep-{number:06d}")
        try:
            writer = EpisodeWriter(folder, destination, self.spec, self._codec, {**self._defaults(), **attrs})
        except OSError as error:
            raise StoreError(f"cannot begin an episode in {self.path}: {error.strerror}") from error
        self._writers = [*(w for w in self._writers if w.is_open), writer]
        return writer

    def salvage(self) -> list[str]:
        """Bring in what a killed writer left, up to its last whole row; return the ids of those episodes."""
        self._claim()
        ours = {writer.id for writer in self._writers if writer.is_open}
        orphans = sorted(e.name for e in os.scandir(self.path / "writing") if e.is_dir() and e.name not in ours)
        return [name for name in orphans if finish(*self._places(name), self.spec, self._codec)]

    def close(self) -> None:
        """Let another process write. An episode still open here is left to `salvage`."""
        for writer in self._writers:
            writer.close()
        if self._lock is not None:
            self._lock.close()
        self._writers, self._lock = [], None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _claim(self) -> WriterLock:
        if self._lock is None:
            self._lock = WriterLock(self.path / "writing")
        return self._lock

    def _names(self) -> list[str]:
        """Names of all episodes, committed and not."""
        return [entry.name for part in ("episodes", "writing") for entry in os.scandir(self.path / part)]

    def _places(self, episode: str) -> tuple[Path, Path]:
        """Where an episode grows, and where it lives once committed."""
        return self.path / "writing" / episode, self.path / "episodes" / episode

    def _defaults(self) -> dict[str, Any]:
        """Attributes that every episode has, whatever its writer says."""
        return {
            "task": "",
            "operator": "",
            "checkpoint": "",
            "station": self.station.get("name", ""),
            "robot": self.station.get("robot", ""),
            "rate": self.station["rate"],
            "software": _software(),
            "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "clock_offset": time.time() - now(),
            "time_source": "measured",
            "salvaged": False,
        }


def _read_root(path: Path) -> dict[str, Any]:
    if not (path / "zarr.json").exists():
        if (path / ".zgroup").exists():
            raise StoreError(f"{path} is a zarr v2 folder: `robot-stack data import from={path} store=…` brings it in")
        raise StoreError(f"there is no store at {path}; `robot-stack collect` and `robot-stack data import` make one")
    root = arrays.read_attributes(path)
    if root.get("format") != FORMAT:
        raise StoreError(f"{path} is a zarr group but no {FORMAT}: it says format {root.get('format')!r}")
    if root["version"] != VERSION:
        raise StoreError(f"{path} has format version {root['version']}, this software reads {VERSION}; use its version")
    return root


def _check_storable(spec: Spec) -> None:
    """Raise SpecError unless every field is an array of little-endian numbers under a name that can be a folder."""
    if "time" not in spec:
        raise SpecError(f"a row needs a field 'time' [s]; there are: {', '.join(spec.fields)}")
    for field in spec:
        if field.dtype[1] not in "iufb" or field.dtype[0] == ">":
            raise SpecError(f"{field.name} is {field.dtype}, the store holds little-endian numbers")
        if 0 in field.shape:
            raise SpecError(f"{field.name} has the shape {field.shape}: there is nothing to store in it")
        if "/" in field.name or field.name.startswith("__") or not field.name.strip("."):
            raise SpecError(f"{field.name!r} cannot name an array: a name has no '/' and does not begin with '__'")


def _number(name: str) -> int:
    """The number in an episode's id, -1 for another file."""
    digits = name.removeprefix("ep-")
    return int(digits) if digits.isdigit() else -1


def _software() -> str:
    try:
        return f"robot-stack {metadata.version('robot-stack')}"
    except metadata.PackageNotFoundError:  # a checkout that nobody installed
        return "robot-stack (not installed)"
