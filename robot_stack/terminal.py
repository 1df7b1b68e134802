"""What verbs print: tables and counts, as wide as the terminal, or wide and plain into a file."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PLAIN_WIDTH = 200  # columns when nobody measures them


def console() -> Console:
    """Where to print."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH, highlight=False)


def table(*columns: str) -> Table:
    """An empty table with these heads."""
    made = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    for column in columns:
        made.add_column(Text(column))  # a Text, because [ms] in a string would be a style
    return made


def count(number: int, one: str, more: str) -> str:
    """'1 episode', '2 episodes'."""
    return f"{number:,} {one if number == 1 else more}"
