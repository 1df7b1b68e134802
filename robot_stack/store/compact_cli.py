"""`robot-stack data compact`."""

from collections.abc import Mapping
from typing import Any

from robot_stack import terminal
from robot_stack.progress import bar
from robot_stack.store.codecs import codec
from robot_stack.store.compact import compact
from robot_stack.store.store import Store


def run(cfg: Mapping[str, Any]) -> int:
    """Make edits final and pictures small."""
    with Store.open(cfg["store"]) as store, bar("compacting episodes", len(store)) as progress:
        chosen = cfg["codec"]
        if chosen == "auto":  # who recorded bit for bit wanted it so
            chosen = None if codec(store.codec).lossless else "av1"
        done = compact(store, chosen, progress.update)
    written = terminal.count(done.rewritten, "episode", "episodes")
    removed = terminal.count(done.removed, "deleted one", "deleted ones")
    pictures = f"pictures in {chosen}" if chosen else "pictures as they were"
    sizes = f"{done.before / 1e6:,.1f} MB before, {done.after / 1e6:,.1f} MB now"
    terminal.console().print(f"{written} written anew, {removed} removed, {pictures}: {sizes}", soft_wrap=True)
    return 0
