"""Pictures out of sensor_msgs/Image and CompressedImage: colour as RGB, distances in 16 bit [mm]."""

from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from robot_stack.types import StoreError

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
DEPTH_16, DEPTH_32 = ("16UC1", "mono16"), "32FC1"

_RGB, _BGR, _GREY = slice(0, 3), slice(2, None, -1), [0, 0, 0]
_CHANNELS: dict[str, tuple[Any, int]] = {  # encoding -> which channels are red, green and blue, of how many
    "rgb8": (_RGB, 3),
    "bgr8": (_BGR, 3),
    "8UC3": (_BGR, 3),
    "rgba8": (_RGB, 4),
    "bgra8": (_BGR, 4),
    "8UC4": (_BGR, 4),
    "mono8": (_GREY, 1),
    "8UC1": (_GREY, 1),
}
_PNG = b"\x89PNG\r\n\x1a\n"

Picture = NDArray[np.uint8] | NDArray[np.uint16]


def picture(message: Any, depth: bool) -> Picture:
    """RGB (height, width, 3) u1, grey as three equal channels; with depth, distances (height, width) u2 [mm].

    StoreError says why a message cannot be read.
    """
    if message.__msgtype__ == COMPRESSED:
        return _depth_png(message) if depth else _colour_file(message)
    return _depth(message) if depth else _colour(message)


def is_depth(message: Any) -> bool:
    """Whether a message holds distances, as far as it says."""
    if message.__msgtype__ == COMPRESSED:
        return "compressedDepth" in message.format or str(message.format).startswith(DEPTH_16)
    return message.encoding in (*DEPTH_16, DEPTH_32)


def is_rounded(message: Any) -> bool:
    """Whether distances are finer in the message than in a picture, which has 1 mm."""
    return getattr(message, "encoding", "") == DEPTH_32


def _colour(message: Any) -> NDArray[np.uint8]:
    if message.encoding not in _CHANNELS:
        also = " (distances: name the field depth.…)" if is_depth(message) else ""
        raise StoreError(f"encoding {message.encoding!r}{also}; can be read: {', '.join(_CHANNELS)}")
    order, channels = _CHANNELS[message.encoding]
    return np.ascontiguousarray(_pixels(message, channels).reshape(message.height, -1, channels)[..., order])


def _depth(message: Any) -> NDArray[np.uint16]:
    if message.encoding not in (*DEPTH_16, DEPTH_32):
        raise StoreError(
            f"encoding {message.encoding!r} holds no distances; can be read: {', '.join(DEPTH_16)}, {DEPTH_32}"
        )
    order = ">" if message.is_bigendian else "<"
    if message.encoding == DEPTH_32:
        metres = _pixels(message, 4).view(f"{order}f4")
        whole = np.isfinite(metres) & (metres > 0.0)
        return np.rint(np.clip(np.where(whole, metres, 0.0) * 1e3, 0, 65535)).astype(np.uint16)
    return _pixels(message, 2).view(f"{order}u2").astype(np.uint16)


def _pixels(message: Any, size: int) -> NDArray[np.uint8]:
    """The bytes of the pixels (height, width * size), without what pads the lines."""
    width, step = message.width * size, message.step or message.width * size
    if not width or step < width or len(message.data) < message.height * step:
        raise StoreError(
            f"{message.width} x {message.height} {message.encoding} with {len(message.data)} bytes, {step} a line"
        )
    lines = np.asarray(message.data)[: message.height * step].reshape(message.height, step)
    return np.ascontiguousarray(lines[:, :width])


def _colour_file(message: Any) -> NDArray[np.uint8]:
    data = bytes(message.data)
    if data.startswith(b"\xff\xd8"):
        try:
            return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"))
        except ValueError as error:
            raise StoreError(f"a damaged JPEG: {error}") from error
    image = _decode(data, message.format, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _depth_png(message: Any) -> NDArray[np.uint16]:
    """A PNG, by compressed_depth_image_transport behind a header of its own."""
    data = bytes(message.data)
    start = max(0, data.find(_PNG, 0, 64))
    image = _decode(data[start:], message.format, cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise StoreError(
            f"format {message.format!r} holds {image.dtype}{list(image.shape)}; expected one channel of 16 bit"
        )
    return image


def _decode(data: bytes, name: str, flags: int) -> NDArray[Any]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise StoreError(f"format {name!r} with {len(data)} bytes cannot be decoded; JPEG and PNG can")
    return np.asarray(image)
