"""A sidecar in a zarr group."""

from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray


class ZarrShelf:
    """JSON as attributes of groups, arrays as arrays."""

    def __init__(self, root: zarr.Group) -> None:
        self._root = root

    def __contains__(self, path: str) -> bool:
        return path in self._root

    def put(self, path: str, content: dict[str, Any]) -> None:
        """Replace the attributes of the group at a path, made if it is not there."""
        self._root.require_group(path).attrs.put(content)

    def get(self, path: str) -> dict[str, Any]:
        """The attributes of the group at a path."""
        return cast(zarr.Group, self._root[path]).attrs.asdict()

    def put_array(self, path: str, values: NDArray[Any]) -> None:
        """Replace the array at a path."""
        self._root.create_array(path, data=values, chunks=tuple(max(1, n) for n in values.shape), overwrite=True)

    def get_array(self, path: str) -> NDArray[Any]:
        """The array at a path."""
        return np.asarray(cast(zarr.Array[Any], self._root[path])[...])
