"""Stores in an object store, read for training: s3://, gs://, az:// or https://, by obstore.

Credentials and endpoint come from the environment, by the names that each vendor's own tools use (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL …). Opening takes a handful of requests: the list of episodes, the
index and the log of edits; then each table is one request, and frames are one request a read and shard.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from io import RawIOBase
from typing import Any, Literal
from urllib.parse import urlsplit

from robot_stack.store.arrays import read_attributes
from robot_stack.store.catalog import FOLDER
from robot_stack.store.edit_log import NAME as EDITS
from robot_stack.store.index import NAME as INDEX
from robot_stack.store.index import parse_index
from robot_stack.types import ConfigError, StoreError

_RETRY = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}


@dataclass(frozen=True)
class RemoteFolder:
    """A folder or file at a URL. Holds no connection: it may be pickled, and used after a fork."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rpartition("/")[2]

    def __truediv__(self, name: str) -> "RemoteFolder":
        return RemoteFolder(f"{self.url}/{name}")

    def read_bytes(self) -> bytes:
        """The whole file; FileNotFoundError where there is none."""
        with self._reported() as (objects, path):
            return bytes(objects.get(path).bytes())

    def read_range(self, start: int, size: int) -> bytes:
        """`size` bytes from byte `start` on."""
        with self._reported() as (objects, path):
            return bytes(objects.get_range(path, start=start, length=size))

    def size(self) -> int:
        """Of the file [B]; FileNotFoundError where there is none."""
        with self._reported() as (objects, path):
            return int(objects.head(path)["size"])

    def folders(self) -> list[str]:
        """Names of the folders in it, sorted."""
        with self._reported() as (objects, path):
            found = objects.list_with_delimiter(path)
            return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])

    def open(self, mode: Literal["rb"], buffering: Literal[0]) -> "RemoteFile":
        """The file, to seek and read in."""
        return RemoteFile(self)

    @contextmanager
    def _reported(self) -> Iterator[tuple[Any, str]]:
        """The object store and the path in it; what fails there comes out as a StoreError that names the URL."""
        parts = urlsplit(self.url)
        objects = _objects(f"{parts.scheme}://{parts.netloc}", os.getpid())
        try:
            yield objects, parts.path.lstrip("/")
        except FileNotFoundError:
            raise
        except Exception as error:
            if not type(error).__module__.startswith("obstore"):
                raise
            reason = str(error).split("\n", 1)[0]
            raise StoreError(
                f"cannot read {self.url}: {reason}. Check the network, the credentials and the endpoint in the "
                "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL …)"
            ) from error


class RemoteFile(RawIOBase):
    """A file at a URL, read in ranges."""

    def __init__(self, file: RemoteFolder) -> None:
        self._file = file
        self._position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte: from the start, from here (1) or from the end (2)."""
        self._position = offset + {0: 0, 1: self._position}.get(whence, -1)
        if whence == 2:
            self._position = offset + self._file.size()
        return self._position

    def read(self, size: int = -1) -> bytes:
        """So many bytes from here on; all of them for -1."""
        if size < 0:
            size = max(0, self._file.size() - self._position)
        content = self._file.read_range(self._position, size) if size else b""
        self._position += len(content)
        return content


class RemoteShelf:
    """A store at a URL; it is taken as it was when it was first looked at."""

    def __init__(self, url: str) -> None:
        self.folder = RemoteFolder(url.rstrip("/"))

    def stamp(self) -> object:
        """It does not change while it is read."""
        return self.folder.url

    def names(self) -> list[str]:
        """Folders of all episodes, sorted."""
        return (self.folder / "episodes").folders()

    def attributes(self, names: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Folder -> attributes, from the index where it has them; and of those that cannot be read, why not."""
        known = parse_index(self._read(INDEX))
        found, broken = {}, {}
        for name in names:
            try:
                found[name] = known[name] if name in known else read_attributes(self.folder / "episodes" / name)
            except StoreError as error:
                broken[name] = str(error)
        return found, broken

    def log(self) -> bytes:
        """The log of edits."""
        return self._read(EDITS)

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / FOLDER / name).read_bytes()
        except FileNotFoundError:
            return b""


@cache
def _objects(root: str, process: int) -> Any:
    """The object store at a root; its connections must not be shared with a forked process, hence `process`."""
    import obstore  # only for who reads from afar
    from obstore.store import from_url

    try:
        return from_url(root)
    except (obstore.exceptions.BaseError, ValueError) as error:
        raise ConfigError(f"{root} cannot be opened: {str(error).splitlines()[0]}") from error
