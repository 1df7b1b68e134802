"""One committed episode as it lies on disk: it never changes. `episode.Episode` is what is seen of it after edits."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Spec
from robot_stack.store import arrays
from robot_stack.store.folder import Folder
from robot_stack.types import StoreError

STREAMS = "streams/"
"""Before the name of a raw stream, where it stands among fields."""


class Recording:
    """The zarr group of one episode. Holds no open file: it may be pickled, and used after a fork.

    episodes, name: the folder of all episodes, and the name of this one's in it.
    """

    def __init__(self, episodes: Folder, name: str, spec: Spec, attrs: Mapping[str, Any]) -> None:
        self.spec, self.attrs = spec, attrs
        self.id, self.generation = split_name(name)
        self._episodes, self._name = episodes, name
        self._arrays: dict[str, arrays.Array] = {}

    @property
    def path(self) -> Folder:
        """Its folder."""
        return self._episodes / self._name

    def __len__(self) -> int:
        return int(self.attrs["rows"])

    def array(self, name: str) -> arrays.Array:
        """The array of a field, or of a stream as 'streams/<name>'."""
        if name not in self._arrays:
            folder = self.path
            for part in name.split("/") if name.startswith(STREAMS) else [self.spec[name].name]:
                folder = folder / part
            self._arrays[name] = arrays.Array(folder)
        return self._arrays[name]

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop of a field (stop - start, *shape)."""
        array = self.array(name)
        if len(array) < stop:
            raise StoreError(f"{array.path} has {len(array)} rows, the episode {len(self)}: restore it from a copy")
        return array.read(start, stop)

    @property
    def streams(self) -> dict[str, list[str]]:
        """Raw streams: name -> columns."""
        return {name: list(self.array(STREAMS + name).attributes["columns"]) for name in self.attrs.get("streams", {})}

    def stream(self, name: str) -> NDArray[np.float64]:
        """All rows of a raw stream (N, columns), in the order of arrival."""
        if name not in (there := self.attrs.get("streams", {})):
            raise StoreError(f"{self.id} has no stream {name!r}; there are: {', '.join(there) or 'none'}")
        return self.array(STREAMS + name).read()


def content_hash(spec: Spec, digests: Mapping[str, str]) -> str:
    """The hash of an episode: SHA-256 over the spec's JSON and a line `name digest` a field, in the spec's order, then
    a line a raw stream, by name."""
    names = [*spec.fields, *sorted(name for name in digests if name.startswith(STREAMS))]
    lines = [f"{name} {digests[name]}\n" for name in names]
    return hashlib.sha256((spec.to_json() + "\n" + "".join(lines)).encode()).hexdigest()


def split_name(folder: str) -> tuple[str, int]:
    """Id and generation of an episode from the name of its folder: 'ep-000012~1' is generation 1 of ep-000012."""
    name, _, generation = folder.partition("~")
    return name, int(generation) if generation.isdigit() else 0


def folder_name(episode: str, generation: int) -> str:
    """The inverse of `split_name`."""
    return f"{episode}~{generation}" if generation else episode
