"""The training cache: pictures that are decoded and shrunk once, and read from disk ever after.

A file an episode, field and resolution: a plain `.npy`, named after the hash of the episode's content, so that an
episode that is edited gets files of its own, and what is old is never taken for what is new. It is written under
another name and renamed: it is whole or not there, however many processes build at once and whenever they are killed.

Frames are read with `pread` and not from a memory map that is kept, because a map holds an open file: 33 us for two
pictures of 240x320 against 26, but two cameras of 1,000 episodes would be 2,000 open files where 1,024 are usual. A
file that goes away meanwhile is no harm either: its pictures are decoded again.

From a cold disk, pictures that were `expect`ed come side by side: 32 pieces of 460 kB at 1.2 GB/s instead of 0.5 GB/s
one after the other. The next batch comes while this one is learned from.
"""

import io
import os
import random
import re
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot_stack.picture import RESIZE
from robot_stack.progress import bar
from robot_stack.store.frames import Decoded, Frames

AUTO = "auto"
"""In a config: the folder that all trainings of a user share."""

LIMIT = 100e9
"""Bytes on disk; the files that were unused for longest make room."""

AGE = 30 * 86400.0
"""After so long without use a file goes [s]."""

RESERVE = 2e9
"""Bytes of the disk that the cache leaves free, for recordings."""

_FETCHED = 1 << 19  # the system fetches no more in one go than the disk takes in one request, often 1 MB [B]
_ABANDONED = 3600.0  # a partial file that has not grown for so long is of a process that died [s]
_NAME = re.compile(r"\.?[0-9a-f]{64}\..+\.(npy|partial)")


class File(NamedTuple):
    """One file of the cache; used: when it was last, seconds since 1970."""

    path: Path
    bytes: int
    used: float


class Cached:
    """Frames read from a file of the cache, or decoded again when somebody removed it."""

    def __init__(self, path: Path, origin: Decoded) -> None:
        self.path, self.origin = path, origin
        self.shape, self.dtype = origin.shape, origin.dtype
        self._offset = len(_header(origin))
        self._row = origin.nbytes // max(1, len(origin.episode))

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        """Rows start, start + 1, … into the contiguous `out` (n, *shape)."""
        try:
            _read(self.path, self._offset + start * self._row, memoryview(out.reshape(-1).view(np.uint8)))
        except OSError:
            self.origin.read_into(start, out)

    def expect(self, start: int, stop: int) -> None:
        """Have the system fetch rows start..stop from the disk, while this process does something else."""
        with suppress(OSError):  # then they are decoded when they are read
            _fetch(self.path, self._offset + start * self._row, self._offset + stop * self._row)


class FrameCache:
    """A folder of decoded pictures. limit: bytes that it may take on disk."""

    def __init__(self, folder: Path, limit: float = LIMIT) -> None:
        self.folder, self.limit = folder, limit

    def get(self, source: Decoded) -> Frames:
        """The cached frames; those of the store where `fill` could not cache them."""
        path = self._path(source)
        return Cached(path, source) if _is_whole(path, source) else source

    def fill(self, sources: Iterable[Decoded]) -> str:
        """Decode what is missing, and say what could not be cached and why: '' if all of it is there."""
        wanted = {self._path(source): source for source in sources}
        missing = {path: source for path, source in wanted.items() if not _is_whole(path, source)}
        for path in wanted.keys() - missing.keys():
            with suppress(OSError):  # of another user's cache
                os.utime(path)
        if not missing:
            return ""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._prune(wanted, sum(map(_size, missing.values())))
            self._build(missing)
        except OSError as error:
            left = sum(not _is_whole(path, source) for path, source in missing.items())
            return (
                f"{left} of {len(wanted)} files cannot be in the cache {self.folder}: {error.strerror}. Those pictures "
                "are decoded from the store instead, which is slower; choose another folder with cache=…, or make room"
            )
        return ""

    def files(self) -> Iterator[File]:
        """What is there, finished or not."""
        if not self.folder.is_dir():
            return
        for entry in os.scandir(self.folder):
            if _NAME.fullmatch(entry.name):
                try:
                    status = entry.stat()
                except FileNotFoundError:  # another process removed it
                    continue
                yield File(Path(entry.path), status.st_size, status.st_mtime)

    def clear(self) -> None:
        """Remove all files of the cache, and nothing else that may be in its folder."""
        for file in self.files():
            file.path.unlink(missing_ok=True)

    def _path(self, source: Decoded) -> Path:
        size = "native" if source.resolution is None else "{}x{}".format(*source.resolution)
        return self.folder / f"{source.episode.attrs['content']}.{source.name}.{size}.{RESIZE}.npy"

    def _prune(self, keep: Container[Path], more: int) -> None:
        """Remove what is old; and, longest unused first, what is in the way of `more` bytes. `keep` stays."""
        files = sorted(self.files(), key=lambda file: file.used)
        used = sum(file.bytes for file in files)
        allowed = min(self.limit, used + self._free() - RESERVE)
        for file in files:
            finished = file.path.suffix == ".npy"
            old = time.time() - file.used > (AGE if finished else _ABANDONED)
            if file.path not in keep and (old or (finished and used + more > allowed)):
                file.path.unlink(missing_ok=True)
                used -= file.bytes

    def _free(self) -> int:
        """Of the disk [B]."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def _build(self, missing: dict[Path, Decoded]) -> None:
        """Raises OSError when there is no room."""
        order = list(missing.items())
        random.Random().shuffle(order)  # processes that build at once share the work, more or less
        used = sum(file.bytes for file in self.files())
        with bar("caching pictures", sum(len(source.episode) for source in missing.values())) as progress:
            done = 0
            for path, source in order:
                if not _is_whole(path, source):
                    self._check_room(used, _size(source))
                    _write(path, source)
                    used += _size(source)
                done += len(source.episode)
                progress.update(done)

    def _check_room(self, used: int, more: int) -> None:
        if used + more > self.limit:
            raise OSError(0, f"it may take {self.limit / 1e9:g} GB (cache_limit=…)")
        if self._free() < more + RESERVE:
            raise OSError(0, f"less than {RESERVE / 1e9:g} GB of the disk would stay free")


def open_cache(folder: str | None, limit: float = LIMIT) -> FrameCache | None:
    """The cache that a config asks for: AUTO, a folder, or None for none. limit: bytes on disk."""
    return None if folder is None else FrameCache(_shared() if folder == AUTO else Path(folder).expanduser(), limit)


def _shared() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robot-stack" / "pictures"


def _header(source: Decoded) -> bytes:
    """What the .npy file of these frames begins with."""
    header = io.BytesIO()
    content = {"descr": source.dtype.str, "fortran_order": False, "shape": source.shape}
    np.lib.format.write_array_header_1_0(header, content)  # type: ignore[no-untyped-call]
    return header.getvalue()


def _size(source: Decoded) -> int:
    """Of the file of these frames [B]."""
    return len(_header(source)) + source.nbytes


def _is_whole(path: Path, source: Decoded) -> bool:
    """Whether there is a file of the right header and size."""
    header = _header(source)
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == _size(source) and file.read(len(header)) == header
    except OSError:
        return False


def _write(path: Path, source: Decoded) -> None:
    """Under another name, then renamed."""
    partial = path.with_name(f".{path.name}.{token_hex(4)}.partial")  # not the process: two containers have the same
    try:
        with partial.open("xb") as file:
            file.write(_header(source))
            for block in source.blocks():
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _fetch(path: Path, start: int, stop: int) -> None:
    """Bytes start..stop of a file are wanted soon."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for offset in range(start, stop, _FETCHED):
            os.posix_fadvise(descriptor, offset, min(_FETCHED, stop - offset), os.POSIX_FADV_WILLNEED)
    finally:
        os.close(descriptor)


def _read(path: Path, offset: int, out: memoryview) -> None:
    """Fill `out` from a file; OSError if it is too short."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while out:
            count = os.preadv(descriptor, [out], offset)
            if not count:
                raise OSError(f"{path} ends before {offset} B")
            offset += count
            out = out[count:]
    finally:
        os.close(descriptor)
