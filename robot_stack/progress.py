"""One way to show that something long is going on: a bar on a terminal, a line every few seconds elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from robot_stack.clock import now

PLAIN_PERIOD = 2.0
"""Between two lines where there is no terminal [s]."""


class Bar(Protocol):
    """Progress of one thing."""

    def update(self, completed: float, note: str = "") -> None:
        """So much of the total is done; note: a few words or numbers beside it."""
        ...


@contextmanager
def bar(title: str, total: float, out: TextIO | None = None) -> Iterator[Bar]:
    """Show progress towards `total` on `out` (standard error by default) while the context lasts."""
    out = out or sys.stderr
    if not out.isatty():
        plain = _PlainBar(title, total, out)
        yield plain
        plain.finish()
        return
    from rich.console import Console  # takes 50 ms, which `--help` need not wait for
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), Remaining(), console=Console(file=out)) as progress:
        task = progress.add_task(title, total=total, note="")

        class RichBar:
            def update(self, completed: float, note: str = "") -> None:
                progress.update(task, completed=completed, note=note)

        yield RichBar()


class _PlainBar:
    def __init__(self, title: str, total: float, out: TextIO) -> None:
        self._title, self._total, self._out = title, total, out
        self._began = self._shown = now()
        self._line = ""

    def update(self, completed: float, note: str = "") -> None:
        self._line = f"{self._title} {completed:g}/{self._total:g}  {note}".rstrip()
        if now() - self._shown >= PLAIN_PERIOD:
            self._shown = now()
            print(self._line, file=self._out, flush=True)

    def finish(self) -> None:
        if self._line:
            print(f"{self._line}  in {now() - self._began:.1f} s", file=self._out, flush=True)
