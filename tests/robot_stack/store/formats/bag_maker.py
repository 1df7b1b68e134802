"""Bags made for tests: by rosbags' own writer (rosbag2 folders) and by mcap's own writer (files)."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

mcap_writer = pytest.importorskip("mcap.writer", reason="pip install mcap")
rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="pip install rosbags")
from rosbags.typesys import Stores, get_types_from_msg, get_typestore  # noqa: E402

TYPES = get_typestore(Stores.ROS2_HUMBLE)
CUSTOM = "my_robot/msg/Finger"
TYPES.register(get_types_from_msg("std_msgs/Header header\nfloat64 opening\nfloat64[4] wxyz\nstring mood\n", CUSTOM))
EPOCH = 1_700_000_000  # [s]


class Sent(NamedTuple):
    """A message on its way into a bag. received: [ns]."""

    topic: str
    type: str
    received: int
    message: Any


def make(name: str, /, **values: Any) -> Any:
    """A message of that type."""
    return TYPES.types[name](**values)


def header(time: int) -> Any:
    """time: [ns]."""
    stamp = make("builtin_interfaces/msg/Time", sec=time // 10**9, nanosec=time % 10**9)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id="")


def joints(time: int, position: Iterable[float], names: Iterable[str] = ("a", "b"), **values: Any) -> Any:
    empty = np.zeros(0)
    numbers = {"velocity": empty, "effort": empty, **values}
    position = np.array(list(position), float)
    return make("sensor_msgs/msg/JointState", header=header(time), name=list(names), position=position, **numbers)


def image(time: int, pixels: np.ndarray, encoding: str, padding: int = 0, is_bigendian: int = 0) -> Any:
    """pixels: (height, width, ...), as they lie in memory; padding: bytes after each line."""
    height, width = pixels.shape[:2]
    lines = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    lines = np.pad(lines, ((0, 0), (0, padding)), constant_values=7)
    about = {"encoding": encoding, "is_bigendian": is_bigendian, "step": lines.shape[1]}
    head = header(time)
    return make("sensor_msgs/msg/Image", header=head, height=height, width=width, data=lines.reshape(-1), **about)


def compressed(time: int, data: bytes, format: str) -> Any:
    array = np.frombuffer(data, np.uint8)
    return make("sensor_msgs/msg/CompressedImage", header=header(time), format=format, data=array)


def number(value: float) -> Any:
    """A message without a header."""
    return make("std_msgs/msg/Float64", data=value)


def write_mcap(path: Path, sent: Iterable[Sent], definitions: bool = True, finish: bool = True, **options: Any) -> Path:
    """An MCAP file by mcap's writer. finish: without it, as a recorder that was killed leaves it."""
    file = path.open("wb")
    writer = mcap_writer.Writer(file, **options)
    writer.start("ros2")
    channels: dict[str, int] = {}
    for one in sent:
        if one.topic not in channels:
            text = TYPES.generate_msgdef(one.type, ros_version=2)[0] if definitions else ""
            schema = writer.register_schema(one.type, "ros2msg", text.encode())
            channels[one.topic] = writer.register_channel(one.topic, "cdr", schema)
        data = bytes(TYPES.serialize_cdr(one.message, one.type))
        writer.add_message(channels[one.topic], one.received, data, one.received)
    if finish:
        writer.finish()
    file.close()
    return path


def write_rosbag2(path: Path, sent: Iterable[Sent], storage: str = "SQLITE3", packed: str = "") -> Path:
    """A rosbag2 folder by rosbags' writer. packed: MESSAGE, STORAGE or nothing."""
    writer = rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin[storage])
    if packed:
        writer.set_compression(rosbag2.CompressionMode[packed], rosbag2.CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for one in sent:
            if one.topic not in connections:
                connections[one.topic] = writer.add_connection(one.topic, one.type, typestore=TYPES)
            writer.write(connections[one.topic], one.received, TYPES.serialize_cdr(one.message, one.type))
    return path


WRITERS: dict[str, Callable[[Path, Iterable[Sent]], Path]] = {
    "mcap zstd": lambda folder, sent: write_mcap(folder / "bag.mcap", sent, chunk_size=2000),
    "mcap lz4": lambda folder, sent: write_mcap(
        folder / "bag.mcap", sent, chunk_size=2000, compression=mcap_writer.CompressionType.LZ4
    ),
    "mcap plain": lambda folder, sent: write_mcap(
        folder / "bag.mcap", sent, chunk_size=2000, compression=mcap_writer.CompressionType.NONE
    ),
    "mcap without chunks": lambda folder, sent: write_mcap(folder / "bag.mcap", sent, use_chunking=False),
    "mcap without index": lambda folder, sent: write_mcap(
        folder / "bag.mcap",
        sent,
        index_types=mcap_writer.IndexType.NONE,
        use_statistics=False,
        repeat_channels=False,
        repeat_schemas=False,
        use_summary_offsets=False,
    ),
    "rosbag2 sqlite3": lambda folder, sent: write_rosbag2(folder / "bag", sent),
    "rosbag2 sqlite3 packed": lambda folder, sent: write_rosbag2(folder / "bag", sent, packed="MESSAGE"),
    "rosbag2 mcap": lambda folder, sent: write_rosbag2(folder / "bag", sent, storage="MCAP"),
    "rosbag2 mcap packed": lambda folder, sent: write_rosbag2(folder / "bag", sent, storage="MCAP", packed="STORAGE"),
}
