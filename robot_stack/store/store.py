"""A store of episodes: a folder that is a plain zarr v3 group. FORMAT.md describes every file in it."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from robot_stack.clock import now
from robot_stack.spec import Spec
from robot_stack.store import arrays, disk, edit_requests
from robot_stack.store.catalog import FOLDER as CATALOG
from robot_stack.store.catalog import Catalog, LocalShelf, Shelf, of_view, read_catalog
from robot_stack.store.codecs import NAMES as CODECS
from robot_stack.store.codecs import codec as picture_codec
from robot_stack.store.edit_log import NAME as EDITS
from robot_stack.store.edit_log import Edit, EditLog, parse
from robot_stack.store.edit_ops import Op
from robot_stack.store.edits import State, View, made
from robot_stack.store.episode import Episode
from robot_stack.store.folder import Folder
from robot_stack.store.journal import Head
from robot_stack.store.lock import WriterLock
from robot_stack.store.recording import folder_name, split_name
from robot_stack.store.selection import select
from robot_stack.store.writer import Destination, EpisodeWriter, finish, frame_codecs
from robot_stack.types import ConfigError, Source, SpecError, StoreError

FORMAT = "robot-stack store"
VERSION = 2
READABLE = (1, 2)
KINDS = ("collect", "deploy", "replay", "import")
CODEC = "jpeg"
"""What pictures are recorded in, unless a store is made with another codec."""

COMPUTED = ("rows", "drops", "content", "streams", "edited")
"""Attributes that follow from the data and the edits."""

_DRAWER = "index.jsonl and edits.jsonl: see FORMAT.md"


class Store:
    """Episodes of one spec. Any number of processes may read while one writes.

    The first call that writes takes the store's write lock, which is held until `close` or the end of the process.
    """

    def __init__(self, shelf: Shelf, view: str = "") -> None:
        self.folder = shelf.folder
        self.view = view
        root = _read_root(self.folder)
        self.spec = Spec.from_json(json.dumps(root["spec"]))
        self.station: dict[str, Any] = root["station"]
        self.codec: str = root["codec"]
        self._pictures = picture_codec(self.codec)
        self._shelf = shelf
        self._lock: WriterLock | None = None
        self._writers: list[EpisodeWriter] = []
        self._seen: tuple[object, Catalog] | None = None
        of_view(self.catalog, view, self.folder)

    @classmethod
    def open(cls, where: str | Path) -> Self:
        """The store in a folder, as 'data/lift'; a view of it, as 'data/lift@good'; or, to read, as 's3://bucket/lift'.

        StoreError says why it is none.
        """
        place, view = _split_view(str(where))
        if "://" in place:
            from robot_stack.store.remote import RemoteShelf  # obstore is an extra

            return cls(RemoteShelf(place), view)
        return cls(LocalShelf(Path(place)), view)

    @classmethod
    def create(cls, path: str | Path, spec: Spec, station: Mapping[str, Any], codec: str = CODEC) -> Self:
        """Make an empty store. station: what stood there (name, robot, rate [Hz]). codec: that pictures are kept in."""
        path = Path(path)
        _check_storable(spec)
        frame_codecs(spec, picture_codec(codec), {})
        if picture_codec(codec).group > 1:
            raise ConfigError(f"{codec} is video: record in jpeg or zstd; `robot-stack data compact` makes video of it")
        if "@" in path.name:
            raise ConfigError(f"{path.name}: what follows an @ names a view; a store has no @ in its name")
        if "rate" not in station:
            raise ConfigError(f"a station needs a rate [Hz]; there are: {', '.join(station)}")
        if path.exists() and any(path.iterdir()):
            raise StoreError(f"{path} exists and is not empty; open it, or choose another folder")
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        root = {"format": FORMAT, "version": VERSION, "codec": codec}
        try:
            if partial.exists():
                disk.remove(partial)
            arrays.write_group(partial, {**root, "spec": json.loads(spec.to_json()), "station": dict(station)})
            arrays.write_group(partial / "episodes", {})
            arrays.write_group(partial / "writing", {})
            arrays.write_drawer(partial / CATALOG, _DRAWER)
            disk.sync_tree(partial)
            disk.rename(partial, path)
        except OSError as error:
            raise StoreError(
                f"cannot make a store at {path}: {error.strerror}; make room, or choose another folder"
            ) from error
        return cls.open(path)

    def __repr__(self) -> str:
        return f"Store({self.name!r}, {len(self)} episodes)"

    @property
    def name(self) -> str:
        """As it is opened: where it is, and the view."""
        return f"{self.folder}@{self.view}" if self.view else str(self.folder)

    @property
    def path(self) -> Path:
        """Its folder on this machine; StoreError when it is elsewhere."""
        if not isinstance(self.folder, Path):
            raise StoreError(f"{self.folder} can be read only; copy it to this machine to change it")
        return self.folder

    @property
    def catalog(self) -> Catalog:
        """What is in it now."""
        stamp = self._shelf.stamp()
        if self._seen is None or stamp is None or self._seen[0] != stamp:
            self._seen = stamp, read_catalog(self._shelf, self.spec)
        return self._seen[1]

    @property
    def episodes(self) -> list[Episode]:
        """All episodes as they are seen: edits applied, deleted ones absent; oldest first."""
        catalog = self.catalog
        return [Episode(e, catalog.recordings) for e in of_view(catalog, self.view, self.folder).entries.values()]

    @property
    def deleted(self) -> list[Episode]:
        """Episodes that were deleted and can be had back by `undo`."""
        catalog = self.catalog
        there = [e for e in catalog.state.deleted.values() if all(part.id in catalog.recordings for part in e.parts)]
        return [Episode(entry, catalog.recordings) for entry in there]

    def __len__(self) -> int:
        return len(of_view(self.catalog, self.view, self.folder).entries)

    def __getitem__(self, episode: str) -> Episode:
        """The episode of that id."""
        catalog = self.catalog
        entry = of_view(catalog, self.view, self.folder).entries.get(episode)
        if entry is None:
            if episode in catalog.broken:
                raise StoreError(f"episode {episode} cannot be read: {catalog.broken[episode]}")
            edit = catalog.state.replaced_by.get(episode)
            where = f": {edit}, which `robot-stack data undo` takes back" if edit else ""
            raise StoreError(
                f"no episode {episode!r} in {self.name}{where}; `robot-stack data list` shows what is there"
            )
        return Episode(entry, catalog.recordings)

    def load(self, fields: Iterable[str], episodes: Iterable[Episode] | None = None) -> dict[str, list[NDArray[Any]]]:
        """Whole fields of all (or the given) episodes: name -> one (T, *shape) an episode."""
        chosen = self.episodes if episodes is None else list(episodes)
        return {name: [episode[name] for episode in chosen] for name in fields}

    def writer(
        self,
        attrs: Mapping[str, Any],
        streams: Mapping[str, Sequence[str]] | None = None,
        codecs: Mapping[str, str] | None = None,
        salvage: bool = True,
    ) -> EpisodeWriter:
        """Open a new episode.

        attrs: kind (one of KINDS), task, operator and so on: see FORMAT.md. streams: raw streams beside the rows, name
        -> columns, the first of them `time` [s]. codecs: name of the codec of a frame field, where it is not the
        store's; of a video codec, `append` is given the chunks. salvage: whether its rows are kept when it is cut off
        before its commit; of an import they are not, because it is repeated.
        """
        if attrs.get("kind") not in KINDS:
            raise ConfigError(f"an episode needs a kind, not {attrs.get('kind')!r}; there are: {', '.join(KINDS)}")
        layout = {name: list(columns) for name, columns in (streams or {}).items()}
        _check_streams(layout)
        head = Head({**self._defaults(), **attrs}, layout, dict(codecs or {}), salvage)
        return self._write(self._mint(), head)

    def salvage(self) -> list[str]:
        """Bring in what a killed writer left, up to its last whole row; return the ids of those episodes."""
        self.claim()
        ours = {writer.folder for writer in self._writers if writer.is_open}
        orphans = sorted(e.name for e in os.scandir(self.path / "writing") if e.is_dir() and e.name not in ours)
        shown = set(self.catalog.state.entries) if orphans else set()  # what compact copies is there already
        saved = []
        for name in orphans:
            had = (self.path / "episodes" / name).exists()
            if finish(self._places(name), self.spec, self._pictures) and not had:
                self._noted(name)
                saved.append(split_name(name)[0])
        return [episode for episode in saved if episode not in shown]

    def delete(self, ids: Sequence[str]) -> Edit:
        """Hide episodes; `undo` brings them back, `data compact` removes them from the disk."""
        return self._edit(lambda state: edit_requests.delete(state, ids))

    def trim(self, episode: str, start: int, stop: int) -> Edit:
        """Keep rows start..stop of an episode."""
        return self._edit(lambda state: edit_requests.trim(state, episode, start, stop))

    def split(self, episode: str, at: int) -> tuple[str, str]:
        """Make two episodes of one: rows before `at`, and from `at` on; return their ids."""
        self.claim()
        into = self._mint(), self._mint()
        self._edit(lambda state: edit_requests.split(state, episode, at, into))
        return into

    def merge(self, ids: Sequence[str]) -> str:
        """Make one episode of several that follow each other in time; return its id."""
        self.claim()
        into = self._mint()
        times = [self[name].read("time")[[0, -1]] for name in ids]
        self._edit(lambda state: edit_requests.merge(state, ids, into, [(float(a), float(b)) for a, b in times]))
        return into

    def relabel(self, ids: Sequence[str], **attrs: str) -> Edit:
        """Correct verdict, task or language of episodes."""
        return self._edit(lambda state: edit_requests.relabel(state, ids, attrs))

    def relabel_source(self, episode: str, start: int, stop: int, source: Source) -> Edit:
        """Correct who flew rows start..stop of an episode."""
        self.spec["source"]
        return self._edit(lambda state: edit_requests.relabel_source(state, episode, start, stop, source))

    def filter(self, where: str, view: str) -> View:
        """Make a view of the episodes that `where` is true of; `Store.open('path@view')` opens it."""
        self.claim()
        ids = [episode.id for episode in select(episodes=self.episodes, where=where)]
        self._edit(lambda state: edit_requests.view(state, view, where, ids))
        return self.catalog.state.views[view]

    def undo(self, edit: int | None = None) -> Edit:
        """Take back the last edit, or the one of that number; return it."""
        self.claim()
        catalog = self.catalog
        op = edit_requests.undo(catalog.recorded, catalog.edits, edit)
        EditLog(self.path / CATALOG / EDITS).append(op)
        return next(one for one in catalog.edits if one.number == op.undoes)

    @property
    def edits(self) -> list[Edit]:
        """All edits since the store was made or compacted, oldest first."""
        return self.catalog.edits

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

    def claim(self) -> None:
        """Become the store's one writer, or StoreError; clear up what a killed one left half done."""
        if self._lock is not None:
            return
        self._lock = WriterLock(self.path / "writing")
        try:
            self._clear()
        except OSError as error:
            self.close()
            raise StoreError(
                f"cannot write to the store {self.path}: {error.strerror}; reading it works. Make room on the disk or "
                "make it writable, then try again"
            ) from error

    def copy(self, episode: Episode, codecs: Mapping[str, str]) -> EpisodeWriter:
        """A writer for what takes the place of an episode, with its attributes and streams: for `data compact`."""
        catalog = self.catalog
        attrs = {name: value for name, value in episode.attrs.items() if name not in COMPUTED}
        recorded = catalog.recordings.get(episode.id)
        head = Head({**self._defaults(), **attrs}, episode.streams, dict(codecs), salvage=False)
        return self._write(folder_name(episode.id, recorded.generation + 1 if recorded else 0), head)

    def remove(self, folder: str) -> None:
        """Remove a recording that nobody shows, for `data compact`: a commit backwards, so that readers never see half
        of one, and `salvage` clears up what a kill leaves."""
        self.claim()
        working, episode = self._places(folder)
        if not working.exists():
            disk.make(working)
        disk.rename(episode, working / "episode")
        disk.remove(working)

    def reindex(self) -> None:
        """Write the index anew from the episodes."""
        self.claim()
        assert isinstance(self._shelf, LocalShelf)
        self._shelf.index.rebuild(self._shelf.names())

    def _write(self, folder: str, head: Head) -> EpisodeWriter:
        self.claim()
        try:
            writer = EpisodeWriter(self._places(folder), self.spec, self._pictures, head, self._noted)
        except OSError as error:
            raise StoreError(
                f"cannot begin an episode in {self.path}: {error.strerror}; make room or mend the disk, then try again"
            ) from error
        self._writers = [*(w for w in self._writers if w.is_open), writer]
        return writer

    def _edit(self, request: Callable[[State], Op]) -> Edit:
        """Check an edit against the state now, and log it."""
        self.claim()
        op: Op = request(self.catalog.state)
        return EditLog(self.path / CATALOG / EDITS).append(op)

    def _mint(self) -> str:
        """An id for a new episode, never given before."""
        self.claim()
        assert self._lock is not None
        taken = [entry.name for part in ("episodes", "writing") for entry in os.scandir(self.path / part)]
        numbers = [_number(split_name(name)[0]) for name in [*taken, *made(parse(self._shelf.log()))]]
        return f"ep-{self._lock.next_number(at_least=1 + max(numbers, default=-1)):06d}"

    def _noted(self, folder: str) -> None:
        """Note a committed episode in the index; without it, it is only found more slowly."""
        assert isinstance(self._shelf, LocalShelf)
        with suppress(OSError):
            self._shelf.index.add(folder)

    def _clear(self) -> None:
        """Remove what killed writers left half done, and make the index whole; salvage is another matter."""
        assert isinstance(self._shelf, LocalShelf)
        if not (self.path / CATALOG).is_dir():  # a store of version 1, or a copy that lacks it
            arrays.write_drawer(self.path / CATALOG, _DRAWER)
        root = arrays.read_attributes(self.path)
        if root["version"] < VERSION:  # older software must not read past what is written from now on
            arrays.replace_group(self.path, {**root, "version": VERSION})
        catalog = self.catalog
        for folder in catalog.superseded:
            self.remove(folder)
        for left in [*self.path.glob("*.partial"), *(self.path / CATALOG).glob("*.partial")]:  # of a killed writer
            disk.remove(left)
        if self._shelf.index.is_stale(set(self._shelf.names()) - catalog.broken.keys()):
            self._shelf.index.rebuild(self._shelf.names())

    def _places(self, folder: str) -> Destination:
        """Where an episode grows, and where it lives once committed."""
        return self.path / "writing" / folder, self.path / "episodes" / folder

    def _defaults(self) -> dict[str, Any]:
        """Attributes that every episode has, whatever its writer says."""
        return {
            "task": "",
            "language": "",
            "operator": "",
            "scene": "",
            "checkpoint": "",
            "station": self.station.get("name", ""),
            "robot": self.station.get("robot", ""),
            "calibration": self.station.get("calibration", {}),
            "rate": self.station["rate"],
            "software": _software(),
            "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "clock_offset": time.time() - now(),
            "time_source": "measured",
            "salvaged": False,
        }


def _split_view(where: str) -> tuple[str, str]:
    """'data/lift@good' is the view good of data/lift; a folder that is really named so is itself."""
    place, at, view = where.rpartition("@")
    if not at or "/" in view or ("://" not in where and Path(where).exists()):
        return where, ""
    return place, view


def _read_root(folder: Folder) -> dict[str, Any]:
    try:
        root = arrays.read_attributes(folder)
    except StoreError as error:
        if isinstance(folder, Path) and (folder / ".zgroup").exists():
            raise StoreError(
                f"{folder} is a zarr v2 folder: `robot-stack data import from={folder} store=…` brings it in"
            ) from error
        if isinstance(folder, Path) and (folder / "episodes" / "zarr.json").exists():
            raise StoreError(
                f"{error}. The episodes beside it are not touched: restore that one file from a copy, or take it from "
                "another store of the same station and fields"
            ) from error
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise StoreError(
                f"there is no store at {folder}; `robot-stack collect` and `robot-stack data import` make one"
            ) from error
        raise
    if root.get("format") != FORMAT:
        raise StoreError(f"{folder} is a zarr group but no {FORMAT}: it says format {root.get('format')!r}")
    if root.get("version") not in READABLE:
        readable = " and ".join(map(str, READABLE))
        raise StoreError(
            f"{folder} has format version {root.get('version')}, this software reads {readable}; use its version"
        )
    if missing := [name for name in ("spec", "station", "codec") if name not in root]:
        raise StoreError(f"{folder / 'zarr.json'} is damaged: it lacks {', '.join(missing)}; restore it from a copy")
    if root["codec"] not in CODECS:
        raise StoreError(
            f"{folder} keeps pictures in {root['codec']!r}, this software knows {', '.join(CODECS)}; use the version "
            "that made it"
        )
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
        if field.name == "streams":
            raise SpecError("a field cannot be named 'streams': raw streams are kept under that name")


def _check_streams(streams: Mapping[str, list[str]]) -> None:
    for name, columns in streams.items():
        if "/" in name or name.startswith("__") or not name.strip("."):
            raise SpecError(f"{name!r} cannot name a stream: a name has no '/' and does not begin with '__'")
        if columns[:1] != ["time"] or len(set(columns)) != len(columns):
            raise SpecError(f"stream {name} has the columns {columns}; expected 'time' first, and each name once")


def _number(name: str) -> int:
    """The number in an episode's id, -1 for another file."""
    digits = name.removeprefix("ep-")
    return int(digits) if digits.isdigit() else -1


def _software() -> str:
    try:
        return f"robot-stack {metadata.version('robot-stack')}"
    except metadata.PackageNotFoundError:  # a checkout that nobody installed
        return "robot-stack (not installed)"
