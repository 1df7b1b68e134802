"""A sidecar in an HDF5 file."""

import json
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

_JSON = "json"


class Hdf5Shelf:
    """JSON as a text in a data set, because attributes end at 64 kB; arrays as data sets."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def __contains__(self, path: str) -> bool:
        return path in self._file

    def put(self, path: str, content: dict[str, Any]) -> None:
        """Write the text of the group at a path."""
        self._file.require_group(path).create_dataset(_JSON, data=json.dumps(content), dtype=h5py.string_dtype())

    def get(self, path: str) -> dict[str, Any]:
        """Read the text of the group at a path."""
        content: dict[str, Any] = json.loads(self._file[f"{path}/{_JSON}"][()])
        return content

    def put_array(self, path: str, values: NDArray[Any]) -> None:
        """Write a data set."""
        self._file.create_dataset(path, data=values)

    def get_array(self, path: str) -> NDArray[Any]:
        """Read a data set."""
        return np.asarray(self._file[path])
