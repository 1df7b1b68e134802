"""Worker functions for the tests of the supervisor: they live, fail or hang."""

import time

from deploy.worker import Context


def live(context: Context) -> None:
    """Report until told to stop."""
    while not context.stop():
        context.health.beat(0.0)
        time.sleep(0.01)


def fail(context: Context) -> None:
    """End with words before the first report."""
    raise RuntimeError(f"{context.name} has nothing to do")


def hang(context: Context) -> None:
    """Report once, then no more."""
    context.health.beat(0.0)
    while not context.stop():
        time.sleep(0.01)
