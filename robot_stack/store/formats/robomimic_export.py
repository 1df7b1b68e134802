"""Writes robomimic's HDF5: `data/demo_0/{obs/*, next_obs/*, actions, rewards, dones, states}`, attributes and masks.

A killed HDF5 file can be damaged anywhere, so an interrupted export is begun anew. `next_obs` is a view of `obs`, one
step later, that takes no space. Layout: https://robomimic.github.io/docs/datasets/overview.html
"""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from robot_stack.spec import Field
from robot_stack.store.arrays import is_frame
from robot_stack.store.episode import Episode
from robot_stack.store.formats.action import action_fields
from robot_stack.store.formats.exporting import compare, compare_with
from robot_stack.store.formats.hdf5_shelf import Hdf5Shelf
from robot_stack.store.formats.replay_layout import Packed
from robot_stack.store.formats.robomimic import RobomimicSource
from robot_stack.store.formats.robomimic_layout import observed, paths_of
from robot_stack.store.formats.sidecar import Sidecar
from robot_stack.store.store import Store
from robot_stack.types import ConfigError

_GYM = 2  # robomimic's EnvBase.EnvType.GYM_TYPE: an environment that is neither robosuite's nor MOMART's


class RobomimicExport:
    """An HDF5 file that is being written.

    action: fields that make up `actions`; None for target.pose and target.grip.
    """

    def __init__(self, place: Path, store: Store, action: Iterable[str] | None = None) -> None:
        self._place, self._store = place, store
        self._origin: dict[str, Any] = store.station.get("robomimic", {})
        self._paths = paths_of(store.spec, self._origin.get("paths", {}))
        fields = action_fields(store.spec, action, "actions", self._paths.values())
        if not fields and "actions" not in self._paths.values():
            raise ConfigError(
                f"robomimic needs actions: say action=[field,…]; there are: {', '.join(store.spec.fields)}"
            )
        dtype = np.result_type(*(store.spec[name].dtype for name in fields)).str if fields else ""
        self._action = Packed("actions", tuple(store.spec[name] for name in fields), dtype)
        self.warnings = [
            "rewards (1 at the last step of a success), dones and states (empty) are made up, as robomimic wants them"
        ]
        if "rewards" in self._paths:
            self.warnings = []

    def done(self) -> int:
        """Always 0: begun anew."""
        self._place.unlink(missing_ok=True)
        self._file.create_group("data").attrs["env_args"] = json.dumps(self._env_args())
        Sidecar.begin(Hdf5Shelf(self._file), self._store, {"paths": self._paths})
        return 0

    def write(self, number: int, episode: Episode) -> None:
        """Add a demonstration."""
        demo = self._file.create_group(f"data/demo_{number}")
        demo.attrs["num_samples"] = len(episode)
        demo.attrs.update(episode.attrs.get("robomimic", {}).get("attributes", {}))
        for name, path in self._paths.items():
            _write_field(demo, path, self._store.spec[name], episode)
        for path in observed(self._paths):
            _view_next(demo, path)
        self._make_up(demo, episode)
        Sidecar(Hdf5Shelf(self._file)).add(number, episode)
        for mask in episode.attrs.get("robomimic", {}).get("masks", []):
            self._masks.setdefault(mask, []).append(f"demo_{number}")

    def close(self) -> None:
        """Write masks and the number of all steps."""
        data = self._file["data"]
        data.attrs["total"] = sum(int(demo.attrs["num_samples"]) for demo in data.values())
        for mask, demos in self._masks.items():
            self._file.create_dataset(f"mask/{mask}", data=np.array(demos, "S"))
        self._file.close()

    def check(self, number: int, episode: Episode) -> None:
        """Every data set and the sidecar, read as an import does; and `actions`, where they were made here."""
        compare_with(self._written, number, episode)
        if self._action.fields:
            wanted = self._action.pack(_values(episode, self._action.fields))
            compare(episode.id, "actions", wanted, self._written.read(number, "actions"))

    @cached_property
    def _file(self) -> h5py.File:
        return h5py.File(self._place, "x", libver=("v110", "v110"))  # views came with HDF5 1.10

    @cached_property
    def _masks(self) -> dict[str, list[str]]:
        return {}

    @cached_property
    def _written(self) -> RobomimicSource:
        return RobomimicSource(self._place)

    def _env_args(self) -> dict[str, Any]:
        said: dict[str, Any] = self._origin.get("env_args") or {}
        named = {"env_name": self._store.station.get("name", ""), "env_type": _GYM}
        return said or {**named, "env_kwargs": {"control_freq": self._store.station["rate"]}}

    def _make_up(self, demo: h5py.Group, episode: Episode) -> None:
        """What robomimic wants and the store has not."""
        rows = len(episode)
        last = np.zeros(rows)
        last[-1] = 1.0
        if self._action.fields:
            demo["actions"] = self._action.pack(_values(episode, self._action.fields))
        made = {"rewards": last * (episode.attrs["verdict"] == "success"), "dones": last, "states": np.zeros((rows, 0))}
        for name, values in made.items():
            if name not in demo:
                demo[name] = values


def _values(episode: Episode, fields: Iterable[Field]) -> Mapping[str, Any]:
    return {field.name: episode[field.name] for field in fields}


def _write_field(demo: h5py.Group, path: str, field: Field, episode: Episode) -> None:
    """One data set, a block at a time; pictures one a chunk and gzipped, as robomimic's `--compress` does."""
    shape = (len(episode), *field.shape)
    chunked: dict[str, Any] = {"chunks": (1, *field.shape), "compression": "gzip"} if is_frame(field) else {}
    data = demo.create_dataset(path, shape, field.dtype, **chunked)
    start = 0
    for block in episode.blocks(field.name):
        data[start : start + len(block)] = block
        start += len(block)


def _view_next(demo: h5py.Group, path: str) -> None:
    """next_obs: the observation of the step after; after the last step the last one again."""
    data = demo[path]
    source = h5py.VirtualSource(data)
    view = h5py.VirtualLayout(data.shape, data.dtype)
    if len(data) > 1:
        view[:-1] = source[1:]
    view[-1:] = source[len(data) - 1 :]
    demo.create_virtual_dataset(f"next_{path}", view)
