"""The index: attributes of all episodes in one file, so that a store of thousands opens at once. Never the truth.

`index.jsonl`, a line an episode: {"folder": "ep-000012~1", "stamp": [mtime in ns, bytes], "attrs": {...}}, where the
stamp is that of the zarr.json it was read from. What has no line, or another stamp, is read from the episode itself; a
writer then writes the file anew. A line that cannot be read, torn or damaged, is as good as none.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robot_stack.store import arrays, disk
from robot_stack.types import StoreError

NAME = "index.jsonl"
Stamp = tuple[int, int]


class Index:
    """Attributes of the episodes in the folder `episodes`; the file is in `folder`."""

    def __init__(self, folder: Path, episodes: Path) -> None:
        self._file = folder / NAME
        self._episodes = episodes
        self._known: dict[str, tuple[Stamp, dict[str, Any]]] = {}
        self._read_to = 0

    def attributes(self, folders: Iterable[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Folder name -> attributes; and of those that cannot be read, why not."""
        self._load()
        found, broken = {}, {}
        for folder in folders:
            stamp = self._stamp(folder)
            known = self._known.get(folder)
            if known is None or known[0] != stamp:
                try:
                    self._known[folder] = known = stamp, _episode_attributes(self._episodes / folder)
                except StoreError as error:
                    broken[folder] = str(error)
                    continue
            found[folder] = known[1]
        return found, broken

    def add(self, folder: str) -> None:
        """Note a new episode. For the store's one writer."""
        self._known[folder] = self._stamp(folder), _episode_attributes(self._episodes / folder)
        disk.append(self._file, self._line(folder))

    def is_stale(self, folders: Iterable[str]) -> bool:
        """Whether the file lacks one of these folders, or has it otherwise, or has one more."""
        content = self._file.read_bytes() if self._file.exists() else b""
        lines, names = dict(_parse(content)), set(folders)
        return (
            lines.keys() != names
            or content.count(b"\n") != len(names)
            or any(lines[name][0] != self._stamp(name) for name in names)
        )

    def rebuild(self, folders: Iterable[str]) -> None:
        """Write the file anew from the episodes. For the store's one writer."""
        self._known = {}
        self._read_to = 0
        disk.remove(self._file)
        found, _ = self.attributes(folders)
        disk.replace(self._file, b"".join(map(self._line, found)))

    def _load(self) -> None:
        """Take in what was added to the file since the last time."""
        try:
            size = os.stat(self._file).st_size
            if size == self._read_to:
                return
            with self._file.open("rb") as file:
                file.seek(self._read_to if size > self._read_to else 0)
                content = file.read()
        except FileNotFoundError:  # none yet, or it is being rebuilt
            return
        self._read_to = size
        self._known |= dict(_parse(content))

    def _stamp(self, folder: str) -> Stamp:
        try:
            status = os.stat(f"{self._episodes}/{folder}/zarr.json")
        except (FileNotFoundError, NotADirectoryError):
            return 0, 0
        return status.st_mtime_ns, status.st_size

    def _line(self, folder: str) -> bytes:
        stamp, attrs = self._known[folder]
        return json.dumps({"folder": folder, "stamp": stamp, "attrs": attrs}).encode() + b"\n"


def parse_index(content: bytes) -> dict[str, dict[str, Any]]:
    """Folder name -> attributes, as an index says."""
    return {folder: attrs for folder, (_, attrs) in _parse(content)}


def _episode_attributes(folder: Path) -> dict[str, Any]:
    attrs = arrays.read_attributes(folder)
    if missing := [name for name in ("rows", "rate", "content", "kind", "verdict") if name not in attrs]:
        raise StoreError(f"{folder} is no episode: it lacks the attributes {', '.join(missing)}")
    return attrs


def _parse(content: bytes) -> Iterable[tuple[str, tuple[Stamp, dict[str, Any]]]]:
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line)
            yield str(entry["folder"]), ((int(entry["stamp"][0]), int(entry["stamp"][1])), dict(entry["attrs"]))
        except (ValueError, KeyError, TypeError, IndexError):
            continue
