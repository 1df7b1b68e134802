"""What a policy was trained on, by content: noted in its checkpoint, and compared with a store later."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from robot_stack.store.episode import Episode
from robot_stack.types import CheckpointError

TRAINING, HELD_OUT, LEFT_OUT = "training", "held_out", "left_out"


class State(StrEnum):
    """What became of an episode since."""

    SAME = "same"
    COMPACTED = "compacted"  # the same rows, with pictures that may have been compressed again
    CHANGED = "changed"
    MISSING = "missing"
    NEW = "new since"


class Fate(NamedTuple):
    """One episode, what it was used for ('' if it was not there), and what became of it."""

    episode: str
    use: str
    state: State


def record(
    store: str, episodes: Iterable[Episode], training: Collection[Episode], held_out: Collection[Episode]
) -> dict[str, Any]:
    """Every episode of one store by what it was used for, id -> hash of its content; as JSON holds it.

    store: as `Store.open` takes it. training, held_out: of any store; those of this one are picked out.
    """
    used = {id(episode): TRAINING for episode in training} | {id(episode): HELD_OUT for episode in held_out}
    noted: dict[str, Any] = {"store": absolute(store), TRAINING: {}, HELD_OUT: {}, LEFT_OUT: {}}
    for episode in episodes:
        noted[used.get(id(episode), LEFT_OUT)][episode.id] = episode.attrs["content"]
    return noted


def read_records(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of the stores in a checkpoint's card."""
    records = card.get("stores", [])
    if not records or not all(isinstance(noted, dict) for noted in records):
        raise CheckpointError(
            "this checkpoint does not note the content of the episodes that it was trained on (an older version wrote "
            "it): it can be flown, but neither resumed nor verified; train again"
        )
    return list(records)


def learned_from(records: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The training and held-out episodes of each store: what decides whether a run can be resumed."""
    return [noted[use] for noted in records for use in (TRAINING, HELD_OUT)]


def compare(noted: Mapping[str, Any], episodes: Sequence[Episode]) -> Iterator[Fate]:
    """What became of each episode that was learned from, and what is new; a corrected label changes nothing."""
    now = {episode.id: episode for episode in episodes}
    for use in (TRAINING, HELD_OUT):
        for name, content in noted[use].items():
            yield Fate(name, use, _state(now.get(name), content))
    known = noted[TRAINING].keys() | noted[HELD_OUT].keys() | noted[LEFT_OUT].keys()
    yield from (Fate(name, "", State.NEW) for name in now if name not in known)


def _state(episode: Episode | None, content: str) -> State:
    if episode is None:
        return State.MISSING
    if episode.attrs["content"] == content:
        return State.SAME
    return State.COMPACTED if content in episode.attrs.get("was", []) else State.CHANGED


def absolute(store: str) -> str:
    """The same store from any folder; an address of a remote store is as it is."""
    return store if "://" in store else str(Path(store).absolute())
