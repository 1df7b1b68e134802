"""The files of a zarr folder or .zip, seen from outside: how many chunks each array has, and whether all are whole.

Counted here, because zarr 3.4 cannot in a .zip where one array's name begins with another's. Lengths are compared here,
because blosc, which replay buffers are compressed with, goes by the length that a chunk itself names: of a file that
was cut short it decodes what lies behind it in memory, and nobody hears of it (numcodecs 0.17).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from zipfile import ZipFile

from robot_stack.types import StoreError

_METADATA = (".zarray", "zarr.json")
_KEY = re.compile(r"(c[./])?\d+([./]\d+)*")  # of a chunk in its array: 1.0.0 or 1/0/0, in zarr v3 c/1/0/0
_BLOSC = Struct("<12xI")  # how long a chunk says that it is; c-blosc 1, README_CHUNK_FORMAT


def count_chunks(path: Path) -> Counter[str]:
    """Chunks of each array, by its path as in 'data/img'; StoreError when one of blosc is not as long as it says."""
    arrays: dict[str, bool] = {}  # of each array, whether its chunks are blosc's
    chunks: list[tuple[str, int, bytes]] = []
    for name, size, content in _files(path):
        folder, _, file = name.rpartition("/")
        if file in _METADATA:
            arrays |= _array(folder, content)
        else:
            chunks.append((name, size, content))
    counts: Counter[str] = Counter()
    for name, size, content in chunks:
        array = next((folder for folder in _above(name) if folder in arrays), None)
        if array is None or not _KEY.fullmatch(name[len(array) + 1 :]):
            continue
        counts[array] += 1
        if arrays[array] and (len(content) < _BLOSC.size or _BLOSC.unpack(content)[0] != size):
            raise StoreError(f"{path / name} is not whole: {size} bytes are not what it says of itself; copy it again")
    return counts


def _files(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """Name, size and content of each file; of the content only the beginning, where it is not metadata."""
    if path.is_file():
        with ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as file:
                    yield info.filename, info.file_size, file.read(_wanted(info.filename))
        return
    for found in path.rglob("*"):
        if found.is_file():
            with found.open("rb") as file:
                yield found.relative_to(path).as_posix(), found.stat().st_size, file.read(_wanted(found.name))


def _wanted(name: str) -> int:
    return -1 if name.endswith(_METADATA) else _BLOSC.size


def _array(folder: str, content: bytes) -> dict[str, bool]:
    """The array of that metadata, and whether its chunks are blosc's; nothing of what is no array, or damaged."""
    try:
        metadata = json.loads(content)
        if "shape" not in metadata:
            return {}
        last = metadata["codecs"][-1]["name"] if "codecs" in metadata else (metadata["compressor"] or {}).get("id")
    except (ValueError, KeyError, TypeError, IndexError):  # zarr will say what is wrong with it
        return {}
    return {folder: last == "blosc"}


def _above(name: str) -> Iterator[str]:
    """The folders that a file is in, innermost first."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name
