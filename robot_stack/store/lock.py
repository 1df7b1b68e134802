"""One writer a store: a lock on its folder `writing` that the kernel drops when the process dies."""

import fcntl
import os
from pathlib import Path
from typing import Any

from robot_stack.store import arrays
from robot_stack.types import StoreError


class WriterLock:
    """Held from construction to `close`, or to the death of the process. StoreError names who holds it already."""

    def __init__(self, writing: Path) -> None:
        self._writing = writing
        try:
            self._descriptor = os.open(writing, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError as error:
            raise StoreError(
                f"{writing} is missing: the store was not copied whole; make it as an empty folder"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            holder = self._notes().get("pid", "unknown")
            raise StoreError(
                f"{writing.parent} is being written by process {holder}: one writer a store; wait for it or end it"
            ) from error
        for left in writing.glob("*.partial"):  # of a writer killed while it noted something
            left.unlink()
        self._note(pid=os.getpid())

    def next_number(self, at_least: int) -> int:
        """A number for a new episode, never given before, even if that episode was deleted."""
        number = max(at_least, int(self._notes().get("next", 0)))
        self._note(next=number + 1)
        return number

    def close(self) -> None:
        """Let another writer in."""
        os.close(self._descriptor)

    def _notes(self) -> dict[str, Any]:
        return arrays.read_attributes(self._writing) if (self._writing / "zarr.json").exists() else {}

    def _note(self, **notes: int) -> None:
        arrays.write_group(self._writing, self._notes() | notes)


def is_locked(writing: Path) -> bool:
    """Whether some process is writing now."""
    descriptor = os.open(writing, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
