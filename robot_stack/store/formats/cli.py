"""`robot-stack data import` and `robot-stack data export`."""

from collections.abc import Mapping
from typing import Any

from robot_stack import terminal
from robot_stack.progress import bar
from robot_stack.store.formats.exporting import export
from robot_stack.store.formats.importing import import_source, open_source
from robot_stack.store.store import Store

_IMPORT = ("from", "store", "format", "nan", "codec")  # what is no option of a format
_EXPORT = ("store", "to", "format", "episodes")


def run_import(cfg: Mapping[str, Any]) -> int:
    """Bring others' data into a store."""
    options = {key: value for key, value in cfg.items() if key not in _IMPORT}
    source = open_source(cfg["from"], cfg["format"], **options)
    with bar("importing episodes", len(source)) as progress:
        done = import_source(source, cfg["store"], progress.update, codec=cfg["codec"], nan=cfg["nan"])
    came = f"{terminal.count(done.new, 'episode', 'episodes')} came in, each read back and compared"
    before = f", {done.skipped:,} were there before" if done.skipped else ""
    _print([f"warning: {warning}" for warning in done.warnings])
    _print([f"{came}{before}: {done.rows:,} steps in {cfg['store']}"])
    return 0


def run_export(cfg: Mapping[str, Any]) -> int:
    """Write a store in another format."""
    options = {key: value for key, value in cfg.items() if key not in _EXPORT}
    store = Store.open(cfg["store"])
    with bar("exporting episodes", len(cfg["episodes"] or store)) as progress:
        done = export(store, cfg["to"], cfg["format"], progress.update, cfg["episodes"], **options)
    went = f"{terminal.count(done.new, 'episode', 'episodes')} written, each read back and compared"
    before = f", {done.skipped:,} by an export that was interrupted" if done.skipped else ""
    _print([f"warning: {warning}" for warning in done.warnings])
    _print([f"{went}{before}: {done.rows:,} steps in {cfg['to']}"])
    return 0


def _print(lines: list[str]) -> None:
    console = terminal.console()
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
