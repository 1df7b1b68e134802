"""Which array of a replay buffer holds which fields: one table for the way in and the way out.

PushT: Chi et al., Diffusion Policy, RSS 2023, `pusht_cchi_v7_replay.zarr`. UMI: Chi et al., Universal Manipulation
Interface, RSS 2024, `scripts_slam_pipeline/07_generate_replay_buffer.py`.

UMI's `camera0_rgb` is our `image.camera0`, the same bytes. Its pose keeps its names: `robot0_eef_rot_axis_angle` is
float32 axis-angle, which does not come back bit for bit from a quaternion.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.types import StoreError

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

_UMI_CAMERA = re.compile(r"(camera\d+)_rgb")
_UMI_UNITS = {"eef_pos": "m", "eef_rot_axis_angle": "rad", "gripper_width": "m"}
_UMI_UNITS |= {"demo_start_pose": "m,rad", "demo_end_pose": "m,rad"}


@dataclass(frozen=True)
class Packed:
    """One array (rows, *shape) and the fields in it: one as it is, or several flattened, one after the other."""

    name: str
    fields: tuple[Field, ...]
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self.fields[0].shape if len(self.fields) == 1 else (sum(_size(field) for field in self.fields),)

    def pack(self, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Fields (n, *shape) to the array's rows (n, *self.shape); whatever the dtype, the numbers are the same."""
        parts = [values[field.name] for field in self.fields]
        if len(parts) == 1:
            return parts[0].astype(self.dtype, copy=False)
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1, dtype=self.dtype)

    def unpack(self, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The inverse of `pack`; StoreError for a number that a field cannot hold."""
        out, start = {}, 0
        for field in self.fields:
            stop = start + _size(field)
            part = rows if len(self.fields) == 1 else rows[:, start:stop].reshape(len(rows), *field.shape)
            out[field.name] = _exactly(part, field, self.name)
            start = stop
        return out


def pusht_arrays() -> list[Packed]:
    """The four arrays of PushT; `action` is what was sent."""
    packed = {"state": ("agent", "block"), "keypoint": ("keypoints",), "action": ("target.position",)}
    arrays = [Packed(name, tuple(PUSHT[field] for field in fields), "<f8") for name, fields in packed.items()]
    # float32, because diffusion_policy divides by 255: of uint8 that would make float64, which its network refuses
    return [*arrays, Packed("img", (PUSHT["image.top"],), "<f4")]


def is_pusht(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether arrays of these row shapes are a PushT replay buffer."""
    return {array.name: array.shape for array in pusht_arrays()}.items() <= shapes.items()


def field_of(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Field:
    """The field that holds an array of a replay buffer as it is."""
    camera = _UMI_CAMERA.fullmatch(name)
    unit = next((unit for end, unit in _UMI_UNITS.items() if name.startswith("robot") and name.endswith(end)), "")
    return Field(f"image.{camera[1]}" if camera else name, shape, dtype.newbyteorder("<").str, unit)


def arrays_of(spec: Spec, action: Iterable[str]) -> list[Packed]:
    """The arrays that a spec goes out as: PushT's or UMI's names where it is theirs, else every field as it is.

    action: fields that make up the array `action`, beside their own arrays.
    """
    pusht = pusht_arrays() if not PUSHT.difference(spec.select(set(PUSHT.fields) & set(spec.fields))) else []
    arrays = pusht if not {array.name for array in pusht} & set(spec.fields) else []
    carried = {field.name for array in arrays for field in array.fields}
    umi = "robot0_eef_pos" in spec
    for field in spec:
        if field.name not in carried:
            camera = f"{field.name.removeprefix('image.')}_rgb"
            is_camera = umi and _UMI_CAMERA.fullmatch(camera) and camera not in spec
            arrays.append(Packed(camera if is_camera else field.name, (field,), field.dtype))
    if (fields := tuple(spec[name] for name in action)) and "action" not in {array.name for array in arrays}:
        arrays.append(Packed("action", fields, np.result_type(*(field.dtype for field in fields)).str))
    return arrays


def _size(field: Field) -> int:
    return int(np.prod(field.shape, dtype=int))


def _exactly(values: NDArray[Any], field: Field, array: str) -> NDArray[Any]:
    cast = values.astype(field.dtype)
    if not np.can_cast(values.dtype, cast.dtype) and not np.array_equal(cast, values):
        whole = np.iinfo(cast.dtype)
        raise StoreError(f"data/{array} holds other numbers than {whole.min}, ... {whole.max}: not {field.name}")
    return cast
