"""Brings in robomimic's HDF5 files: `data/demo_0/{obs/*, actions, rewards, dones, states}`, one group a demonstration.

Times are step / rate, with the rate of `env_args` (`control_freq`) where it says one. `env_args` goes to the station,
`model_file` and the masks that name a demonstration to its attributes. `next_obs` is `obs` one step later and is left
out, unless it is something else. Layout: https://robomimic.github.io/docs/datasets/overview.html
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store.formats.hdf5_shelf import Hdf5Shelf
from robot_stack.store.formats.protocol import Stream
from robot_stack.store.formats.robomimic_layout import base_fields, field_name
from robot_stack.store.formats.sidecar import NAME, Sidecar
from robot_stack.types import ConfigError, Source, StoreError

_BLOCK_BYTES = 32 << 20  # of rows in memory at a time


class RobomimicSource:
    """An HDF5 file opened for reading, every demonstration with the same data sets of one length.

    rate: steps a second [Hz], where `env_args` has no `control_freq`.
    """

    def __init__(self, path: str | Path, rate: float | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.warnings: list[str] = []
        self._file = _open(self.path)
        self.demos = _demos(self._file, self.path)
        self._sidecar = Sidecar(Hdf5Shelf(self._file)) if NAME in self._file else None
        self._paths = self._sidecar.layout["paths"] if self._sidecar else self._own_paths()
        self._lengths = [self._length(demo) for demo in self.demos]
        self.env_args = _env_args(self._file)
        self.spec = self._sidecar.spec if self._sidecar else self._own_spec()
        self.station = self._sidecar.station if self._sidecar else self._own_station(rate)

    def __len__(self) -> int:
        return len(self.demos)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the demonstrations' names and lengths, the data sets, and the first and last rows of all."""
        sha = hashlib.sha256(repr((self.demos, self._lengths, sorted(self._paths.values()))).encode())
        for demo, rows in ((self.demos[0], self._lengths[0]), (self.demos[-1], self._lengths[-1])):
            for path in sorted(self._paths.values()):
                for row in {0, rows - 1} - {-1}:
                    sha.update(self._read(demo, path, row, row + 1).tobytes())
        return sha.hexdigest()

    def attrs(self, number: int) -> dict[str, Any]:
        """Of our own export all there were; of others verdict by sparse rewards, attributes of the group and masks."""
        if self._sidecar:
            return self._sidecar.attrs(number)
        demo = self.demos[number]
        said = {key: _plain(value) for key, value in self._file[f"data/{demo}"].attrs.items() if key != "num_samples"}
        masks = [name for name, demos in self._masks.items() if demo in demos]
        return {
            "kind": "import",
            "task": self.station["name"],
            "verdict": self._verdict(number),
            "time_source": "measured" if "time" in self._paths else "synthetic",
            "started": "",
            "clock_offset": 0.0,
            "robomimic": {"demo": demo, "masks": masks, "attributes": said},
        }

    def rows(self, number: int) -> Iterator[NDArray[np.void]]:
        """Rows of one demonstration in blocks (n,) of the layout of `spec`."""
        size = max(1, _BLOCK_BYTES // self.spec.dtype.itemsize)
        length = self._lengths[number]
        return (self._rows(self.demos[number], at, min(at + size, length)) for at in range(0, length, size))

    def repairs(self, number: int) -> list[str]:
        """None: a file is whole, or refused."""
        return []

    def streams(self, number: int) -> dict[str, Stream]:
        """Of our own export."""
        return self._sidecar.streams(number) if self._sidecar else {}

    def read(self, number: int, path: str) -> NDArray[Any]:
        """All rows of one data set of a demonstration (T, *shape)."""
        return self._read(self.demos[number], path, 0, self._lengths[number])

    def _rows(self, demo: str, start: int, stop: int) -> NDArray[np.void]:
        rows = np.zeros(stop - start, self.spec.dtype)
        if self._sidecar is None:
            rows["time"] = np.arange(start, stop) / self.station["rate"]
            rows["source"] = Source.OPERATOR
        for name, path in self._paths.items():
            rows[name] = self._read(demo, path, start, stop)
        return rows

    def _read(self, demo: str, path: str, start: int, stop: int) -> NDArray[Any]:
        try:
            return np.asarray(self._file[f"data/{demo}/{path}"][start:stop])
        except (OSError, KeyError, RuntimeError) as error:
            raise StoreError(
                f"rows {start} to {stop} of data/{demo}/{path} in {self.path} cannot be read ({error}); copy the file "
                "again: what has come in stays, and the next import continues after it"
            ) from error

    def _own_paths(self) -> dict[str, str]:
        """Field -> path of its data set, by the first demonstration that has steps."""
        first = next((demo for demo in self.demos if self._count(demo)), self.demos[0])
        group, rows = self._file[f"data/{first}"], self._count(first)
        sets: dict[str, h5py.Dataset] = {}
        group.visititems(lambda path, item: sets.update({path: item}) if isinstance(item, h5py.Dataset) else None)
        paths = {}
        for path, data in sorted(sets.items()):
            if path.startswith("next_obs/") and self._is_shifted(sets, path):
                continue
            if data.dtype.kind not in "iufb":
                self.warnings.append(f"{path} is left out: it holds {data.dtype}, the store holds numbers")
            elif data.shape[:1] != (rows,) and path != "actions" and not path.startswith("obs/"):
                self.warnings.append(f"{path} {data.shape} is left out: it has not one row a step ({rows})")
            elif 0 in data.shape[1:]:
                self.warnings.append(f"{path} {data.shape} is left out: there is nothing in it")
            else:
                name = field_name(path)
                paths[path.replace("/", ".") if name in paths else name] = path
        return paths

    def _is_shifted(self, sets: dict[str, h5py.Dataset], path: str) -> bool:
        """Whether next_obs/x is obs/x one step later; its last row, which nothing else holds, is told of."""
        after, before = sets[path], sets.get(path.removeprefix("next_"))
        if before is None or before.shape != after.shape or not np.array_equal(after[:-1], before[1:]):
            return False
        if len(after) and not np.array_equal(after[-1], before[-1]):
            self.warnings.append(f"the last row of {path} is left out: what was observed after the last step")
        return True

    def _count(self, demo: str) -> int:
        """Steps of a demonstration, by its actions."""
        group = self._file[f"data/{demo}"]
        if "actions" not in group:
            raise StoreError(f"data/{demo} in {self.path} has no actions; there are: {', '.join(group) or 'nothing'}")
        return int(group["actions"].shape[0])

    def _length(self, demo: str) -> int:
        """Steps of a demonstration in which every data set is there and of this length."""
        rows, group, first = self._count(demo), self._file[f"data/{demo}"], self._file[f"data/{self.demos[0]}"]
        for path in self._paths.values():
            if path not in group:
                raise StoreError(f"data/{demo} in {self.path} has no {path}, which the first demonstration has")
            found, wanted = group[path], first[path]
            if found.shape[0] != rows:
                raise StoreError(f"data/{demo}/{path} in {self.path} has {len(found)} rows, its actions have {rows}")
            if found.shape[1:] != wanted.shape[1:] or not np.can_cast(found.dtype, wanted.dtype):
                raise StoreError(
                    f"data/{demo}/{path} in {self.path} is {found.dtype} {found.shape}, in the first demonstration "
                    f"{wanted.dtype} {wanted.shape}: import them from files of their own"
                )
        return rows

    def _own_spec(self) -> Spec:
        base, group = base_fields(), self._file[f"data/{self.demos[0]}"]
        fields = [
            Field(name, group[path].shape[1:], group[path].dtype.newbyteorder("<").str)
            for name, path in self._paths.items()
        ]
        return base + Spec(field for field in fields if field.name not in base)

    def _own_station(self, rate: float | None) -> dict[str, Any]:
        rate = rate or self.env_args.get("env_kwargs", {}).get("control_freq")
        if not rate:
            raise ConfigError(f"{self.path} does not say its rate: say rate=<steps a second>; robosuite's is mostly 20")
        name = self.env_args.get("env_name") or self.path.stem
        said = {"env_args": self.env_args, "paths": self._paths}
        return {"name": name, "robot": "", "rate": float(rate), "robomimic": said}

    def _verdict(self, number: int) -> str:
        """Success where a reward of 0s and 1s says so; a shaped one says nothing."""
        rewards = self.read(number, "rewards") if "rewards" in self._paths else np.zeros(0)
        return "success" if np.isin(rewards, (0, 1)).all() and rewards.any() else "unknown"

    @cached_property
    def _masks(self) -> dict[str, set[str]]:
        masks = self._file.get("mask", {})
        return {name: {demo.decode() for demo in np.asarray(masks[name])} for name in masks}


def _open(path: Path) -> h5py.File:
    if not path.exists():
        raise StoreError(f"there is nothing at {path}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise StoreError(f"{path} is no whole HDF5 file ({error}); copy it again") from error


def _demos(file: h5py.File, path: Path) -> list[str]:
    """Names of the demonstrations, in the order of their numbers."""
    if "data" not in file:
        raise StoreError(f"{path} has no group data; there are: {', '.join(file) or 'none'}: not a file of robomimic")
    names = [name for name in file["data"] if name.startswith("demo_") and name[5:].isdigit()]
    if not names:
        raise StoreError(f"{path} has no data/demo_0, ...: not a file of robomimic, or without demonstrations")
    return sorted(names, key=lambda name: int(name[5:]))


def _env_args(file: h5py.File) -> dict[str, Any]:
    text = file["data"].attrs.get("env_args", "{}")
    try:
        args = json.loads(text)
    except ValueError:
        return {"text": str(text)}
    return args if isinstance(args, dict) else {"text": str(text)}


def _plain(value: Any) -> Any:
    """An HDF5 attribute as JSON can hold it."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
