"""Finds the bags at a path: an MCAP file, a rosbag2 folder (mcap or sqlite3, split or not), or a folder of those."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from robot_stack.store.formats.ros import db3_file, mcap_file
from robot_stack.store.formats.ros.bag import BagFile, Message, Topic
from robot_stack.store.formats.ros.db3_file import Db3File
from robot_stack.store.formats.ros.mcap_file import McapFile
from robot_stack.types import StoreError

SUFFIXES = (".mcap", ".db3")
METADATA = "metadata.yaml"


class Found(NamedTuple):
    """A message, and in which file of the bag it is."""

    file: int
    message: Message


class Bag:
    """One recording, in one file or split into several."""

    def __init__(self, path: Path, files: list[BagFile], warnings: list[str]) -> None:
        self.path = path
        self.files = files
        self._warnings = warnings

    @property
    def name(self) -> str:
        """Of its file or folder."""
        return self.path.name

    @property
    def warnings(self) -> list[str]:
        """What is cut or damaged; complete after all messages were read."""
        return [*self._warnings, *(sentence for file in self.files for sentence in file.warnings)]

    @cached_property
    def topics(self) -> dict[str, Topic]:
        """The topics of all files together, by name."""
        topics: dict[str, Topic] = {}
        for file in self.files:
            for name, topic in file.topics().items():
                if name not in topics or not topics[name].count:
                    topics[name] = topic
                elif topic.count:
                    known = topics[name]
                    known.count += topic.count
                    known.first, known.last = min(known.first, topic.first), max(known.last, topic.last)
        return topics

    def messages(self, topics: Collection[str]) -> Iterator[Found]:
        """The messages of these topics in the order of the files."""
        for number, file in enumerate(self.files):
            for message in file.messages(topics):
                yield Found(number, message)

    def close(self) -> None:
        """Let go of the files."""
        for file in self.files:
            file.close()


def find_bags(path: Path) -> list[Bag]:
    """The bags at a path, by name; StoreError when there is none."""
    if not path.exists():
        raise StoreError(f"there is nothing at {path}")
    if path.is_file():
        return [Bag(path, [_open(path)], [])]
    if (path / METADATA).exists():
        return [_described(path)]
    files = sorted((file for file in path.iterdir() if file.suffix in SUFFIXES), key=_split_number)
    split = re.compile(rf"{re.escape(path.name)}_\d+")
    if files and all(split.fullmatch(file.stem) for file in files):  # the recorder writes metadata.yaml when it ends
        told = f"{path.name} has no {METADATA}, so its recorder was killed: its {len(files)} files are read as one bag"
        return [Bag(path, [_open(file) for file in files], [told])]
    folders = sorted(folder.parent for folder in path.glob(f"*/{METADATA}"))
    bags = [Bag(file, [_open(file)], []) for file in sorted(files)] + [_described(folder) for folder in folders]
    if not bags:
        raise StoreError(f"{path} has no {' or '.join(f'*{suffix}' for suffix in SUFFIXES)} and no bags in it")
    return bags


def _described(folder: Path) -> Bag:
    """The bag whose metadata.yaml lies in a folder."""
    try:
        loaded: Any = OmegaConf.to_container(OmegaConf.load(folder / METADATA))
        about: Mapping[str, Any] = loaded["rosbag2_bagfile_information"]
        names = [Path(name).name for name in about["relative_file_paths"]]
    except (YAMLError, OmegaConfBaseException, KeyError, TypeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{folder / METADATA} cannot be read ({error}): `ros2 bag reindex {folder}` makes it anew"
        ) from error
    there = [name for name in names if (folder / name).exists()]
    if not there:
        raise StoreError(f"{folder / METADATA} names {', '.join(names) or 'no files'}, not there; copy the bag again")
    lost = [f"{folder.name}: {name} is missing: what was in it is lost" for name in names if name not in there]
    mode = str(about.get("compression_mode") or "none").lower()
    if mode == "file":
        raise StoreError(f"the files of {folder} are compressed: `zstd -d` them, and `ros2 bag reindex {folder}`")
    opened = partial(_open, packed=mode == "message")
    return Bag(folder, [opened(folder / name) for name in there], lost)


def _open(path: Path, packed: bool = False) -> BagFile:
    with path.open("rb") as file:
        start = file.read(16)
    readers: dict[bytes, Callable[[Path], BagFile]] = {
        mcap_file.MAGIC: McapFile,
        db3_file.MAGIC: partial(Db3File, packed=packed),
    }
    for magic, reader in readers.items():
        if start.startswith(magic):
            return reader(path)
    what = "is empty" if not start else f"begins with {start[:8]!r}"
    raise StoreError(f"{path} {what}: neither an MCAP file nor a rosbag2 database; copy it again")


def _split_number(path: Path) -> tuple[int, str]:
    """Files of a split bag in the order of their numbers: 10 after 9."""
    digits = path.stem.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else -1, path.name)
