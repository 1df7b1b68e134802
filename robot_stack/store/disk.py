"""Every change that the store makes to a disk goes through here, so that a test can fail or kill each one in turn.

Durable means: there after a power failure. `make`, `write` and `extend` are durable after a `sync_tree` of the folder
above, the rest when they return. What others read while it changes is replaced by a rename, never rewritten.
"""

import os
import shutil
from pathlib import Path
from typing import BinaryIO


def make(folder: Path) -> None:
    """Make a folder that is not there yet."""
    folder.mkdir()


def write(path: Path, content: bytes) -> None:
    """Write a new file."""
    path.write_bytes(content)


def extend(path: Path, content: bytes | memoryview) -> None:
    """Add to a new file that nobody reads yet."""
    with path.open("ab", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]


def append_whole(file: BinaryIO, content: bytes, size: int) -> None:
    """Add to an open, unbuffered file of `size` bytes: all of it, or (disk full) nothing and an OSError."""
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(size)
        file.seek(size)
        raise


def replace(path: Path, content: bytes) -> None:
    """Replace a file that others may read now: under a temporary name, then renamed."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(partial, path)
    sync_folder(path.parent)


def append(path: Path, content: bytes, at: int | None = None) -> None:
    """Add to a file, which is made if it is not there; `at`: its size, what is beyond is cut off."""
    with path.open("ab") as file:
        if at is not None:
            file.truncate(at)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def rename(source: Path, destination: Path) -> None:
    """Give a file or folder its name; it replaces a file of that name."""
    os.rename(source, destination)
    sync_folder(destination.parent)


def remove(path: Path) -> None:
    """Delete a file or a folder; half deleted, what is left has no meaning to anybody."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Make everything in a folder durable; one pass at the end costs far less than an fsync after every write."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(folder))
