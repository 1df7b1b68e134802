"""A process that fills a training cache with the pictures of a store, and may be killed in mid-file."""

import ctypes
import mmap
import os
import signal
import sys
from pathlib import Path

from robot_stack.store import Store
from robot_stack.store.cache import FrameCache
from robot_stack.store.frames import Decoded


def sources(store: str | Path, resolution: tuple[int, int] | None = (20, 30)) -> list[Decoded]:
    """The pictures of all episodes."""
    return [Decoded(episode, "image.front", resolution) for episode in Store.open(store).episodes]


def forget(path: Path) -> None:
    """Have the system drop what it holds in memory of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def pages_in_memory(path: Path) -> list[bool]:
    """Which pages of a file the system holds in memory, asked without reading any: mincore(2)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as content:
        pages = (ctypes.c_ubyte * (-(-len(content) // mmap.PAGESIZE)))()
        address = ctypes.c_char.from_buffer(content)
        failed = ctypes.CDLL(None, use_errno=True).mincore(ctypes.byref(address), ctypes.c_size_t(len(content)), pages)
        del address
        assert not failed, os.strerror(ctypes.get_errno())
        return [bool(page & 1) for page in pages]


def die_while_writing(number: int) -> None:
    """Kill this process when the `number`-th file is written, but neither durable nor renamed."""
    calls = 0
    fsync = os.fsync

    def fatal(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            os.ftruncate(descriptor, 1000)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.fsync = fatal


if __name__ == "__main__":
    store, cache, kill = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()
    if int(kill):
        die_while_writing(int(kill))
    assert FrameCache(Path(cache)).fill(sources(store)) == ""
