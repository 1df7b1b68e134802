"""One writer a store: a lock on its folder `writing` that the kernel drops when the process dies."""

import fcntl
import os
from pathlib import Path
from typing import Any

from robot_stack.store import arrays, disk
from robot_stack.types import StoreError


class WriterLock:
    """Held from construction to `close`, or to the death of the process. StoreError names who holds it already."""

    def __init__(self, writing: Path) -> None:
        self._writing = writing
        try:
            if not writing.is_dir():  # a copy of a store may lack it
                disk.make(writing)
            self._descriptor = os.open(writing, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._take()
            except OSError:
                self.close()
                raise
        except BlockingIOError as error:
            holder = self._notes().get("pid", "unknown")
            raise StoreError(
                f"{writing.parent} is being written by process {holder}: one writer a store; wait for it or end it"
            ) from error
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {writing.parent}: {error.strerror}; reading it works. Make room on the "
                "disk or make it writable, then try again"
            ) from error

    def next_number(self, at_least: int) -> int:
        """A number for a new episode, never given before, even if that episode was deleted."""
        number = max(at_least, int(self._notes().get("next", 0)))
        try:
            self._note(next=number + 1)
        except OSError as error:
            raise StoreError(
                f"cannot begin an episode in {self._writing.parent}: {error.strerror}; make room or mend the disk, "
                "then try again"
            ) from error
        return number

    def close(self) -> None:
        """Let another writer in."""
        os.close(self._descriptor)

    def _take(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in self._writing.glob("*.partial"):  # of a writer killed while it noted something
            disk.remove(left)
        self._note(pid=os.getpid())

    def _notes(self) -> dict[str, Any]:
        return arrays.read_attributes(self._writing) if (self._writing / "zarr.json").exists() else {}

    def _note(self, **notes: int) -> None:
        arrays.replace_group(self._writing, self._notes() | notes)


def is_locked(writing: Path) -> bool:
    """Whether some process is writing now."""
    if not writing.is_dir():
        return False
    descriptor = os.open(writing, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
