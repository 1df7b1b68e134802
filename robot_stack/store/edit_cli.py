"""`robot-stack data`: delete, trim, split, merge, relabel, filter, undo and log.

Each says what it did to how many episodes and rows, and the command that takes it back.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from robot_stack.store.edit_log import Edit
from robot_stack.store.edit_ops import Undo
from robot_stack.store.selection import select
from robot_stack.store.store import Store
from robot_stack.terminal import console, count, table
from robot_stack.types import ConfigError, Source


def delete(cfg: Mapping[str, Any]) -> int:
    """Hide episodes."""
    with Store.open(cfg["store"]) as store:
        ids = _chosen(store, cfg)
        rows = sum(len(store[episode]) for episode in ids)
        edit = store.delete(ids)
        _say(store, f"deleted {_size(len(ids), rows)}; {store.name} has {_size(len(store), _rows(store))} left", edit)
    return 0


def trim(cfg: Mapping[str, Any]) -> int:
    """Keep some rows of an episode."""
    with Store.open(cfg["store"]) as store:
        episode = str(cfg["episode"])
        rows = len(store[episode])
        start, stop = _range(cfg, rows)
        edit = store.trim(episode, start, stop)
        _say(store, f"{episode} is trimmed to rows {start}:{stop} of {count(rows, 'row', 'rows')}", edit)
    return 0


def split(cfg: Mapping[str, Any]) -> int:
    """Make two episodes of one."""
    with Store.open(cfg["store"]) as store:
        parts = store.split(str(cfg["episode"]), _whole(cfg, "at"))
        made = " and ".join(f"{name} ({count(len(store[name]), 'row', 'rows')})" for name in parts)
        _say(store, f"{cfg['episode']} is now {made}", store.edits[-1])
    return 0


def merge(cfg: Mapping[str, Any]) -> int:
    """Make one episode of several."""
    with Store.open(cfg["store"]) as store:
        ids = _listed(cfg["episodes"])
        made = store.merge(ids)
        _say(
            store,
            f"{count(len(ids), 'episode is', 'episodes are')} now {made}: {len(store[made]):,} rows",
            store.edits[-1],
        )
    return 0


def relabel(cfg: Mapping[str, Any]) -> int:
    """Correct labels of episodes, or who flew some rows of one."""
    labels = {name: str(cfg[name]) for name in ("verdict", "task", "language") if cfg[name] is not None}
    if bool(labels) is (cfg["source"] is not None):
        raise ConfigError("data relabel needs verdict=, task= or language=, or else source= with start= and stop=")
    with Store.open(cfg["store"]) as store:
        ids = _chosen(store, cfg)
        if labels:
            _say(
                store,
                f"relabelled {count(len(ids), 'episode', 'episodes')}: {_pairs(labels)}",
                store.relabel(ids, **labels),
            )
        else:
            _relabel_source(store, ids, cfg)
    return 0


def make_view(cfg: Mapping[str, Any]) -> int:
    """Name the episodes that an expression is true of."""
    with Store.open(cfg["store"]) as store:
        total, view = len(store), store.filter(str(cfg["where"]), str(cfg["view"]))
        rows = sum(len(store[episode]) for episode in view.ids)
        name = f"{store.path}@{view.name}"
        _say(store, f"{name} has {_size(len(view.ids), rows)}, of {total:,}; open it as store={name}", store.edits[-1])
    return 0


def undo(cfg: Mapping[str, Any]) -> int:
    """Take back an edit."""
    number = None if cfg["edit"] is None else _whole(cfg, "edit")
    with Store.open(cfg["store"]) as store:
        edit = store.undo(number)
        _print(f"undone: {edit}; {store.name} has {_size(len(store), _rows(store))}")
    return 0


def show_log(cfg: Mapping[str, Any]) -> int:
    """All edits since the store was made or compacted."""
    store = Store.open(cfg["store"])
    if not store.edits:
        _print(f"no edits in {store.name}: it shows what was recorded")
        return 0
    undone = {edit.op.undoes: edit.number for edit in store.edits if isinstance(edit.op, Undo)}
    lines = table("edit", "time [UTC]", "by", "what", "")
    for edit in store.edits:
        note = f"undone by {undone[edit.number]}" if edit.number in undone else _effect(store, edit)
        when = edit.time.replace("T", " ")[:19]
        lines.add_row(*map(Text, [str(edit.number), when, edit.by, str(edit.op), note]))
    console().print(lines)
    return 0


def _relabel_source(store: Store, ids: list[str], cfg: Mapping[str, Any]) -> None:
    names = [source.name.lower() for source in Source]
    if cfg["source"] not in names:
        raise ConfigError(f"no source {cfg['source']!r}; there are: {', '.join(names)}")
    if len(ids) != 1:
        raise ConfigError(f"source= is of rows of one episode, not of {len(ids)}")
    start, stop = _range(cfg, len(store[ids[0]]))
    edit = store.relabel_source(ids[0], start, stop, Source[cfg["source"].upper()])
    _say(store, f"rows {start}:{stop} of {ids[0]} ({stop - start:,}) count as flown by {cfg['source']}", edit)


def _effect(store: Store, edit: Edit) -> str:
    """What is to be known of an edit that is not undone."""
    if edit.number in store.catalog.state.stale:
        return "what it was made on is not there any more"
    return "final" if edit.number in store.catalog.state.final else ""


def _chosen(store: Store, cfg: Mapping[str, Any]) -> list[str]:
    """The ids that `episodes` lists, or of the episodes that `where` is true of."""
    if (cfg["episodes"] is None) is (cfg["where"] is None):
        raise ConfigError("which episodes? Give either episodes=[ep-000003,…] or where=\"verdict == 'failure'\"")
    if cfg["where"] is None:
        return _listed(cfg["episodes"])
    return [episode.id for episode in select(store.episodes, str(cfg["where"]))]


def _listed(episodes: Any) -> list[str]:
    """One id or a list of them."""
    return [episodes] if isinstance(episodes, str) else [str(episode) for episode in episodes]


def _range(cfg: Mapping[str, Any], rows: int) -> tuple[int, int]:
    """`start` and `stop`; the end of the episode when that is not given."""
    return _whole(cfg, "start"), rows if cfg["stop"] is None else _whole(cfg, "stop")


def _whole(cfg: Mapping[str, Any], key: str) -> int:
    if not isinstance(cfg[key], int) or isinstance(cfg[key], bool):
        raise ConfigError(f"{key}={cfg[key]}: expected a whole number")
    return int(cfg[key])


def _rows(store: Store) -> int:
    return sum(map(len, store.episodes))


def _size(episodes: int, rows: int) -> str:
    return f"{count(episodes, 'episode', 'episodes')} ({count(rows, 'row', 'rows')})"


def _pairs(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _say(store: Store, what: str, edit: Edit) -> None:
    _print(f"{what}\nto undo it: robot-stack data undo store={shlex.quote(str(store.path))} edit={edit.number}")


def _print(text: str) -> None:
    console().print(Text(text), soft_wrap=True)
