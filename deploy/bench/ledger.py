"""What a store must show, kept beside it from what a process announced that it would do, and that it had done."""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.bench.known import Known, made
from robot_stack.types import RobotStackError

Views = dict[str, set[str]]


@dataclass
class Open:
    """An episode that is being recorded: its number, rows and verdict as asked for, and rows that were appended."""

    number: int
    asked: int
    verdict: str
    rows: int = 0
    is_committing: bool = False

    def becomes(self, one: Known) -> bool:
        """Whether this may come in as that: all of it once its commit had begun; else what was appended, or one row
        more, of which it was killed before it could say so."""
        if one == made(self.number, self.asked, self.verdict):
            return self.is_committing
        cut_off = replace(made(self.number, len(one.rows), "unknown"), salvaged=True)
        return one == cut_off and self.rows <= len(one.rows) <= min(self.rows + 1, self.asked)


@dataclass
class Ledger:
    """shown: id -> episode. views: name -> ids. open, importing, edit: what was begun and not said to be done.

    salvaged: how many episodes came in without a commit. told: how many their writer was told are committed.
    """

    shown: dict[str, Known] = field(default_factory=dict)
    views: Views = field(default_factory=dict)
    open: Open | None = None
    importing: list[Known] = field(default_factory=list)
    edit: list[Any] = field(default_factory=list)
    salvaged: int = 0
    told: int = 0
    _there: list[str] = field(default_factory=list)
    _undoable: list[tuple[dict[str, Known | None], Views]] = field(default_factory=list)

    def hear(self, what: str, *args: Any) -> None:
        """Take note of what a process announced; RobotStackError when that cannot be."""
        if what == "record":
            self.open = Open(*args)
        elif what in ("row", "commit"):
            assert self.open is not None
            self.open.rows += what == "row"
            self.open.is_committing = what == "commit"
        elif what == "recorded":
            self._committed(args[0])
        elif what == "salvaged":
            self._salvaged([(name, _known(*one)) for name, *one in args[0]])
        elif what == "import":
            self.importing = [made(number, rows) for number, rows in args[0]]
        elif what == "imported":
            self._imported(args[0])
            if len(args[0]) != len(self.importing):
                raise RobotStackError(f"an import of {self.importing} ended with {args[0]}")
            self.importing, self._there = [], []
        elif what == "edit":
            self.edit = list(args)
        elif what == "edited":
            self._apply(args[0])
        elif what == "refused":
            self.edit = []
        elif what == "compacted":
            self._undoable.clear()

    @property
    def left_to_import(self) -> list[tuple[int, int]]:
        """Number and rows of each episode of an import that was begun and not said to be done."""
        return [(one.rows[0][0], len(one.rows)) for one in self.importing]

    def disagreement(self, shown: dict[str, Known], views: Views) -> str:
        """Compare with what a store shows after a kill, and note which of what was begun had been done after all."""
        new = sorted(shown.keys() - self.shown.keys())
        if self.open and new and self.open.becomes(shown[new[0]]):
            self._arrived(new[0], shown[new[0]])
        elif self.importing and new:
            self._imported([*self._there, *new])
        elif self.edit and (self.edit[0] != "undo" or self._undoable):
            after = deepcopy(self)
            after._apply(new)
            if after._is_shown(shown, views):
                self._apply(new)
        self.edit = []
        if self._is_shown(shown, views):
            return ""
        ids = [name for name in shown.keys() | self.shown.keys() if shown.get(name) != self.shown.get(name)]
        seen, expected = [{name: episodes.get(name) for name in ids} for episodes in (shown, self.shown)]
        return f"it shows {seen} and {views}; expected {expected} and {self.views}"

    def _is_shown(self, shown: dict[str, Known], views: Views) -> bool:
        return shown == self.shown and views == {name: ids & self.shown.keys() for name, ids in self.views.items()}

    def _committed(self, name: str) -> None:
        assert self.open is not None
        self.shown[name] = made(self.open.number, self.open.asked, self.open.verdict)
        self.open = None
        self.told += 1

    def _salvaged(self, came: list[tuple[str, Known]]) -> None:
        """What was being recorded comes in, as much of it as there was; of an import only what it had committed."""
        for name, one in came:
            if self.open and self.open.becomes(one):
                self._arrived(name, one)
            elif one in self.importing[len(self._there) :][:1]:
                self._imported([*self._there, name])
            else:
                raise RobotStackError(f"{one} was salvaged of {self.open or self.importing}")
        if self.open and self.open.rows:
            raise RobotStackError(f"{self.open} is lost")
        self.open = None

    def _arrived(self, name: str, one: Known) -> None:
        self.shown[name] = one
        self.open = None
        self.salvaged += one.salvaged

    def _imported(self, names: list[str]) -> None:
        """So many episodes of the import are there, under these ids."""
        self.shown |= dict(zip(names, self.importing, strict=False))
        self.told += len(names) - len(self._there)
        self._there = names

    def _apply(self, made_ids: list[str]) -> None:
        """Do what the announced edit says."""
        what, *args = self.edit
        self.edit = []
        if what == "undo":
            before, self.views = self._undoable.pop()
            self._put(before)
            return
        views = deepcopy(self.views)
        after = self._after(what, args, made_ids)
        self._undoable.append(({name: self.shown.get(name) for name in after}, views))
        self._put(after)

    def _put(self, episodes: dict[str, Known | None]) -> None:
        for name, one in episodes.items():
            if one is None:
                self.shown.pop(name, None)
            else:
                self.shown[name] = one

    def _after(self, what: str, args: list[Any], made_ids: list[str]) -> dict[str, Known | None]:
        """What an edit makes of the episodes that it changes; None: they are not shown any more."""
        if what == "view":
            self.views[args[0]] = set(args[1])
            return {}
        ids = args[0]
        episodes = [self.shown[name] for name in ids]
        first = episodes[0]
        if what == "delete":
            return dict.fromkeys(ids)
        if what == "relabel":
            return {ids[0]: replace(first, verdict=args[1])}
        if what == "trim":
            return {ids[0]: replace(first, rows=first.rows[args[1] : args[2]])}
        if what == "source":
            start, stop, source = args[1:]
            flown = tuple((*row[:2], source) for row in first.rows[start:stop])
            return {ids[0]: replace(first, rows=first.rows[:start] + flown + first.rows[stop:])}
        for view in self.views.values():
            view |= set(made_ids) if set(ids) <= view else set()
        gone: dict[str, Known | None] = dict.fromkeys(ids)
        if what == "split":
            parts = first.rows[: args[1]], first.rows[args[1] :]
            return gone | {name: replace(first, rows=rows) for name, rows in zip(made_ids, parts, strict=False)}
        rows = tuple(row for episode in episodes for row in episode.rows)
        return gone | dict.fromkeys(made_ids[:1], replace(first, rows=rows, verdict=episodes[-1].verdict))


def _known(rows: list[list[int]], verdict: str, salvaged: bool) -> Known:
    """As it was said in JSON."""
    return Known(tuple((episode, step, source) for episode, step, source in rows), verdict, salvaged)
