"""Pictures of episodes as JPEG, made when they are asked for; whoever plays finds the next ones made already."""

from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from deploy.viewer.library import OpenEpisode
from robot_stack.types import Image

QUALITY = 90  # of JPEG: looked at, never learned from
CACHE_BYTES = 96 << 20
AHEAD = 8
"""Pictures made at once for whoever goes forward step by step: a video codec decodes a group of them anyway."""

Key = tuple[tuple[str, str], str, int]  # of the episode, camera, step


class Frames:
    """The newest JPEGs, up to CACHE_BYTES of them. Called from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._jpegs: OrderedDict[Key, bytes] = OrderedDict()
        self._bytes = 0

    def jpeg(self, opened: OpenEpisode, camera: str, step: int) -> bytes:
        """The picture of a camera at a step."""
        name = opened.key
        found = self._find((name, camera, step))
        if found is not None:
            return found
        plays = self._find((name, camera, step - 1)) is not None
        stop = min(step + (AHEAD if plays else 1), len(opened.episode))
        jpegs = [encode(image) for image in opened.episode.read(camera, step, stop)]
        for offset, jpeg in enumerate(jpegs):
            self._keep((name, camera, step + offset), jpeg)
        return jpegs[0]

    def _find(self, key: Key) -> bytes | None:
        with self._lock:
            if key in self._jpegs:
                self._jpegs.move_to_end(key)
            return self._jpegs.get(key)

    def _keep(self, key: Key, jpeg: bytes) -> None:
        with self._lock:
            self._bytes += len(jpeg) - len(self._jpegs.pop(key, b""))
            self._jpegs[key] = jpeg
            while self._bytes > CACHE_BYTES:
                self._bytes -= len(self._jpegs.popitem(last=False)[1])


def encode(image: NDArray[Any]) -> bytes:
    """JPEG of a picture: colour as it is; one value a pixel (depth, mask) in grey, the largest white."""
    if image.dtype == np.uint8 and image.shape[2:] == (3,):
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=QUALITY, colorsubsampling="444"))
    grey = _grey(image.reshape(*image.shape[:2], 1))
    return bytes(simplejpeg.encode_jpeg(grey, quality=QUALITY, colorspace="GRAY"))


def _grey(image: NDArray[Any]) -> Image:
    values = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return np.ascontiguousarray(255.0 * values / max(float(values.max()), 1e-9), np.uint8).clip(0)
