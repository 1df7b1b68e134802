"""What another format cannot hold, kept beside its data: a group `robot_stack` that its own readers pass over.

    robot_stack                the spec with units and frames, the station, and how fields are packed (`layout`)
    robot_stack/000012         attributes of episode 12, counted from 0
    robot_stack/000012/control one raw stream beside the rows, (N, columns) float64

In a folder or a .zip it is a zarr group whose attributes hold the JSON; in HDF5 a group with data sets `json`.
"""

import json
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Spec
from robot_stack.store.episode import Episode
from robot_stack.store.formats.protocol import Stream
from robot_stack.store.store import Store
from robot_stack.types import StoreError

NAME = "robot_stack"
VERSION = 1


class Shelf(Protocol):
    """Where a sidecar lies: JSON and arrays under paths. See `zarr_shelf` and `hdf5_shelf`."""

    def __contains__(self, path: str) -> bool: ...
    def put(self, path: str, content: dict[str, Any]) -> None: ...
    def get(self, path: str) -> dict[str, Any]: ...
    def put_array(self, path: str, values: NDArray[Any]) -> None: ...
    def get_array(self, path: str) -> NDArray[Any]: ...


class Sidecar:
    """A sidecar that is there."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        head = shelf.get(NAME)
        if head.get("version") != VERSION:
            raise StoreError(f"the sidecar {NAME} has version {head.get('version')}, this software reads {VERSION}")
        self.spec = Spec.from_json(json.dumps(head["spec"]))
        self.station: dict[str, Any] = head["station"]
        self.layout: dict[str, Any] = head["layout"]

    @classmethod
    def begin(cls, shelf: Shelf, store: Store, layout: dict[str, Any]) -> "Sidecar":
        """Write what holds for all episodes. layout: of the format, to find the fields again."""
        head = {"format": "robot-stack sidecar", "version": VERSION, "station": store.station, "layout": layout}
        shelf.put(NAME, {**head, "spec": json.loads(store.spec.to_json())})
        return cls(shelf)

    def add(self, number: int, episode: Episode) -> None:
        """Write what belongs to one episode."""
        columns = episode.streams
        for name in columns:
            self._shelf.put_array(f"{_of(number)}/{name}", episode.stream(name))
        self._shelf.put(_of(number), {"attrs": episode.attrs, "streams": columns})

    def attrs(self, number: int) -> dict[str, Any]:
        """Attributes of an episode as they were in the store."""
        return cast(dict[str, Any], self._shelf.get(_of(number))["attrs"])

    def streams(self, number: int) -> dict[str, Stream]:
        """Raw streams of an episode."""
        columns: dict[str, list[str]] = self._shelf.get(_of(number))["streams"]
        arrays = {name: self._shelf.get_array(f"{_of(number)}/{name}") for name in columns}
        return {name: Stream(columns[name], np.asarray(arrays[name], np.float64)) for name in columns}


def _of(number: int) -> str:
    return f"{NAME}/{number:06d}"
