"""Columns of numbers and pictures as Arrow arrays, typed so that every version of LeRobot reads them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.types import StoreError

if TYPE_CHECKING:
    import pyarrow as pa


def array(values: NDArray[Any], shape: tuple[int, ...]) -> "pa.Array":
    """Rows (n, *shape) as a column: numbers for [1], fixed lists for one dimension, nested lists for more."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if shape == (1,):
        return flat
    if len(shape) == 1:
        return pa.FixedSizeListArray.from_arrays(flat, shape[0])
    for size in reversed(shape):
        flat = pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, size, dtype=np.int32)), flat)
    return flat


def picture(values: NDArray[Any], name: str) -> "pa.Array":
    """Pictures (n, height, width, ...) as a column of PNGs: 8 bit RGB, or 16 bit depths."""
    import cv2
    import pyarrow as pa

    encoded = []
    for value in values:
        done, png = cv2.imencode(".png", value[..., ::-1] if value.ndim == 3 else value)
        if not done:
            raise StoreError(f"a picture of {name} cannot be stored as PNG: {value.dtype}{list(value.shape)}")
        encoded.append({"bytes": png.tobytes(), "path": None})
    return pa.array(encoded, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def decode(root: Path, value: dict[str, Any] | None, what: str) -> NDArray[Any]:
    """A picture that is stored in a parquet file, or beside it under `root`: RGB (h, w, 3), or grey or depth (h, w)."""
    import cv2

    content = (value or {}).get("bytes")
    if content is None and (path := (value or {}).get("path")):
        beside = root / path
        content = beside.read_bytes() if beside.is_file() else None
    found = None if content is None else cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise StoreError(f"{what} has a picture that is missing or cannot be decoded; download the data set again")
    return np.ascontiguousarray(found[..., 2::-1]) if found.ndim == 3 else np.asarray(found)


def schema(features: dict[str, dict[str, Any]]) -> "pa.Schema":
    """The schema of a data file, with the types that the library `datasets` looks for in its metadata."""
    import pyarrow as pa

    stored = {name: feature for name, feature in features.items() if feature["dtype"] != "video"}
    fields = [pa.field(name, _type(feature)) for name, feature in stored.items()]
    known = {"info": {"features": {name: _known_type(feature) for name, feature in stored.items()}}}
    return pa.schema(fields, {"huggingface": json.dumps(known)})


def _type(feature: dict[str, Any]) -> "pa.DataType":
    import pyarrow as pa

    if feature["dtype"] == "string":
        return pa.string()
    if feature["dtype"] == "image":
        return picture(np.zeros((0,)), "").type
    shape = tuple(feature["shape"])
    return array(np.zeros((0, *shape), feature["dtype"]), shape).type


def _known_type(feature: dict[str, Any]) -> dict[str, Any]:
    shape, value = feature["shape"], {"dtype": feature["dtype"], "_type": "Value"}
    if feature["dtype"] == "image":
        return {"_type": "Image"}
    if shape == [1] or feature["dtype"] == "string":
        return value
    if len(shape) == 1:
        return {"feature": value, "length": shape[0], "_type": "Sequence"}
    return {"shape": shape, "dtype": feature["dtype"], "_type": f"Array{len(shape)}D"}
