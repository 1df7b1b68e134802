"""`robot-stack data verify`: whether a store still holds exactly what a checkpoint was trained on."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from robot_stack.store.provenance import Fate, State, compare, read_records
from robot_stack.store.store import Store
from robot_stack.terminal import console, count, table
from robot_stack.types import CheckpointError, ConfigError

_COLOURS = {State.SAME: "", State.COMPACTED: "yellow", State.CHANGED: "red", State.MISSING: "red", State.NEW: "yellow"}


def run(cfg: Mapping[str, Any]) -> int:
    """Compare episode by episode; 1 unless every store holds the same."""
    records = read_records(read_card(Path(cfg["checkpoint"])))
    paths = [noted["store"] for noted in records]
    if cfg["store"]:
        paths = [cfg["store"]] if isinstance(cfg["store"], str) else list(cfg["store"])
    if len(paths) != len(records):
        raise ConfigError(f"it was trained on {count(len(records), 'store', 'stores')}: give store=[…] as many")
    stores = [Store.open(path) for path in paths]
    fates = [list(compare(noted, store.episodes)) for noted, store in zip(records, stores, strict=True)]
    for store, of in zip(stores, fates, strict=True):
        _report(store, of)
    return 0 if all(fate.state == State.SAME for of in fates for fate in of) else 1


def read_card(checkpoint: Path) -> dict[str, Any]:
    """The card of a checkpoint, or of the newest one of a run."""
    cards = [checkpoint / "card.json", *sorted(checkpoint.glob("step-*[0-9]/card.json"), reverse=True)]
    path = next((path for path in cards if path.is_file()), None)
    if path is None:
        raise CheckpointError(f"there is no checkpoint in {checkpoint}; `robot-stack train` makes one")
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}; use another checkpoint") from error


def _report(store: Store, fates: Sequence[Fate]) -> None:
    """Print one store."""
    rows = table("episode", "used for", "now")
    for fate in sorted(fates):
        rows.add_row(fate.episode, fate.use.replace("_", " "), Text(fate.state.value, style=_COLOURS[fate.state]))
    counts = Counter(fate.state for fate in fates)
    said = ", ".join(f"{counts[state]} {state.value}" for state in State if counts[state])
    out = console()
    out.print(rows)
    out.print(f"{store.name}: {said}", soft_wrap=True, markup=False)
    if counts[State.CHANGED] or counts[State.MISSING]:
        out.print(f"If that was an edit: robot-stack data undo store={store.folder}", soft_wrap=True, markup=False)
