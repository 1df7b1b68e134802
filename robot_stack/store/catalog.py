"""What is in a store at one moment: its recordings, and the entries that its edits make of them."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from robot_stack.spec import Spec
from robot_stack.store.edit_log import NAME as EDITS
from robot_stack.store.edit_log import Edit, parse
from robot_stack.store.edits import Recorded, State
from robot_stack.store.edits import replay as replay_edits
from robot_stack.store.folder import Folder
from robot_stack.store.index import Index
from robot_stack.store.recording import Recording, split_name
from robot_stack.types import StoreError

FOLDER = "catalog"
"""Where the index and the log of edits lie, in the folder of a store."""

_SETTLED = 0.1  # a folder that changed less than so long ago may change again under the same time stamp [s]


@dataclass(frozen=True)
class Catalog:
    """recordings: id -> the newest generation. state: what the edits make of them. broken: folder -> why it cannot be
    read. superseded: folders of older generations, which `data compact` was killed before it removed."""

    recordings: dict[str, Recording]
    state: State
    edits: list[Edit]
    broken: dict[str, str]
    superseded: list[str]

    @property
    def recorded(self) -> list[Recorded]:
        """The recordings, as edits see them."""
        return [_recorded(recording) for recording in self.recordings.values()]


class Shelf(Protocol):
    """Where a catalog is read from."""

    @property
    def folder(self) -> Folder:
        """The store's."""
        ...

    def stamp(self) -> object:
        """Equal as long as nothing has changed; None when it cannot be told."""
        ...

    def names(self) -> list[str]:
        """Folders of all episodes, sorted."""
        ...

    def attributes(self, names: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Folder -> attributes; and of those that cannot be read, why not."""
        ...

    def log(self) -> bytes:
        """The log of edits."""
        ...


class LocalShelf:
    """A store on this machine."""

    def __init__(self, path: Path) -> None:
        self.folder = path
        self.index = Index(path / FOLDER, path / "episodes")

    def stamp(self) -> object:
        """Times and sizes of what changes with an episode or an edit."""
        episodes = os.stat(self.folder / "episodes").st_mtime_ns
        if time.time() - episodes * 1e-9 < _SETTLED:
            return None
        try:
            edits = os.stat(self.folder / FOLDER / EDITS)
        except FileNotFoundError:
            return episodes
        return episodes, edits.st_mtime_ns, edits.st_size, edits.st_ino

    def names(self) -> list[str]:
        """Folders of all episodes, sorted."""
        return sorted(entry.name for entry in os.scandir(self.folder / "episodes") if entry.is_dir())

    def attributes(self, names: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Folder -> attributes; and of those that cannot be read, why not."""
        return self.index.attributes(names)

    def log(self) -> bytes:
        """The log of edits."""
        path = self.folder / FOLDER / EDITS
        return path.read_bytes() if path.exists() else b""


def read_catalog(shelf: Shelf, spec: Spec) -> Catalog:
    """The catalog now. What is read first is read again at the end: `data compact` may have changed it meanwhile."""
    while True:
        log = shelf.log()
        names = shelf.names()
        shown, broken, superseded = _newest(shelf, names)
        if shelf.log() == log and (not broken or shelf.names() == names):
            break
    episodes = shelf.folder / "episodes"
    found = [Recording(episodes, name, spec, attrs) for name, attrs in shown.items()]
    recordings = {recording.id: recording for recording in found}
    edits = parse(log)
    state = replay_edits(map(_recorded, recordings.values()), edits)
    return Catalog(recordings, state, edits, broken, superseded)


def _newest(shelf: Shelf, names: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str], list[str]]:
    """Of each episode the newest generation that can be read, with its attributes; folders that cannot be read, and
    why; and those that a newer one has replaced."""
    if not any("~" in name for name in names):  # nothing was ever compacted: thousands need no sorting out
        return *shelf.attributes(names), []
    generations: dict[str, list[str]] = {}
    for name in sorted(names, key=split_name, reverse=True):
        generations.setdefault(split_name(name)[0], []).append(name)
    shown: dict[str, dict[str, Any]] = {}
    broken: dict[str, str] = {}
    superseded: list[str] = []
    while generations:
        found, unreadable = shelf.attributes([folders.pop(0) for folders in generations.values()])
        shown |= found
        broken |= unreadable
        readable = {split_name(name)[0] for name in found}
        superseded += [name for episode in readable for name in generations[episode]]
        generations = {e: left for e, left in generations.items() if left and e not in readable}
    return dict(sorted(shown.items())), broken, superseded


def of_view(catalog: Catalog, view: str, where: Folder) -> State:
    """The state with the entries of a view alone; of no view, '', all of it."""
    if not view:
        return catalog.state
    if view not in catalog.state.views:
        there = ", ".join(catalog.state.views) or "none; `robot-stack data filter` makes one"
        raise StoreError(f"no view {view!r} in {where}; there are: {there}")
    ids = set(catalog.state.views[view].ids)
    return replace(catalog.state, entries={n: entry for n, entry in catalog.state.entries.items() if n in ids})


def _recorded(recording: Recording) -> Recorded:
    attrs = recording.attrs
    return Recorded(recording.id, recording.generation, len(recording), str(attrs["content"]), attrs)
