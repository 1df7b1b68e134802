"""Reads the rows of a LeRobotDataset from its parquet files, an episode at a time and in blocks of bounded size."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot_stack.store.formats.lerobot import salvage as lerobot_salvage
from robot_stack.types import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 64
_CUT_OFF = "has no footer, because its recording was killed before `finalize()` or it was not copied whole"


class Span(NamedTuple):
    """Rows start..stop of a parquet file."""

    path: Path
    start: int
    stop: int


def find_episodes(files: list[Path]) -> tuple[dict[int, list[Span]], list[str]]:
    """Where each episode's rows are, by the rows themselves; and sentences about files that are damaged.

    `meta` is not asked: merged and edited data sets are known to have wrong ranges there.
    """
    found: dict[int, list[Span]] = {}
    damaged: list[str] = []
    for path in files:
        try:
            numbers = read_column(path, "episode_index")
        except StoreError as error:
            damaged.append(str(error))
            continue
        if not _is_whole(path):
            damaged.append(f"{path} {_CUT_OFF}: {len(numbers)} rows were found in it page by page")
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
        for start, stop in zip(starts, np.append(starts[1:], len(numbers)), strict=True):
            found.setdefault(int(numbers[start]), []).append(Span(path, int(start), int(stop)))
    return found, damaged


def schema(path: Path) -> "pa.Schema":
    """Names and types of the columns of a file."""
    return _open(path).schema_arrow


def read_column(path: Path, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Rows start..stop of a column of single numbers (n,)."""
    file = _open(path)
    if name not in file.schema_arrow.names:
        raise StoreError(f"{path} has no column {name!r}; there are: {', '.join(file.schema_arrow.names)}")
    stop = file.metadata.num_rows if stop is None else stop
    parts = [numbers(batch.column(0), ()) for batch in _batches(file, path, [name], start, stop)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def read_blocks(span: Span, columns: list[str]) -> Iterator["pa.RecordBatch"]:
    """Rows of a span, at most BLOCK_ROWS at a time."""
    for batch in _batches(_open(span.path), span.path, columns, span.start, span.stop):
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            yield batch.slice(start, BLOCK_ROWS)


def numbers(column: "pa.Array", shape: tuple[int, ...]) -> NDArray[Any]:
    """Values of a column (n, *shape); lists of any depth are flattened. StoreError when there are more or fewer."""
    import pyarrow as pa

    rows, values = len(column), column
    while isinstance(values, pa.ExtensionArray) or pa.types.is_nested(values.type):
        values = values.storage if isinstance(values, pa.ExtensionArray) else values.flatten()
    if values.null_count and not pa.types.is_floating(values.type):
        raise StoreError(f"{values.null_count} values of {values.type} are missing, and only a float can be NaN")
    flat: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    if flat.size != rows * int(np.prod(shape, dtype=int)):
        raise StoreError(f"{rows} rows hold {flat.size} values, expected {list(shape)} each")
    return flat.reshape(rows, *shape)


def number_type(kind: "pa.DataType") -> str | None:
    """The numpy dtype of the numbers in a column, also of lists of them; None for text and other things."""
    import pyarrow as pa

    while isinstance(kind, pa.ExtensionType) or pa.types.is_nested(kind):
        if pa.types.is_struct(kind):
            return None
        kind = kind.storage_type if isinstance(kind, pa.ExtensionType) else kind.value_type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return np.dtype(kind.to_pandas_dtype()).str if is_number else None


def _batches(file: Any, path: Path, columns: list[str], start: int, stop: int) -> Iterator["pa.RecordBatch"]:
    """Rows start..stop; only the row groups that hold some of them are read."""
    from pyarrow import ArrowException

    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    ends = np.cumsum(sizes)
    groups = [g for g, (end, size) in enumerate(zip(ends, sizes, strict=True)) if end > start and end - size < stop]
    if not groups:
        return
    at = int(ends[groups[0]] - sizes[groups[0]])
    try:
        for batch in file.iter_batches(batch_size=16 * BLOCK_ROWS, row_groups=groups, columns=columns):
            first, last = max(start - at, 0), min(stop - at, batch.num_rows)
            at += batch.num_rows
            if first < last:
                yield batch.slice(first, last - first)
    except (ArrowException, OSError) as error:
        raise StoreError(f"rows from {at} on of {path} cannot be read ({error}); copy or download it again") from error


def _open(path: Path) -> Any:
    status = path.stat()
    return _opened(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)  # a footer of many episodes takes longer to read than one of them
def _opened(path: Path, size: int, changed: int) -> Any:
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        return pq.ParquetFile(path) if _is_whole(path) else lerobot_salvage.read(path)
    except StoreError as error:
        raise StoreError(f"{path} {_CUT_OFF}, and {error}") from error
    except (ArrowException, OSError) as error:
        raise StoreError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _is_whole(path: Path) -> bool:
    """Whether a file begins and ends as Parquet does."""
    with path.open("rb") as file:
        begin, size = file.read(4), file.seek(0, 2)
        file.seek(max(0, size - 4))
        return begin != b"PAR1" or file.read() == b"PAR1"
