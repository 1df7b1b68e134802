"""What is done to a store while its disk fails: each of its writing calls, at its smallest."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from deploy.bench.child import say
from deploy.bench.known import RATE, SPEC, STATION, STREAMS, record, rows
from robot_stack.spec import Spec
from robot_stack.store import Store
from robot_stack.store.check import fix_store, is_damaged
from robot_stack.store.compact import compact
from robot_stack.store.formats import import_source, open_source
from robot_stack.types import Source

Move = Callable[[Path], None]
BUFFER = "buffer.zarr"
"""What is imported; it lies beside the store."""


@dataclass(frozen=True)
class Scenario:
    """prepare: makes the store that the moves begin with.

    salvages: what is being recorded when a move is cut off comes in later. in_parts: a move may be done in part.
    """

    name: str
    prepare: Move
    moves: list[Move]
    salvages: bool = False
    in_parts: bool = False


def scenarios() -> list[Scenario]:
    """All of them."""
    return [
        Scenario("create", _nothing, [_create]),
        Scenario("record", _one, [lambda path: _record(path, 7, 2)], salvages=True),
        Scenario("salvage", _orphans, [_salvage], salvages=True),
        Scenario("edit", _three, [*_EDITS, _undo]),
        Scenario("compact edits", _edited, [lambda path: _compact(path, None)]),
        Scenario("compact pictures", _one, [lambda path: _compact(path, "av1")]),
        Scenario("import", _buffer, [_import], in_parts=True),
        Scenario("fix", _damaged, [lambda path: _fix(path, 0), lambda path: _fix(path, 1)], salvages=True),
    ]


def _nothing(path: Path) -> None:
    pass


def _create(path: Path) -> None:
    Store.create(path, SPEC, STATION)


def _record(path: Path, episode: int, steps: int) -> None:
    with Store.open(path) as store:
        record(store, episode, steps, appended=lambda number: say("row"))


def _one(path: Path) -> None:
    _create(path)
    _record(path, 0, 2)


def _three(path: Path) -> None:
    _create(path)
    for episode in range(3):
        _record(path, episode, 2)


def _orphans(path: Path) -> None:
    """An episode cut off between two rows, and one that would be imported again."""
    _one(path)
    with Store.open(path) as store:
        for episode, kept in ((1, True), (2, False)):
            writer = store.writer({"kind": "collect", "task": "bench"}, STREAMS, salvage=kept)
            writer.append(rows(episode, 0)[0])


def _salvage(path: Path) -> None:
    with Store.open(path) as store:
        store.salvage()


def _edit(change: Callable[[Store], object]) -> Move:
    def move(path: Path) -> None:
        with Store.open(path) as store:
            change(store)

    return move


def _of(store: Store, episode: int) -> list[str]:
    """Ids of what there is of the episode that was recorded under that number."""
    return [one.id for one in store.episodes if one.read("episode", 0, 1)[0] == episode]


_EDITS = [
    _edit(lambda store: store.trim(_of(store, 2)[0], 1, 2)),
    _edit(lambda store: store.relabel(_of(store, 2), verdict="failure")),
    _edit(lambda store: store.relabel_source(_of(store, 1)[0], 0, 1, Source.POLICY)),
    _edit(lambda store: store.split(_of(store, 0)[0], 1)),
    _edit(lambda store: store.merge([_of(store, 0)[1], *_of(store, 1)])),
    _edit(lambda store: store.filter("verdict == 'success'", "good")),
    _edit(lambda store: store.delete(_of(store, 2))),
]
_undo = _edit(lambda store: store.undo())


def _edited(path: Path) -> None:
    _three(path)
    for edit in _EDITS:
        edit(path)


def _compact(path: Path, codec: str | None) -> None:
    with Store.open(path) as store:
        store.salvage()
        compact(store, codec)


def _buffer(path: Path) -> None:
    """An empty store, and a replay buffer of two episodes."""
    numbers = np.array([[1, 1], [2, 1]])  # no zeros: zarr leaves out chunks that hold nothing else
    ours = rows(*numbers.T)
    root = zarr.create_group(path.parent / BUFFER, zarr_format=2)
    for name in SPEC.fields:
        root.create_array(f"data/{name}", data=ours[name], chunks=(1, *SPEC[name].shape))
    root.create_array("meta/episode_ends", data=np.array([1, 2]), chunks=(2,))
    source = open_source(path.parent / BUFFER, rate=RATE)
    Store.create(path, Spec(source.spec), STATION)


def _import(path: Path) -> None:
    import_source(open_source(path.parent / BUFFER, rate=RATE), path)


def _damaged(path: Path) -> None:
    """An episode with another byte in its picture, one without its zarr.json, one that was cut off; no index."""
    _three(path)
    with Store.open(path) as store:
        store.writer({"kind": "collect", "task": "bench"}, STREAMS).append(rows(3, 0)[0])
        folders = [episode.path for episode in store.episodes]
    shard = folders[1] / "image.front" / "c.0.0.0.0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    os.unlink(folders[2] / "zarr.json")
    os.unlink(path / "catalog" / "index.jsonl")


def _fix(path: Path, hidden: int) -> None:
    """`data check --fix`, which hides at most so many episodes."""
    with Store.open(path) as store:
        damaged = [one.id for one in store.episodes if is_damaged(one)]
        fix_store(store, damaged[:hidden])
