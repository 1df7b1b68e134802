"""A forked process that may be killed or fail, and what it says while it lasts.

Fork from a process that has no threads.
"""

import os
import select
import signal
import traceback
from collections.abc import Callable

from robot_stack.types import RobotStackError, StoreError

_saying = -1  # where this process says things


def say(line: str) -> None:
    """Tell the process that forked this one; nothing where it was not forked."""
    if _saying >= 0:
        os.write(_saying, line.encode() + b"\n")


class Child:
    """Does its work in a process of its own; what it raises is the last thing that it says."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._pipe, writing = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._pipe)
            _work(work, writing)
        os.close(writing)
        self._rest = b""

    def hear(self, seconds: float) -> list[str] | None:
        """What it said meanwhile, as soon as there is something, at the latest after so long; None: it has ended."""
        if not select.select([self._pipe], [], [], max(0.0, seconds))[0]:
            return []
        content = os.read(self._pipe, 1 << 16)
        *lines, self._rest = (self._rest + content).split(b"\n")
        return [line.decode() for line in lines] if content else None

    def kill(self) -> None:
        """SIGKILL; `wait` afterwards."""
        os.kill(self._process, signal.SIGKILL)

    def wait(self) -> tuple[list[str], int]:
        """Wait for its end: what else it said, and its exit status."""
        said: list[str] = []
        while (lines := self.hear(60.0)) is not None:
            said += lines
        os.close(self._pipe)
        return said, os.waitpid(self._process, 0)[1]


def in_child(work: Callable[[], None], may_fail: bool = False) -> list[str]:
    """Do it in a process of its own; what that said."""
    said, status = Child(work).wait()
    if status and not may_fail:
        raise RobotStackError(f"the bench itself failed: {said[-1:]}")
    return said


def _work(work: Callable[[], None], writing: int) -> None:
    """In the child: never returns."""
    global _saying
    _saying = writing
    code = 1
    try:
        work()
        code = 0
    except StoreError as error:
        say(f"StoreError {error}".replace("\n", " "))
    except BaseException:
        say("another error: " + traceback.format_exc().replace("\n", " | "))
    finally:
        os._exit(code)
