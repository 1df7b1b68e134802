"""The kinds of edits: what a line of `edits.jsonl` says, and when it cannot be said of an episode.

An edit names each episode together with the generation it was made on (`Target`). `data compact` writes a new
generation with the edits made final, so an edit of an older one has nothing left to do: see `edits.replay`.
Rows are counted in the episode as it was seen when the edit was made; `stop` is the first row after.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from types import UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from robot_stack.types import Source, StoreError

Target = tuple[str, int | None]
"""Id of an episode, and its generation on disk; None for one that exists by edits alone, as a split part does."""

_SHOWN = 3  # ids in a sentence, before "and 12 more"


@dataclass(frozen=True)
class Delete:
    """Show these episodes no more."""

    name: ClassVar = "delete"
    episodes: tuple[Target, ...]

    def __str__(self) -> str:
        return f"delete {_ids(self.episodes)}"


@dataclass(frozen=True)
class Trim:
    """Show rows start..stop of an episode only."""

    name: ClassVar = "trim"
    episode: Target
    start: int
    stop: int

    def __str__(self) -> str:
        return f"trim {self.episode[0]} to rows {self.start}:{self.stop}"

    def refusal(self, rows: int) -> str:
        """Why an episode of so many rows cannot be trimmed so; empty when it can."""
        if self.start == 0 and self.stop == rows:
            return f"rows 0:{rows} are all of it: there is nothing to trim"
        return _range_refusal(self.start, self.stop, rows)


@dataclass(frozen=True)
class Split:
    """Show an episode as two: rows before `at`, and rows from `at` on."""

    name: ClassVar = "split"
    episode: Target
    at: int
    into: tuple[str, str]

    def __str__(self) -> str:
        return f"split {self.episode[0]} at row {self.at} into {' and '.join(self.into)}"

    def refusal(self, rows: int) -> str:
        """Why an episode of so many rows cannot be split so; empty when it can."""
        return "" if 0 < self.at < rows else f"it has {rows} rows: expected a row from 1 to {rows - 1}, not {self.at}"


@dataclass(frozen=True)
class Merge:
    """Show several episodes as one, in the given order; they were recorded alike: `AGREE`."""

    AGREE: ClassVar = (
        *("kind", "task", "language", "operator", "station", "robot", "scene", "calibration"),
        *("checkpoint", "rate", "time_source"),
    )
    name: ClassVar = "merge"
    episodes: tuple[Target, ...]
    into: str

    def __str__(self) -> str:
        return f"merge {_ids(self.episodes)} into {self.into}"


@dataclass(frozen=True)
class Relabel:
    """Show episodes with other attributes."""

    name: ClassVar = "relabel"
    episodes: tuple[Target, ...]
    attrs: dict[str, str]

    def __str__(self) -> str:
        return f"relabel {_ids(self.episodes)}: {', '.join(f'{key}={value}' for key, value in self.attrs.items())}"


@dataclass(frozen=True)
class RelabelSource:
    """Show rows start..stop of an episode as flown by the source of that number."""

    name: ClassVar = "source"
    episode: Target
    start: int
    stop: int
    value: int

    def __str__(self) -> str:
        who = Source(self.value).name.lower() if self.value in set(Source) else self.value
        return f"relabel rows {self.start}:{self.stop} of {self.episode[0]}: source={who}"

    def refusal(self, rows: int) -> str:
        """Why rows of an episode of so many cannot be relabelled so; empty when they can."""
        return _range_refusal(self.start, self.stop, rows)


@dataclass(frozen=True)
class Filter:
    """A named choice of episodes, which `where` made when it was given: the list counts, not the expression."""

    name: ClassVar = "view"
    view: str
    where: str
    episodes: tuple[str, ...]

    def __str__(self) -> str:
        return f"view {self.view}: {_ids(self.episodes)} where {self.where}"


@dataclass(frozen=True)
class Undo:
    """As if that edit had never been made."""

    name: ClassVar = "undo"
    undoes: int

    def __str__(self) -> str:
        return f"undo edit {self.undoes}"


@dataclass(frozen=True)
class Compact:
    """All earlier edits are final: these recorded episodes are gone, and these views (name, where, ids) are left."""

    name: ClassVar = "compact"
    gone: tuple[str, ...]
    views: tuple[tuple[str, str, tuple[str, ...]], ...]

    def __str__(self) -> str:
        removed = f"; {_ids(self.gone)} removed" if self.gone else ""
        return f"compact: all edits before were made final{removed}"


Op = Delete | Trim | Split | Merge | Relabel | RelabelSource | Filter | Undo | Compact
_KINDS: dict[str, type[Op]] = {kind.name: kind for kind in get_args(Op)}


def to_json(op: Op) -> dict[str, Any]:
    """The part of a line that says what was done."""
    return {"op": op.name, **asdict(op)}


def from_json(content: dict[str, Any]) -> Op:
    """The inverse of `to_json`; StoreError says what does not fit."""
    kind = _KINDS.get(str(content.get("op")))
    if kind is None:
        raise StoreError(f"there is no edit {content.get('op')!r}; this software knows {', '.join(_KINDS)}")
    expected = _hints(kind.name)
    given = {key: _as_tuples(value) for key, value in content.items() if key != "op"}
    if given.keys() != expected.keys():
        raise StoreError(f"{kind.name} has {', '.join(given)}; expected {', '.join(expected)}")
    for key, hint in expected.items():
        if not _fits(given[key], hint):
            raise StoreError(f"{kind.name} has {key}={content[key]!r}; expected {hint}")
    make: Callable[..., Op] = kind
    return make(**given)


@cache
def _hints(name: str) -> dict[str, Any]:
    hints = get_type_hints(_KINDS[name])
    return {field.name: hints[field.name] for field in fields(_KINDS[name])}


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON is what a field's type says."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is UnionType:
        return any(_fits(value, one) for one in inner)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    if kind is not tuple:
        return type(value) is hint
    if not isinstance(value, tuple):
        return False
    hints = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
    return len(value) == len(hints) and all(map(_fits, value, hints))


def _range_refusal(start: int, stop: int, rows: int) -> str:
    if 0 <= start < stop <= rows:
        return ""
    return f"it has {rows} rows: expected 0 <= start < stop <= {rows}, not start={start} stop={stop}"


def _ids(episodes: Sequence[Target | str]) -> str:
    """The first few ids, and how many more there are."""
    ids = [episode if isinstance(episode, str) else episode[0] for episode in episodes]
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more if ids else "no episodes"
