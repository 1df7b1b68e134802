"""Random work on a store, for ever: recording, editing, compacting, importing; each thing is announced, then done."""

import json
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.bench.child import say
from deploy.bench.known import RATE, SPEC, STATION, STREAMS, known, record, rows, stream
from robot_stack.store import Episode, Store
from robot_stack.store.compact import compact
from robot_stack.store.formats import import_source
from robot_stack.store.formats.protocol import Stream
from robot_stack.types import Source, StoreError

WORK = ("salvage", "record", "commit", "edit", "compact", "import")
"""What a process can be doing."""

_FEW, _MANY = 3, 8  # episodes: fewer are added to, of more some are deleted
_VERDICTS = ("success", "failure")


class MadeUp:
    """An import source: episodes (number, rows) of made-up rows."""

    warnings: list[str]

    def __init__(self, episodes: list[tuple[int, int]]) -> None:
        self.name, self.spec, self.station, self.warnings = "made up", SPEC, STATION, []
        self.episodes = episodes

    @property
    def fingerprint(self) -> str:
        """Tells one from another."""
        return f"made up {self.episodes}"

    def __len__(self) -> int:
        return len(self.episodes)

    def attrs(self, number: int) -> dict[str, Any]:
        """As of an episode that is recorded, but for the kind."""
        return {"kind": "import", "task": "bench", "clock_offset": 0.0, "verdict": "success"}

    def rows(self, number: int) -> Iterator[NDArray[np.void]]:
        """All rows at once."""
        episode, count = self.episodes[number]
        return iter([rows(np.full(count, episode), np.arange(count))])

    def repairs(self, number: int) -> list[str]:
        """None."""
        return []

    def streams(self, number: int) -> dict[str, Stream]:
        """The stream that belongs to the rows."""
        episode, count = self.episodes[number]
        values = np.concatenate([stream(episode, step) for step in range(count)])
        return {name: Stream(columns, values) for name, columns in STREAMS.items()}


class RandomWork:
    """One process's work on the store at `path`. number: of its first new episode, larger than all there were."""

    def __init__(self, path: Path, rng: random.Random, number: int) -> None:
        self._path, self._rng, self._number = path, rng, number

    def salvage(self) -> None:
        """Bring in what the one before left open."""
        _tell("salvage")
        with Store.open(self._path) as store:
            came = [(one, known(store[one])) for one in store.salvage()]
        _tell("salvaged", [(name, one.rows, one.verdict, one.salvaged) for name, one in came])

    def take_over(self, importing: list[tuple[int, int]]) -> None:
        """Finish what the one before was killed in."""
        self.salvage()
        if importing:
            self.bring(importing)

    def prepare(self) -> None:
        """See to it that there is something to work on, and not ever more."""
        count = len(Store.open(self._path))
        while count < _FEW:
            self.record(period=0.0)
            count += 1
        if count > _MANY:
            with Store.open(self._path) as store:
                ids = [episode.id for episode in store.episodes[: count - _FEW]]
                self._edit(lambda: store.delete(ids), "delete", ids)

    def record(self, period: float = 1.0 / RATE) -> None:
        """Record an episode. period: between rows [s]."""
        number, steps, verdict = self._next(), self._rng.randint(3, 8), self._rng.choice(_VERDICTS)

        def appended(count: int) -> None:
            _tell("row")
            time.sleep(period)
            if count == steps:
                _tell("commit")

        _tell("record", number, steps, verdict)
        with Store.open(self._path) as store:
            _tell("recorded", record(store, number, steps, verdict, appended))

    def edit(self) -> None:
        """Change something that is seen: when it is cut off, what is shown tells whether it was done."""
        edits = [
            self._delete,
            self._trim,
            self._split,
            self._merge,
            self._relabel,
            self._source,
            self._view,
            self._undo,
        ]
        with Store.open(self._path) as store:
            self._rng.choice(edits)(store, self._rng.choice(store.episodes))

    def compact(self) -> None:
        """Make all edits final; now in this codec, now in that."""
        codec = self._rng.choice([None, "av1", "jpeg"])
        _tell("compact")
        with Store.open(self._path) as store:
            compact(store, codec)
        _tell("compacted")

    def bring(self, episodes: list[tuple[int, int]] | None = None) -> None:
        """Import two episodes, or those of an import that was cut off."""
        source = MadeUp(episodes or [(self._next(), self._rng.randint(2, 5)) for _ in range(2)])
        _tell("import", source.episodes)
        import_source(source, self._path)
        there = Store.open(self._path).episodes
        _tell("imported", [one.id for one in there if one.attrs.get("source_hash") == source.fingerprint])

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _edit(self, change: Callable[[], object], what: str, *args: Any) -> None:
        """Do it, and say which episodes it made; some edits cannot be, as of episodes that do not fit together."""
        _tell("edit", what, *args)
        try:
            made = change()
        except StoreError as error:
            _tell("refused", str(error))
            return
        _tell("edited", [made] if isinstance(made, str) else list(made) if isinstance(made, tuple) else [])

    def _delete(self, store: Store, one: Episode) -> None:
        self._edit(lambda: store.delete([one.id]), "delete", [one.id])

    def _trim(self, store: Store, one: Episode) -> None:
        start = self._rng.randrange(len(one))
        stop = self._rng.randint(start + 1, len(one))
        self._edit(lambda: store.trim(one.id, start, stop), "trim", [one.id], start, stop)

    def _split(self, store: Store, one: Episode) -> None:
        at = self._rng.randint(1, len(one))
        self._edit(lambda: store.split(one.id, at), "split", [one.id], at)

    def _merge(self, store: Store, one: Episode) -> None:
        """Not of what was salvaged: it may end before its streams do, which is seen only as long as it is the end."""
        ids = [episode.id for episode in store.episodes if not episode.attrs["salvaged"]]
        some = sorted(self._rng.sample(range(len(ids)), min(2, len(ids))))
        pair = [ids[number] for number in some]
        if len(pair) == 2:
            self._edit(lambda: store.merge(pair), "merge", pair)

    def _relabel(self, store: Store, one: Episode) -> None:
        verdict = _VERDICTS[one.attrs["verdict"] == _VERDICTS[0]]
        self._edit(lambda: store.relabel([one.id], verdict=verdict), "relabel", [one.id], verdict)

    def _source(self, store: Store, one: Episode) -> None:
        start = self._rng.randrange(len(one))
        source = Source.POLICY if one.read("source", start)[0] == Source.OPERATOR else Source.OPERATOR
        change = partial(store.relabel_source, one.id, start, len(one), source)
        self._edit(change, "source", [one.id], start, len(one), int(source))

    def _view(self, store: Store, one: Episode) -> None:
        where, name = f"rows >= {len(one)}", self._rng.choice(["long", "longer"])
        ids = [episode.id for episode in store.episodes if len(episode) >= len(one)]
        there = store.catalog.state.views.get(name)
        if there and set(there.ids) == set(ids):
            return
        self._edit(lambda: store.filter(where, name).ids and None, "view", name, ids)

    def _undo(self, store: Store, one: Episode) -> None:
        self._edit(store.undo, "undo")


def work(path: Path, seed: float, number: int, goal: str, importing: list[tuple[int, int]]) -> None:
    """Clear up after the one before, do what is wanted, then one thing after another, until it is killed."""
    rng = random.Random(seed)
    hand = RandomWork(path, rng, number)
    hand.take_over(importing)
    hand.prepare()
    doings = {"record": hand.record, "edit": hand.edit, "compact": hand.compact, "import": hand.bring}
    if goal != "salvage":
        doings["record" if goal == "commit" else goal]()
    while True:
        hand.prepare()
        rng.choice(list(doings.values()))()


def clear_up(path: Path, importing: list[tuple[int, int]]) -> None:
    """Finish what the one before was killed in, and make everything final."""
    hand = RandomWork(path, random.Random(0), 0)
    hand.take_over(importing)
    hand.compact()


def _tell(what: str, *args: Any) -> None:
    say(json.dumps([what, *args]))
