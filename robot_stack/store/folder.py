"""Where a store is read from: a folder of this machine, or of an object store behind the same few calls."""

from io import RawIOBase
from typing import Literal, Protocol, Self


class Folder(Protocol):
    """A folder or a file in it. `pathlib.Path` is one; `remote.RemoteFolder` is another."""

    @property
    def name(self) -> str:
        """Its last name."""
        ...

    def __truediv__(self, name: str, /) -> Self:
        """What is in it under that name, there or not."""
        ...

    def read_bytes(self) -> bytes:
        """The whole file; FileNotFoundError where there is none."""
        ...

    def open(self, mode: Literal["rb"], buffering: Literal[0], /) -> RawIOBase:
        """The file, to seek and read in."""
        ...
