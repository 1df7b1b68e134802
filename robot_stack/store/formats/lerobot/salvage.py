"""Reads a parquet file of LeRobot's whose recording was killed: its rows are there, the footer that finds them is not.

LeRobot's writer puts each episode into the file as one row group, and writes the footer at `finalize()`. The pages
describe themselves, and info.json tells the columns; so the footer is made again from both, up to the last whole
episode. The file is not touched. Format: apache/parquet-format, src/main/thrift/parquet.thrift.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.store.formats.lerobot import table as lerobot_table
from robot_stack.store.formats.lerobot.layout import INFO
from robot_stack.store.formats.lerobot.thrift import I64, LIST, STRUCT, Reader, Struct, write
from robot_stack.types import StoreError

_MAGIC = b"PAR1"
_DICTIONARY = 2  # PageType
_TYPE, _RAW, _PACKED, _DATA, _DATA_V2 = 1, 2, 3, 5, 8  # fields of PageHeader
_MOST_HEADER = 1 << 16


@dataclass(frozen=True)
class _Page:
    """start: of its header in the file; size: of header and content; raw: size when not compressed; values: in it."""

    start: int
    size: int
    raw: int
    values: int
    is_dictionary: bool


@lru_cache(maxsize=4)
def mend(path: Path, size: int) -> bytes | None:
    """A footer for the whole episodes in a file of so many bytes that has none; None when there are none."""
    content = np.memmap(path, np.uint8, "r", shape=(size,))
    template = _template(path)
    widths = _widths(path)
    pages = list(_pages(memoryview(content)))
    groups, at = [], 0
    while (found := _group(pages, at, widths)) is not None:
        rows, counts = found
        chunks = []
        for count in counts:
            chunks.append(pages[at : at + count])
            at += count
        groups.append(_row_group(template, chunks, rows))
    if not groups:
        return None
    total = sum(group[3][1] for group in groups)
    return write({**template, 3: (I64, total), 4: (LIST, (STRUCT, groups))})


class Mended(io.RawIOBase):
    """A file followed by a footer."""

    def __init__(self, path: Path, footer: bytes) -> None:
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._tail = footer + len(footer).to_bytes(4, "little") + _MAGIC
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size + len(self._tail))[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._size + len(self._tail) if size < 0 else self._at + size
        self._file.seek(min(self._at, self._size))
        found = self._file.read(max(0, min(stop, self._size) - self._at))
        found += self._tail[max(0, self._at - self._size) : max(0, stop - self._size)]
        self._at += len(found)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


def _template(path: Path) -> Struct:
    """The footer of a file of one row with these columns, as the recorder's library writes it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = lerobot_table.schema(_features(path))
    sink = io.BytesIO()
    rows = pa.Table.from_pylist([dict.fromkeys(schema.names)], schema)
    pq.write_table(rows, sink, compression="snappy")
    content = sink.getvalue()
    return Reader(content, len(content) - 8 - int.from_bytes(content[-8:-4], "little")).struct()


def _widths(path: Path) -> list[int]:
    """Values a row of each stored column."""
    widths = []
    for feature in _features(path).values():
        if feature["dtype"] == "image":
            widths += [1, 1]  # its bytes, and its path
        elif feature["dtype"] != "video":
            widths.append(int(np.prod(feature["shape"], dtype=int)) if feature["dtype"] != "string" else 1)
    return widths


def _features(path: Path) -> dict[str, dict[str, Any]]:
    info = path.parents[2] / INFO
    features: dict[str, dict[str, Any]] = json.loads(info.read_text())["features"]
    return features


def _pages(content: memoryview) -> Iterator[_Page]:
    """All whole pages of a file, in order."""
    at = len(_MAGIC)
    while at < len(content):
        reader = Reader(content[at : at + _MOST_HEADER])
        try:
            header = reader.struct()
            (_, kind), (_, raw), (_, packed) = header[_TYPE], header[_RAW], header[_PACKED]
            counted = header.get(_DATA) or header.get(_DATA_V2)
            values = counted[1][1][1] if counted else 0
        except (ValueError, KeyError, TypeError):
            return
        size = reader.at + packed
        if packed < 0 or at + size > len(content):
            return
        yield _Page(at, size, reader.at + raw, values, kind == _DICTIONARY)
        at += size


def _group(pages: list[_Page], start: int, widths: list[int]) -> tuple[int, list[int]] | None:
    """The row group that begins at page `start`: its rows, and how many pages each column has."""
    values, first = 0, start + (start < len(pages) and pages[start].is_dictionary)
    for page in pages[first:]:
        if page.is_dictionary:
            return None
        values += page.values
        if values % widths[0] == 0 and (counts := _columns(pages, start, widths, values // widths[0])):
            return values // widths[0], counts
    return None


def _columns(pages: list[_Page], at: int, widths: list[int], rows: int) -> list[int] | None:
    """How many pages each column of so many rows has; None when they do not come out even."""
    counts = []
    for width in widths:
        start, values = at, 0
        if at < len(pages) and pages[at].is_dictionary:
            at += 1
        while values < rows * width and at < len(pages) and not pages[at].is_dictionary:
            values += pages[at].values
            at += 1
        if values != rows * width:
            return None
        counts.append(at - start)
    return counts


def _row_group(template: Struct, chunks: list[list[_Page]], rows: int) -> Struct:
    """A RowGroup of the template's columns with these pages."""
    known = template[4][1][1][0][1][1][1]
    columns = [_column(column[3][1], pages) for column, pages in zip(known, chunks, strict=True)]
    raw = sum(page.raw for pages in chunks for page in pages)
    return {1: (LIST, (STRUCT, columns)), 2: (I64, raw), 3: (I64, rows)}


def _column(known: Struct, pages: list[_Page]) -> Struct:
    """A ColumnChunk: type, encodings, path and compression as in the template, sizes and places of these pages."""
    start, packed = pages[0].start, sum(page.size for page in pages)
    meta = {number: known[number] for number in (1, 2, 3, 4)}
    meta |= {5: (I64, sum(page.values for page in pages)), 6: (I64, sum(page.raw for page in pages)), 7: (I64, packed)}
    meta[9] = I64, pages[1 if pages[0].is_dictionary else 0].start
    if pages[0].is_dictionary:
        meta[11] = I64, start
    return {2: (I64, start), 3: (STRUCT, meta)}


def read(path: Path) -> Any:
    """The whole episodes of a file without a footer, as pyarrow's ParquetFile; StoreError when there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = mend(path, path.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"nothing in it can be read ({error})") from error
    if footer is None:
        raise StoreError("no episode in it is whole")
    return pq.ParquetFile(pa.PythonFile(Mended(path, footer), "r"))
