"""Brings in replay buffers of diffusion_policy and UMI: zarr v2 (or v3), a folder or a .zip.

Their layout: `data/<name>` (all steps of all episodes, ...) and `meta/episode_ends` (episodes,), the row after each
episode's last. They hold no measured times, so times are made up, step / rate, and marked `time_source: synthetic`.
Chi et al., Diffusion Policy, RSS 2023: `diffusion_policy/common/replay_buffer.py`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import zarr
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store.episode import Episode
from robot_stack.store.store import FORMAT, Store
from robot_stack.types import Source, StoreError

PUSHT_RATE = 10.0
PUSHT = Spec(
    [
        Field("time", unit="s"),
        Field("agent", (2,), unit="px", frame="image"),
        Field("block", (3,), unit="px,px,rad", frame="image"),
        Field("keypoints", (9, 2), unit="px", frame="image"),
        Field("requested.position", (2,), unit="px", frame="image"),
        Field("target.position", (2,), unit="px", frame="image"),
        Field("source", dtype="u1"),
        Field("image.top", (96, 96, 3), "u1"),
    ]
)
"""A row of the PushT demonstrations: x, y of a 512 px world, origin at the top left."""

_PUSHT_ARRAYS = {"action": (2,), "state": (5,), "keypoint": (9, 2), "img": (96, 96, 3)}


@dataclass(frozen=True)
class Imported:
    """How many episodes came in now, how many were there before, and the rows of both."""

    new: int
    skipped: int
    rows: int


class ReplayBuffer:
    """A source opened for reading and found whole."""

    def __init__(self, path: Path, rate: float = PUSHT_RATE) -> None:
        self.path = path
        root = _open(path)
        self.arrays = _arrays(root, path)
        self.ends = _ends(root, path, self.arrays)
        shapes = {name: array.shape[1:] for name, array in self.arrays.items()}
        self.is_pusht = _PUSHT_ARRAYS.items() <= shapes.items()
        self.rate = PUSHT_RATE if self.is_pusht else rate

    @property
    def task(self) -> str:
        """What was done in it, as far as the source says."""
        return "pusht" if self.is_pusht else self.path.name.split(".")[0]

    @cached_property
    def spec(self) -> Spec:
        """Rows as they come into the store: PUSHT or, of another source, every array under its own name."""
        others = [name for name in self.arrays if not (self.is_pusht and name in _PUSHT_ARRAYS)]
        more = [Field(name, self.arrays[name].shape[1:], self.arrays[name].dtype.str) for name in others]
        first = PUSHT if self.is_pusht else Spec([Field("time", unit="s"), Field("source", dtype="u1")])
        return first + Spec(more)

    @cached_property
    def fingerprint(self) -> str:
        """Tells one source from another: SHA-256 of the arrays' shapes and the episodes' ends."""
        shapes = sorted((name, array.shape, array.dtype.str) for name, array in self.arrays.items())
        return hashlib.sha256(repr(shapes).encode() + self.ends.astype("<i8").tobytes()).hexdigest()

    def episode(self, number: int) -> NDArray[np.void]:
        """Rows of one episode (T,) in the layout of `spec`."""
        start, stop = (int(end) for end in (self.ends[number - 1] if number else 0, self.ends[number]))
        values = {name: self._read(name, start, stop) for name in self.arrays}
        if self.is_pusht:
            values |= _pusht_values(values)
        rows = np.zeros(stop - start, self.spec.dtype)
        for name in set(self.spec.fields) - {"time", "source"}:
            rows[name] = values[name]
        rows["time"] = np.arange(stop - start) / self.rate
        rows["source"] = Source.OPERATOR
        return rows

    def _read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        try:
            return np.asarray(self.arrays[name][start:stop])
        except (RuntimeError, ValueError, OSError) as error:
            raise StoreError(
                f"rows {start} to {stop} of data/{name} in {self.path} cannot be read ({error}); copy the source "
                "again: what has come in stays, and the next import continues after it"
            ) from error


def import_zarr(source: str | Path, store: str | Path, rate: float = PUSHT_RATE) -> Imported:
    """Bring all episodes of `source` into the store at a path, made if it is not there.

    rate: steps a second of a source other than PushT [Hz].
    """
    return import_buffer(ReplayBuffer(Path(source), rate), store)


def import_buffer(
    buffer: ReplayBuffer, store: str | Path, progress: Callable[[int], None] = lambda done: None
) -> Imported:
    """Bring all episodes in; each is read back and compared. One that was interrupted continues where it was.

    progress: called with the number of episodes done.
    """
    with _destination(Path(store), buffer) as target:
        target.salvage()
        known = {e.attrs["source_episode"] for e in target.episodes if e.attrs.get("source_hash") == buffer.fingerprint}
        for number in range(len(buffer.ends)):
            if number not in known:
                _import_episode(buffer, number, target)
            progress(number + 1)
    return Imported(len(buffer.ends) - len(known), len(known), int(buffer.ends[-1]))


def _import_episode(buffer: ReplayBuffer, number: int, store: Store) -> None:
    rows = buffer.episode(number)
    writer = store.writer(
        {
            "kind": "import",
            "task": buffer.task,
            "time_source": "synthetic",
            "started": "",
            "clock_offset": 0.0,
            "source_path": buffer.path.name,
            "source_hash": buffer.fingerprint,
            "source_episode": number,
        }
    )
    for row in rows:
        writer.append(row)
    writer.commit("unknown")
    _compare(store[writer.id], rows)


def _compare(episode: Episode, rows: NDArray[np.void]) -> None:
    """Raise StoreError unless what is on disk is what came in."""
    for name in episode.spec.fields:
        if not np.array_equal(episode[name], rows[name], equal_nan=rows[name].dtype.kind == "f"):
            raise StoreError(f"{episode.id} does not read back as it was written: {name} differs; check the disk")


def _pusht_values(values: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    image = values["img"].astype(np.uint8)
    if not np.array_equal(image, values["img"]):
        raise StoreError("data/img holds other numbers than 0, 1, ... 255: these are not the PushT images")
    return {
        "agent": values["state"][:, :2],
        "block": values["state"][:, 2:],
        "keypoints": values["keypoint"],
        "image.top": image,
        "requested.position": values["action"],
        "target.position": values["action"],
    }


def _destination(path: Path, buffer: ReplayBuffer) -> Store:
    if not path.exists():
        return Store.create(path, buffer.spec, {"name": buffer.task, "robot": "", "rate": buffer.rate})
    store = Store.open(path)
    if different := buffer.spec.difference(store.spec):
        raise StoreError(f"{path} holds other data than {buffer.path}: {'; '.join(different)}. Choose a new store")
    return store


def _open(path: Path) -> zarr.Group:
    if not path.exists():
        raise StoreError(f"there is nothing at {path}")
    try:
        root = zarr.open_group(zarr.storage.ZipStore(path, mode="r") if path.is_file() else path, mode="r")
    except BadZipFile as error:
        raise StoreError(f"{path} is no whole .zip ({error}); copy it again") from error
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise StoreError(f"{path} is no zarr folder or .zip: {error}") from error
    if root.attrs.get("format") == FORMAT:
        raise StoreError(f"{path} is a {FORMAT} already: `robot-stack data info store={path}`")
    if missing := [name for name in ("data", "meta/episode_ends") if name not in root]:
        raise StoreError(f"{path} has no {' and no '.join(missing)}: not a replay buffer, or not copied whole")
    return root


def _arrays(root: zarr.Group, path: Path) -> dict[str, Any]:
    """The arrays under `data`, all of them there in every chunk."""
    try:
        arrays: dict[str, Any] = dict(sorted(root.require_group("data").arrays()))
    except (ValueError, KeyError, ImportError) as error:
        raise StoreError(
            f"an array in {path}/data cannot be opened: {error}; install its codec, or export it raw"
        ) from error
    for name, array in arrays.items():
        if absent := array.nchunks - array.nchunks_initialized:
            raise StoreError(
                f"data/{name} in {path} lacks {absent} of {array.nchunks} chunks: not copied whole, or zeros that zarr "
                "leaves out; copy the source again, or write it with write_empty_chunks"
            )
    return arrays


def _ends(root: zarr.Group, path: Path, arrays: dict[str, Any]) -> NDArray[np.int64]:
    """The episodes' ends (episodes,), rising and within all arrays."""
    ends = np.asarray(root["meta/episode_ends"], np.int64)
    if not len(ends) or not arrays:
        raise StoreError(f"{path} has no episodes in it")
    if (np.diff(ends, prepend=0) <= 0).any():
        raise StoreError(f"meta/episode_ends in {path} does not rise: {ends[:5]}...; an episode without steps?")
    for name, array in arrays.items():
        if array.shape[0] != ends[-1]:
            raise StoreError(f"data/{name} in {path} has {array.shape[0]} rows, meta/episode_ends says {ends[-1]}")
    return ends
