"""What a person may ask of a store's episodes: each call checks that it can be done, and gives the edit to log.

Whoever calls holds the writer lock from reading the log to appending the edit, so that what was checked still holds.
A StoreError says why it cannot be done, and nothing has been written.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise

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
from robot_stack.store.edits import Entry, Recorded, State, replay, undone
from robot_stack.store.writer import VERDICTS
from robot_stack.types import ConfigError, Source, StoreError

LABELS = ("verdict", "task", "language")
"""Attributes that a person may correct."""

CLOCK_TOLERANCE = 1.0
"""Episodes are of one clock when it was set this near to wall clock alike [s]; it starts anew at every boot."""


def delete(state: State, ids: Sequence[str]) -> Delete:
    """Hide episodes."""
    return Delete(_targets(state, ids))


def trim(state: State, episode: str, start: int, stop: int) -> Trim:
    """Keep rows start..stop of an episode."""
    op = Trim(_target(state, episode), start, stop)
    _refuse(f"cannot trim {episode}", op.refusal(state.entries[episode].rows))
    return op


def split(state: State, episode: str, at: int, into: tuple[str, str]) -> Split:
    """Make two episodes of one, under new ids: rows before `at`, and from `at` on."""
    op = Split(_target(state, episode), at, into)
    _refuse(f"cannot split {episode}", op.refusal(state.entries[episode].rows))
    return op


def merge(state: State, ids: Sequence[str], into: str, times: Sequence[tuple[float, float]]) -> Merge:
    """Make one episode of several, under a new id. times: of the first and the last row of each [s]."""
    targets = _targets(state, ids)
    if len(ids) < 2:
        raise StoreError(f"cannot merge {ids[0]} with nothing: expected two episodes or more")
    for (earlier, before), (later, after) in pairwise(zip(ids, times, strict=True)):
        what = f"cannot merge {earlier} and {later}"
        _refuse(what, _time_refusal(before, after))
        _refuse(what, _difference(state.entries[earlier], state.entries[later]))
    return Merge(targets, into)


def relabel(state: State, ids: Sequence[str], attrs: Mapping[str, str]) -> Relabel:
    """Correct attributes of episodes."""
    if not attrs:
        raise ConfigError(f"relabel needs a label; there are: {', '.join(LABELS)}")
    for name in attrs:
        if name not in LABELS:
            raise ConfigError(f"{name} is no label that can be corrected; there are: {', '.join(LABELS)}")
    if attrs.get("verdict", VERDICTS[0]) not in VERDICTS:
        raise ConfigError(f"no verdict {attrs['verdict']!r}; there are: {', '.join(VERDICTS)}")
    return Relabel(_targets(state, ids), dict(attrs))


def relabel_source(state: State, episode: str, start: int, stop: int, source: Source) -> RelabelSource:
    """Correct who flew rows start..stop of an episode."""
    op = RelabelSource(_target(state, episode), start, stop, int(source))
    _refuse(f"cannot relabel rows of {episode}", op.refusal(state.entries[episode].rows))
    return op


def view(state: State, name: str, where: str, ids: Sequence[str]) -> Filter:
    """Name a choice of episodes; a view of that name is replaced."""
    if not name.isidentifier():
        raise ConfigError(f"{name!r} cannot name a view: a name is of letters, digits and '_', as in `good`")
    for episode in ids:
        _target(state, episode)
    if not ids:
        raise StoreError(f"no view {name}: there is no episode where {where}")
    return Filter(name, where, tuple(ids))


def undo(recorded: Iterable[Recorded], edits: Sequence[Edit], number: int | None = None) -> Undo:
    """Take back an edit: the last one that is not undone, or another one that no later edit was made upon."""
    recorded = list(recorded)
    before = replay(recorded, edits)
    edit = _last(edits) if number is None else _numbered(edits, number)
    if edit.number in undone(edits):
        raise StoreError(f"{edit} is undone already")
    if edit.number in before.final:
        raise StoreError(f"{edit} cannot be undone: `robot-stack data compact` made it final")
    op = Undo(edit.number)
    after = replay(recorded, [*edits, Edit(edits[-1].number + 1, "", "", op)])
    for later in edits:
        if later.number > edit.number and before.ground.get(later.number) != after.ground.get(later.number):
            raise StoreError(f"{edit} cannot be undone alone: {later} was made on what it left; undo that one first")
    return op


def _last(edits: Sequence[Edit]) -> Edit:
    skipped = undone(edits)
    for edit in reversed(edits):
        if edit.number not in skipped and not isinstance(edit.op, Undo | Compact):
            return edit
    compacted = any(isinstance(edit.op, Compact) for edit in edits)
    why = ": what was edited before `robot-stack data compact` is final" if compacted else ""
    raise StoreError(f"there is no edit to undo{why}")


def _numbered(edits: Sequence[Edit], number: int) -> Edit:
    edit = next((edit for edit in edits if edit.number == number), None)
    if edit is None:
        raise StoreError(f"there is no edit {number}; `robot-stack data log` shows all of them")
    if isinstance(edit.op, Undo):
        raise StoreError(f"{edit} cannot be undone; make edit {edit.op.undoes} again")
    return edit


def _targets(state: State, ids: Sequence[str]) -> tuple[Target, ...]:
    if not ids:
        raise StoreError("there is no episode to edit: none was named, or none was found")
    if twice := [episode for episode, count in Counter(ids).items() if count > 1]:
        raise StoreError(f"{', '.join(twice)} is named twice")
    return tuple(_target(state, episode) for episode in ids)


def _target(state: State, episode: str) -> Target:
    if episode in state.entries:
        return state.target(episode)
    if episode in state.replaced_by:
        raise StoreError(f"{episode} is not there any more: {state.replaced_by[episode]}")
    close = get_close_matches(episode, state.entries)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise StoreError(f"there is no episode {episode!r}.{meant} `robot-stack data list` shows what is there")


def _refuse(what: str, reason: str) -> None:
    if reason:
        raise StoreError(f"{what}: {reason}")


def _time_refusal(before: tuple[float, float], after: tuple[float, float]) -> str:
    if before[1] < after[0]:
        return ""
    return (
        f"the first ends at {before[1]:.3f} s and the second begins at {after[0]:.3f} s; "
        "time must rise: name the earlier one first, or trim what overlaps"
    )


def _difference(one: Entry, other: Entry) -> str:
    """Why two episodes were not recorded alike; empty when they were."""
    for name in Merge.AGREE:
        if one.attrs.get(name) != other.attrs.get(name):
            advice = "; relabel one of them first" if name in LABELS else ""
            return f"their {name} differs, {one.attrs.get(name)!r} and {other.attrs.get(name)!r}{advice}"
    apart = abs(float(one.attrs.get("clock_offset") or 0.0) - float(other.attrs.get("clock_offset") or 0.0))
    if apart > CLOCK_TOLERANCE:
        return f"their clocks are {apart:.1f} s apart: the computer was restarted between them, or they are of two"
    return ""
