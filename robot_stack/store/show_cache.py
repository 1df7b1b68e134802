"""`robot-stack data cache`: where the training cache is, how much it takes, and how to be rid of it."""

import time
from collections.abc import Mapping
from typing import Any

from robot_stack.store.cache import AGE, LIMIT, RESERVE, open_cache
from robot_stack.terminal import console, count
from robot_stack.types import ConfigError


def run(cfg: Mapping[str, Any]) -> int:
    """Show the cache; with `clear`, remove its files."""
    cache = open_cache(cfg["cache"])
    if cache is None:
        raise ConfigError("cache=null is no cache: there is nothing to show; cache=auto is the one that `train` uses")
    files = list(cache.files())
    size = f"{count(len(files), 'file', 'files')}, {sum(file.bytes for file in files) / 1e9:.2f} GB"
    if cfg["clear"]:
        cache.clear()
        console().print(f"removed {size} from {cache.folder}", soft_wrap=True, markup=False)
        return 0
    unused = max((time.time() - file.used for file in files), default=0.0) / 86400.0
    lines = [
        f"{cache.folder}: {size}" + (f", the oldest unused for {unused:.0f} days" if files else ""),
        f"Files unused for {AGE / 86400:.0f} days are removed when the next one is made, and the oldest when together "
        f"they exceed cache_limit of `train` ({LIMIT / 1e9:g} GB); {RESERVE / 1e9:g} GB of the disk stay free.",
    ]
    console().print("\n".join(lines), soft_wrap=True, markup=False)
    return 0
