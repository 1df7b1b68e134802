"""A store as the viewer shows it: read again when it changes, edited under the writer lock for one edit at a time."""

from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import Any

from numpy.typing import NDArray

from robot_stack.spec import Field
from robot_stack.store import Episode, Store
from robot_stack.store.arrays import is_frame
from robot_stack.store.catalog import Catalog

OPEN = 6
"""Episodes whose tables are kept in memory."""

LISTED = ("rows", "rate", "verdict", "task", "language", "operator", "kind", "started", "salvaged", "edited", "drops")
"""Attributes of an episode that its line in the list shows."""


class OpenEpisode:
    """One episode that somebody looks at: its tables are read once and kept, its frames are not."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self._columns: dict[str, NDArray[Any]] = {}

    @property
    def key(self) -> tuple[str, str]:
        """Tells it from all others, also from itself before its rows were edited."""
        return self.episode.id, self.version

    @property
    def version(self) -> str:
        """Another one whenever its rows are others: pictures and plots of a version never change."""
        return version(self.episode.attrs)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A whole table field (T, *shape)."""
        if name not in self._columns:
            self._columns[name] = self.episode[name]
        return self._columns[name]


class Library:
    """A store that others may write to meanwhile. Called from many threads."""

    def __init__(self, where: str) -> None:
        self._lock = RLock()
        self._store = Store.open(where)
        self._seen: Catalog | None = None
        self._episodes: dict[str, Episode] = {}
        self._lines: list[dict[str, Any]] = []
        self._deleted: list[dict[str, Any]] = []
        self._open: OrderedDict[tuple[str, str], OpenEpisode] = OrderedDict()  # by their keys

    @property
    def store(self) -> Store:
        """The store, to read from."""
        return self._store

    @property
    def episodes(self) -> dict[str, Episode]:
        """All episodes that are not deleted, by id, oldest first."""
        with self._lock:
            self._refresh()
            return self._episodes

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What the list shows of them: a line an episode, oldest first."""
        with self._lock:
            self._refresh()
            return self._lines

    @property
    def deleted(self) -> list[dict[str, Any]]:
        """Lines of deleted episodes; `deleted` is the number of the edit to undo."""
        with self._lock:
            self._refresh()
            return self._deleted

    def open(self, name: str) -> OpenEpisode:
        """An episode to look at; KeyError if there is none of that id."""
        with self._lock:
            episode = self.episodes[name]
            key = name, version(episode.attrs)
            if key not in self._open:
                self._open[key] = OpenEpisode(episode)
            self._open.move_to_end(key)
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
            found = self._open[key]
            found.episode = episode  # of the same rows, with the newest labels
            return found

    def edit[T](self, change: Callable[[Store], T]) -> T:
        """Make one edit; StoreError if somebody else is writing just now, or if it cannot be."""
        with self._lock, self._store as store:  # lets go of the write lock at its end
            return change(store)

    def _refresh(self) -> None:
        catalog = self._store.catalog
        if catalog is self._seen:
            return
        self._seen = catalog
        self._episodes = {episode.id: episode for episode in self._store.episodes}
        self._lines = [listed(episode) for episode in self._episodes.values()]
        by = catalog.state.replaced_by
        self._deleted = [listed(e) | {"deleted": by[e.id].number} for e in self._store.deleted if e.id in by]


def version(attrs: dict[str, Any]) -> str:
    """A short name for the rows of an episode."""
    return str(attrs.get("content", ""))[:16]


def listed(episode: Episode) -> dict[str, Any]:
    """What the list shows of an episode."""
    attrs = episode.attrs
    return {"id": episode.id, "place": episode.entry.place, **{name: attrs.get(name) for name in LISTED}}


def pictures(fields: list[Field]) -> list[Field]:
    """Those fields that are pictures: colour (height, width, 3), or one value a pixel."""
    return [field for field in fields if is_frame(field) and (len(field.shape) == 2 or field.shape[2:] in {(1,), (3,)})]
