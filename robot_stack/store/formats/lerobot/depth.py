"""Depth videos of LeRobot: codes of 12 bit, by default logarithmic. Source: `lerobot/datasets/depth_utils.py`."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CODES = 4095
_MILLIMETRES = 1000.0


@dataclass(frozen=True)
class Quantizer:
    """How depths became codes. near, far: depth of code 0 and 4095; shift: added before the log [m]."""

    near: float = 0.01
    far: float = 10.0
    shift: float = 3.5
    logarithmic: bool = True

    @classmethod
    def of(cls, feature: dict[str, Any]) -> "Quantizer":
        """The quantizer that a feature of info.json names, LeRobot's defaults for what it does not name."""
        info = feature.get("info") or {}
        keys = {"near": "depth_min", "far": "depth_max", "shift": "shift", "logarithmic": "use_log"}
        found = {name: info.get(f"video.{key}") for name, key in keys.items()}
        return cls(**{name: value for name, value in found.items() if value is not None})

    def millimetres(self, codes: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Depths (h, w) [mm] of codes (h, w): as LeRobot's reader gives them."""
        shift = self.shift if self.logarithmic else 0.0
        first, last = self.near + shift, self.far + shift
        if self.logarithmic:
            first, last = math.log(first), math.log(last)
        depths = codes.astype(np.float32) * np.float32((last - first) / _CODES) + np.float32(first)
        if self.logarithmic:
            depths = np.exp(depths)
        metres = np.clip(depths - np.float32(shift), self.near, self.far)
        return np.clip(np.rint(metres * _MILLIMETRES), 0, 65535).astype(np.uint16)
