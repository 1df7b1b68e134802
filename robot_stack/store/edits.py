"""What a store shows: its recorded episodes with the edits of its log replayed over them. Pure: nothing is read here.

Masks, not destruction: an `Entry` (an episode as it is seen) is a list of row ranges of recorded episodes, with
attributes and corrected sources laid over them; recorded data stays as it is until `data compact`.

Compacting, and being killed in it. `data compact` writes each edited entry as a recorded episode (generation + 1, or
0 where edits alone had made it), then replaces the log by `compacted(...)` in one rename, then removes what that line
calls gone. At each instant between, this replay shows the same: an edit of an older generation is passed over, and
where a part or a merged episode is recorded already, it takes the place of the one that the edit would make. Such
edits are final: they can no longer be undone. A reader reads the log, the folders, and the log again until it is the
same, so that it never sees folders of one side of that rename with the log of the other.

The calls of `Store` that write an edit, each one function of edit_requests.py and one `EditLog.append`:
    delete(ids) -> Edit        trim(id, start, stop) -> Edit        split(id, at) -> tuple[str, str]
    merge(ids) -> str          relabel(ids, **attrs) -> Edit        relabel_source(id, start, stop, source) -> Edit
    filter(where, view) -> View        undo(edit=None) -> Edit, the one undone        edits -> list[Edit], a property
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robot_stack.store.edit_log import Edit
from robot_stack.store.edit_ops import (
    Compact,
    Delete,
    Filter,
    Merge,
    Relabel,
    RelabelSource,
    Split,
    Target,
    Trim,
    Undo,
)


@dataclass(frozen=True)
class Recorded:
    """A committed episode as it lies on disk, the highest generation of its id; content: its hash."""

    id: str
    generation: int
    rows: int
    content: str
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """Rows start..stop of the recorded episode of that id."""

    id: str
    start: int
    stop: int


@dataclass(frozen=True)
class Overlay:
    """Rows start..stop of an entry whose `field` is to be read as `value`."""

    field: str
    start: int
    stop: int
    value: int


@dataclass(frozen=True)
class Entry:
    """An episode as it is seen. edits: the numbers of those that made it. generation: None if not on disk by itself."""

    id: str
    parts: tuple[Part, ...]
    attrs: Mapping[str, Any]
    overlays: tuple[Overlay, ...] = ()
    edits: tuple[int, ...] = ()
    generation: int | None = None

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(part.stop - part.start for part in self.parts)

    @property
    def edited(self) -> bool:
        """Whether it is not simply what was recorded."""
        return bool(self.edits)

    @property
    def place(self) -> str:
        """Where it stands among the others: by its id, or where the episode stood that it was made of."""
        return str(self.attrs.get("place", self.id))


@dataclass(frozen=True)
class View:
    """A named choice of entries: ids, and the expression that chose them when the view was made."""

    name: str
    where: str
    ids: tuple[str, ...]


@dataclass
class State:
    """What a store shows. entries: in the order of their places, attributes recomputed.

    deleted: as they were seen last. stale: edits with nothing left to do. final: edits that can no longer be undone.
    gone: recorded episodes of which nothing is shown, for `data compact` to remove.
    ground: what each effective edit was made on; an edit that changes it for a later one cannot be undone alone.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    deleted: dict[str, Entry] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    stale: set[int] = field(default_factory=set)
    final: set[int] = field(default_factory=set)
    gone: tuple[str, ...] = ()
    replaced_by: dict[str, Edit] = field(default_factory=dict)
    ground: dict[int, list[Any]] = field(default_factory=dict)

    def target(self, episode: str) -> Target:
        """How an edit names this entry."""
        return episode, self.entries[episode].generation


def undone(edits: Iterable[Edit]) -> set[int]:
    """Numbers of the edits that a later one undid."""
    return {edit.op.undoes for edit in edits if isinstance(edit.op, Undo)}


def made(edits: Iterable[Edit]) -> set[str]:
    """Every id that an edit gave, also when it was undone: a new episode must have another."""
    given = [edit.op.into for edit in edits if isinstance(edit.op, Split | Merge)]
    return {name for into in given for name in ([into] if isinstance(into, str) else into)}


def replay(recorded: Iterable[Recorded], edits: Sequence[Edit]) -> State:
    """The state after all edits that are not undone."""
    replayed = _Replay(recorded)
    skipped = undone(edits)
    for edit in edits:
        if edit.number not in skipped:
            replayed.apply(edit)
    return replayed.state()


def compacted(state: State) -> Compact:
    """The edit that a new log begins with, after every edited entry of `state` was recorded."""
    views = tuple((view.name, view.where, view.ids) for view in state.views.values())
    return Compact(state.gone, views)


class _Replay:
    """The state while one edit after the other is applied."""

    def __init__(self, recorded: Iterable[Recorded]) -> None:
        self._recorded = {episode.id: episode for episode in recorded}
        self._state = State({episode.id: _entry(episode) for episode in self._recorded.values()})
        self._views: dict[str, tuple[str, set[str]]] = {}  # name -> expression, ids
        self._edit: Edit

    def state(self) -> State:
        """What is shown now."""
        state, shown = self._state, sorted(self._state.entries.values(), key=lambda entry: (entry.place, entry.id))
        state.entries = {entry.id: _with_figures(entry, self._recorded) for entry in shown}
        state.deleted = {name: _with_figures(entry, self._recorded) for name, entry in state.deleted.items()}
        state.gone = tuple(name for name in self._recorded if name not in state.entries)
        for name, (where, ids) in self._views.items():
            state.views[name] = View(name, where, tuple(entry for entry in state.entries if entry in ids))
        return state

    def apply(self, edit: Edit) -> None:
        """Do what an edit says to what is there of its episodes."""
        self._edit = edit
        match edit.op:
            case Delete(episodes):
                for entry in self._each(episodes):
                    self._state.deleted[entry.id] = self._take(entry)
            case Relabel(episodes, attrs):
                for entry in self._each(episodes):
                    self._put(entry, attrs={**entry.attrs, **attrs})
            case Trim() as op:
                for entry in self._rows_for(op):
                    self._put(entry, **_rows(entry, op.start, op.stop))
            case RelabelSource() as op:
                for entry in self._rows_for(op):
                    overlay = Overlay("source", op.start, op.stop, op.value)
                    self._put(entry, overlays=_paint(entry.overlays, overlay))
            case Split() as op:
                for entry in self._rows_for(op):
                    self._split(op, entry)
            case Merge() as op:
                self._merge(op)
            case Filter(view, where, ids):
                self._note([name in self._state.entries for name in ids])
                self._views[view] = where, set(ids)
            case Compact() as op:
                self._compact(op)

    def _split(self, op: Split, entry: Entry) -> None:
        self._take(entry)
        for side, (name, start, stop) in enumerate(zip(op.into, (0, op.at), (op.at, entry.rows), strict=True)):
            attrs = {**entry.attrs, "place": f"{entry.place}/{side}"}
            self._make(replace(entry, id=name, attrs=attrs, **_rows(entry, start, stop)))
        self._in_views(op.into, {entry.id})

    def _merge(self, op: Merge) -> None:
        entries = self._each(op.episodes)
        self._note([(entry.id, entry.parts, [entry.attrs.get(key) for key in Merge.AGREE]) for entry in entries])
        if len(entries) < len(op.episodes):
            self._note([])
            return
        for entry in entries:
            self._take(entry)
        first, last = entries[0], entries[-1]
        parts = _joined(part for entry in entries for part in entry.parts)
        attrs = {**first.attrs, "place": first.place, "verdict": last.attrs.get("verdict", "unknown")}
        numbers = sorted({number for entry in entries for number in entry.edits})
        self._make(Entry(op.into, parts, attrs, _stacked(entries), tuple(numbers)))
        self._in_views((op.into,), {entry.id for entry in entries})

    def _compact(self, op: Compact) -> None:
        self._state.final.add(self._edit.number)
        for name in op.gone:
            self._state.entries.pop(name, None)
            self._state.replaced_by[name] = self._edit
        self._views = {name: (where, set(ids)) for name, where, ids in op.views}

    def _each(self, targets: Sequence[Target]) -> list[Entry]:
        """Those of the named entries that are there in that generation."""
        current = [name for name, generation in dict.fromkeys(targets) if self._is_current(name, generation)]
        self._note(current)
        return [self._state.entries[name] for name in current]

    def _rows_for(self, op: Trim | Split | RelabelSource) -> list[Entry]:
        """The entry whose rows the edit speaks of, or none when it has them no more."""
        found = [entry for entry in self._each([op.episode]) if not op.refusal(entry.rows)]
        self._note([(entry.id, entry.parts) for entry in found])
        return found

    def _is_current(self, name: str, generation: int | None) -> bool:
        if name in self._recorded and self._recorded[name].generation != generation:
            self._state.final.add(self._edit.number)  # it is in the newer generation
        return name in self._state.entries and self._state.entries[name].generation == generation

    def _note(self, ground: list[Any]) -> None:
        self._state.ground[self._edit.number] = ground
        if ground:
            self._state.stale.discard(self._edit.number)
        else:
            self._state.stale.add(self._edit.number)

    def _take(self, entry: Entry) -> Entry:
        self._state.replaced_by[entry.id] = self._edit
        return self._state.entries.pop(entry.id)

    def _put(self, entry: Entry, **changes: Any) -> None:
        numbers = (*entry.edits, self._edit.number)
        self._state.entries[entry.id] = replace(entry, **changes, edits=numbers)

    def _make(self, entry: Entry) -> None:
        """Add an entry of a new id, unless compacting has recorded it already, with what earlier edits did to it."""
        if entry.id in self._recorded:
            self._state.final |= {*entry.edits, self._edit.number}
        else:
            self._put(replace(entry, generation=None))

    def _in_views(self, made: tuple[str, ...], of: set[str]) -> None:
        """What an edit made of entries is in the views that all of them were in."""
        for _, ids in self._views.values():
            if of <= ids:
                ids |= set(made)


def cut(parts: Sequence[Part], start: int, stop: int) -> tuple[Part, ...]:
    """Rows start..stop of parts that follow each other."""
    result, offset = [], 0
    for part in parts:
        first, last = max(start - offset, 0), min(stop - offset, part.stop - part.start)
        if first < last:
            result.append(Part(part.id, part.start + first, part.start + last))
        offset += part.stop - part.start
    return tuple(result)


def _entry(episode: Recorded) -> Entry:
    attrs = {**episode.attrs, "rows": episode.rows, "content": episode.content, "edited": False}
    return Entry(episode.id, (Part(episode.id, 0, episode.rows),), attrs, generation=episode.generation)


def _joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Parts that continue each other as one: an episode that was split and merged is the same again."""
    result: list[Part] = []
    for part in parts:
        if result and (result[-1].id, result[-1].stop) == (part.id, part.start):
            part = Part(part.id, result.pop().start, part.stop)
        result.append(part)
    return tuple(result)


def _rows(entry: Entry, start: int, stop: int) -> dict[str, Any]:
    """Parts and overlays of rows start..stop of an entry."""
    shifted = (
        replace(one, start=max(one.start, start) - start, stop=min(one.stop, stop) - start) for one in entry.overlays
    )
    overlays = tuple(one for one in shifted if one.start < one.stop)
    return {"parts": cut(entry.parts, start, stop), "overlays": overlays}


def _stacked(entries: Iterable[Entry]) -> tuple[Overlay, ...]:
    """The overlays of entries put one after the other."""
    result: tuple[Overlay, ...] = ()
    offset = 0
    for entry in entries:
        for one in entry.overlays:
            result = _paint(result, replace(one, start=one.start + offset, stop=one.stop + offset))
        offset += entry.rows
    return result


def _paint(overlays: Iterable[Overlay], new: Overlay) -> tuple[Overlay, ...]:
    """Overlays with a new one on top: in order, apart from each other, equal neighbours joined."""
    pieces = [new]
    for one in overlays:
        if one.field != new.field:
            pieces.append(one)
            continue
        pieces += [replace(one, stop=min(one.stop, new.start)), replace(one, start=max(one.start, new.stop))]
    result: list[Overlay] = []
    for one in sorted((p for p in pieces if p.start < p.stop), key=lambda p: (p.field, p.start)):
        if result and (result[-1].field, result[-1].stop, result[-1].value) == (one.field, one.start, one.value):
            one = replace(one, start=result.pop().start)
        result.append(one)
    return tuple(result)


def _with_figures(entry: Entry, recorded: Mapping[str, Recorded]) -> Entry:
    """The entry with the attributes that follow from its rows."""
    if not entry.edited:
        return entry
    attrs = {**entry.attrs, "rows": entry.rows, "content": _content(entry, recorded), "edited": True}
    return replace(entry, attrs=attrs)


def _content(entry: Entry, recorded: Mapping[str, Recorded]) -> str:
    """The hash of an entry's data: that of the recorded episode where it is all of one."""
    first = recorded[entry.parts[0].id]
    if entry.parts == (Part(first.id, 0, first.rows),) and not entry.overlays:
        return first.content
    lines = [f"{recorded[part.id].content} {part.start} {part.stop}\n" for part in entry.parts]
    lines += [f"{one.field} {one.start} {one.stop} {one.value}\n" for one in entry.overlays]
    return hashlib.sha256(("view 1\n" + "".join(lines)).encode()).hexdigest()
