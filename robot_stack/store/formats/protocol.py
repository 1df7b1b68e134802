"""What a format has to offer so that the one importer and the one exporter can drive it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Spec
from robot_stack.store.episode import Episode


class Stream(NamedTuple):
    """A raw stream beside the rows: its columns (the first is "time") and its values (N, columns), float64."""

    columns: list[str]
    values: NDArray[np.float64]


class Film(NamedTuple):
    """Pictures of an episode that come compressed. codec: its name; group: rows that a chunk holds."""

    codec: str
    group: int
    chunks: Callable[[], Iterator[bytes]]


class Source(Protocol):
    """Something to import from, opened and found whole; made as `Class(path_or_id, **options)`, or StoreError.

    Its constructor's keywords are the options that it takes. Rows must come out the same each time they are asked for.
    """

    name: str
    """Of the file or data set, without its folder."""
    spec: Spec
    """Of the rows as they come into the store; with `time` [s]."""
    station: dict[str, Any]
    """At least name, robot and rate [Hz]."""
    warnings: list[str]
    """Sentences: what of the source as a whole was repaired, and what could not be held."""

    @property
    def fingerprint(self) -> str:
        """Tells one source from another; the same at every run, so that an interrupted import finds its episodes."""
        ...

    def __len__(self) -> int:
        """How many episodes there are, empty ones included: the importer leaves those out and says so."""
        ...

    def attrs(self, number: int) -> dict[str, Any]:
        """Attributes of an episode: kind ("import", or the original one), task, operator, verdict, time_source…"""
        ...

    def rows(self, number: int) -> Iterator[NDArray[np.void]]:
        """Blocks of rows (n,) of `spec.dtype` in order, of bounded size; StoreError naming the place of a damage."""
        ...

    def repairs(self, number: int) -> list[str]:
        """Sentences: what was repaired in this episode. Asked for after its rows were read."""
        ...

    def streams(self, number: int) -> dict[str, Stream]:
        """Raw streams beside the rows; {} where there are none."""
        ...


@runtime_checkable
class FilmSource(Source, Protocol):
    """A source of videos whose packets are stored as they are."""

    def films(self, number: int) -> dict[str, Film]:
        """Fields of an episode that come compressed; from then on its `rows` leave them empty."""
        ...


class Export(Protocol):
    """A destination that is being written at a temporary place; made as `Class(place, store, **options)`.

    place: a path that the exporter owns until it renames the result; a file or a folder, as the format wants.
    When it was there already, an export of the same episodes with the same options was interrupted.
    store: of which the spec and the station are read; the episodes come through `write`.
    """

    warnings: list[str]
    """Sentences: what the format cannot hold and where it went. Complete once it is made."""

    def done(self) -> int:
        """How many episodes an interrupted export left whole: it goes on there. 0 starts over, whatever is there."""
        ...

    def write(self, number: int, episode: Episode) -> None:
        """Add an episode as number `number`, counted from 0. Killed in here, `done` must not count it."""
        ...

    def close(self) -> None:
        """Write what comes last (index, statistics, sidecar); the result is complete then. A kill: again."""
        ...

    def check(self, number: int, episode: Episode) -> None:
        """Read an episode back from disk; StoreError unless it is the same (see `exporting.compare`). After `close`."""
        ...


@dataclass(frozen=True)
class Imported:
    """Episodes that came in now, those that were there before, the rows of both, and what was repaired."""

    new: int
    skipped: int
    rows: int
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Exported:
    """Episodes written now, those that an interrupted export had written, the rows of both, what could not be held."""

    new: int
    skipped: int
    rows: int
    warnings: list[str] = field(default_factory=list)
