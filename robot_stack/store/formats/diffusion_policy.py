"""Brings in replay buffers of diffusion_policy and UMI: zarr v2 (or v3), a folder or a .zip.

Their layout: `data/<name>` (all steps of all episodes, ...) and `meta/episode_ends` (episodes,), the row after each
episode's last. Chi et al., Diffusion Policy, RSS 2023: `diffusion_policy/common/replay_buffer.py`. Times are those of
`data/timestamp` where there is one, as in buffers of its real robot, else step / rate, marked `time_source: synthetic`.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
import zarr
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store.formats.protocol import Stream
from robot_stack.store.formats.replay_layout import PUSHT, PUSHT_RATE, Packed, field_of, is_pusht, pusht_arrays
from robot_stack.store.formats.sidecar import NAME, Sidecar
from robot_stack.store.formats.zarr_files import count_chunks
from robot_stack.store.formats.zarr_shelf import ZarrShelf
from robot_stack.store.store import FORMAT
from robot_stack.store.timing import measured_rate
from robot_stack.types import ConfigError, Source, StoreError

_BLOCK_BYTES = 32 << 20  # of rows in memory at a time
_BASE = Spec([Field("time", unit="s"), Field("source", dtype="u1")])
_READING = (RuntimeError, ValueError, OSError, KeyError, EOFError, SystemError, MemoryError)
"""What zarr and its codecs raise on damaged chunks."""


class ReplayBuffer:
    """A replay buffer opened for reading and found whole.

    rate: steps a second [Hz], of a source that has no times and does not say.
    """

    def __init__(self, path: str | Path, rate: float | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.warnings: list[str] = []
        self._root = _open(self.path)
        self.arrays = _arrays(self._root, self.path)
        self.ends = _ends(self._root, self.path)
        self._check_lengths()
        self._sidecar = Sidecar(ZarrShelf(self._root)) if NAME in self._root else None
        self.is_pusht = is_pusht({name: array.shape[1:] for name, array in self.arrays.items()})
        self.packed = self._packed()
        self.spec = self._sidecar.spec if self._sidecar else self._own_spec()
        self.station = self._sidecar.station if self._sidecar else self._own_station(rate)

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def task(self) -> str:
        """What was done in it, as far as the source says."""
        return "pusht" if self.is_pusht else self.name.split(".")[0]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the arrays' names and shapes, their first and last rows, and the episodes' ends."""
        sha = hashlib.sha256(self.ends.astype("<i8").tobytes())
        for name, array in self.arrays.items():
            sha.update(repr((name, array.shape[1:], array.dtype.str)).encode())
            for row in {0, int(self.ends[-1]) - 1}:
                sha.update(self._read(name, row, row + 1).tobytes())
        return sha.hexdigest()

    def attrs(self, number: int) -> dict[str, Any]:
        """Of our own export all there were; of others what they say."""
        if self._sidecar:
            return self._sidecar.attrs(number)
        timed = "time" in {field.name for packed in self.packed for field in packed.fields}
        source = "measured" if timed else "synthetic"
        return {"kind": "import", "task": self.task, "time_source": source, "started": "", "clock_offset": 0.0}

    def rows(self, number: int) -> Iterator[NDArray[np.void]]:
        """Rows of one episode in blocks (n,) of the layout of `spec`."""
        start, stop = self._span(number)
        size = max(1, _BLOCK_BYTES // self.spec.dtype.itemsize)
        return (self._rows(start, at, min(at + size, stop)) for at in range(start, stop, size))

    def repairs(self, number: int) -> list[str]:
        """None: a buffer is whole, or refused."""
        return []

    def streams(self, number: int) -> dict[str, Stream]:
        """Of our own export."""
        return self._sidecar.streams(number) if self._sidecar else {}

    def read(self, packed: Packed, number: int) -> NDArray[Any]:
        """All rows of one array in one episode (T, *shape)."""
        return self._read(packed.name, *self._span(number))

    def _span(self, number: int) -> tuple[int, int]:
        return int(self.ends[number - 1]) if number else 0, int(self.ends[number])

    def _rows(self, begin: int, start: int, stop: int) -> NDArray[np.void]:
        """Rows start..stop of the arrays, of the episode that begins at row `begin`."""
        rows = np.zeros(stop - start, self.spec.dtype)
        rows["time"] = np.arange(start - begin, stop - begin) / self.station["rate"]
        if self._sidecar is None:
            rows["source"] = Source.OPERATOR
        for packed in self.packed:
            for name, values in packed.unpack(self._read(packed.name, start, stop)).items():
                rows[name] = values
        if self.is_pusht and "requested.position" not in self.arrays:
            rows["requested.position"] = rows["target.position"]
        return rows

    def _read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        try:
            return np.asarray(self.arrays[name][start:stop])
        except _READING as error:
            raise StoreError(
                f"rows {start} to {stop} of data/{name} in {self.path} cannot be read ({error}); copy the source "
                "again: what has come in stays, and the next import continues after it"
            ) from error

    def _packed(self) -> list[Packed]:
        """How fields lie in the arrays."""
        if self._sidecar:
            spec = self._sidecar.spec
            arrays = self._sidecar.layout["arrays"]
            return [Packed(a["name"], tuple(spec[name] for name in a["fields"]), a["dtype"]) for a in arrays]
        packed = pusht_arrays() if self.is_pusht else []
        known = {array.name for array in packed}
        named = {name: self._field(name, array) for name, array in self.arrays.items() if name not in known}
        return packed + [Packed(name, (field,), self.arrays[name].dtype.str) for name, field in named.items()]

    def _field(self, name: str, array: Any) -> Field:
        base = PUSHT if self.is_pusht else _BASE
        if name in base and array.shape[1:] == base[name].shape:
            return base[name]
        if name == "timestamp" and len(array.shape) == 1 and array.dtype.kind == "f":
            return base["time"]
        return field_of(name, array.shape[1:], array.dtype)

    def _own_spec(self) -> Spec:
        first = PUSHT if self.is_pusht else _BASE
        fields = [field for packed in self.packed for field in packed.fields]
        return first + Spec(field for field in fields if field.name not in first)

    def _own_station(self, rate: float | None) -> dict[str, Any]:
        return {"name": self.task, "robot": "", "rate": rate or self._rate()}

    def _rate(self) -> float:
        """Steps a second [Hz] by the source's own times; ConfigError where it has none."""
        if self.is_pusht:
            return PUSHT_RATE
        times = next((p for p in self.packed if p.fields[0].name == "time"), None)
        longest = int(np.argmax(np.diff(self.ends, prepend=0)))
        rate = measured_rate(self.read(times, longest).astype(np.float64)) if times else np.nan
        if not np.isfinite(rate):
            raise ConfigError(
                f"{self.path} has no times in it: say rate=<steps a second>. diffusion_policy's real robot records 10, "
                "UMI's GoPro 59.94"
            )
        return round(float(rate), 3)

    def _check_lengths(self) -> None:
        """Refuse arrays that are too short; leave out rows after the last episode, which a killed writer left."""
        for name, array in self.arrays.items():
            if array.shape[0] < self.ends[-1]:
                raise StoreError(
                    f"data/{name} in {self.path} has {array.shape[0]} rows, meta/episode_ends says {self.ends[-1]}: "
                    "not copied whole? Copy the source again, or shorten meta/episode_ends"
                )
            if more := array.shape[0] - int(self.ends[-1]):
                self.warnings.append(
                    f"data/{name} has {more} rows after the last episode: its writer was killed; they are left out"
                )


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
    _register_image_codecs()
    try:
        arrays: dict[str, Any] = dict(sorted(cast(zarr.Group, root["data"]).arrays()))
    except (ValueError, KeyError, ImportError) as error:
        raise StoreError(
            f"an array in {path}/data cannot be opened: {error}; install its codec (UMI's JPEG XL: "
            "`uv pip install imagecodecs`), or export it raw"
        ) from error
    there = count_chunks(path)
    for name, array in arrays.items():
        if absent := array.nchunks - (there[f"data/{name}"] if array.shards is None else array.nchunks_initialized):
            raise StoreError(
                f"data/{name} in {path} lacks {absent} of {array.nchunks} chunks: not copied whole, or zeros that zarr "
                "leaves out; copy the source again, or write it with write_empty_chunks"
            )
    return arrays


def _register_image_codecs() -> None:
    """Make JPEG XL and other picture codecs of UMI known to zarr, where they are installed."""
    try:
        from imagecodecs.numcodecs import register_codecs
    except ImportError:
        return
    register_codecs(verbose=False)


def _ends(root: zarr.Group, path: Path) -> NDArray[np.int64]:
    """The episodes' ends (episodes,), none before the last. Two that are the same are an empty episode."""
    ends = np.asarray(root["meta/episode_ends"], np.int64)
    if not len(ends) or not ends[-1]:
        raise StoreError(f"{path} has no episodes in it")
    if (np.diff(ends, prepend=0) < 0).any():
        raise StoreError(f"meta/episode_ends in {path} falls: {ends[:5]}...; this is not where episodes end")
    return ends
