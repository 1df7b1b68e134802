"""Tells a format by looking at the first bytes of a file, or at what lies in a folder. Imports no reader."""

import re
from pathlib import Path

from robot_stack.types import StoreError

_MAGIC = {
    b"PK\x03\x04": "diffusion_policy",
    b"PK\x05\x06": "diffusion_policy",  # a .zip without anything in it
    b"\x89HDF\r\n\x1a\n": "robomimic",
    b"\x89MCAP0\r\n": "mcap",
    b"#ROSBAG V2.0": "rosbag1",
    b"SQLite format 3\x00": "mcap",  # the other storage of rosbag2
}
_INSIDE = {
    "meta/info.json": "lerobot",
    "metadata.yaml": "mcap",
    ".zgroup": "diffusion_policy",
    "data/.zgroup": "diffusion_policy",
    "zarr.json": "diffusion_policy",
}
_SUFFIXES = {".hdf5": "robomimic", ".h5": "robomimic", ".mcap": "mcap", ".zip": "diffusion_policy"}
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

KNOWN = """\
  lerobot            a folder with meta/info.json (v3.0 or v2.1), or a hub id such as lerobot/pusht
  diffusion_policy   a replay buffer of diffusion_policy or UMI: a zarr folder, or a .zip of one
  robomimic          an .hdf5 file with data/demo_0, data/demo_1, ...
  mcap               an .mcap file, or a rosbag2 folder with metadata.yaml"""


def recognise(path_or_id: str) -> str:
    """The name of the format of a file, folder or hub id; StoreError lists what could have been read."""
    path = Path(path_or_id)
    if path.is_dir():
        found = next((name for inside, name in _INSIDE.items() if (path / inside).exists()), None)
        found = found or ("mcap" if any(path.glob("*.mcap")) else None)
        found = found or ("mcap" if any(path.glob("*.db3")) or any(path.glob("*/metadata.yaml")) else None)
    elif path.is_file():
        found = _of_file(path)
    elif _HUB_ID.fullmatch(path_or_id) and not path.suffix:
        found = "lerobot"
    else:
        raise StoreError(f"there is nothing at {path}")
    if found == "rosbag1":
        words = (
            f"{path} is a bag of ROS 1: `rosbags-convert --src {path} --dst …` makes one of ROS 2 of it; import that"
        )
        raise StoreError(words)
    if found is None:
        raise StoreError(f"{path} is of no format that is known here. What can be brought in:\n{KNOWN}")
    return found


def _of_file(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(16)
    magic = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    return magic or _SUFFIXES.get(path.suffix)  # a damaged one goes to its reader, which says what is wrong with it
