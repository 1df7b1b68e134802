"""`robot-stack data compact`."""

from collections.abc import Mapping
from typing import Any

from robot_stack import terminal
from robot_stack.progress import bar
from robot_stack.store.compact import compact
from robot_stack.store.store import Store


def run(cfg: Mapping[str, Any]) -> int:
    """Make edits final and pictures small."""
    with Store.open(cfg["store"]) as store, bar("compacting episodes", len(store)) as progress:
        done = compact(store, cfg["codec"], progress.update)
    written = terminal.count(done.rewritten, "episode", "episodes")
    removed = terminal.count(done.removed, "recording", "recordings")
    sizes = f"{done.before / 1e6:,.1f} MB before, {done.after / 1e6:,.1f} MB now"
    terminal.console().print(f"{written} written anew, {removed} removed: {sizes}", soft_wrap=True)
    return 0
