"""Writing one episode: rows go to a journal as they happen; a commit turns it into a zarr group by one rename."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Record, Spec
from robot_stack.store import arrays, disk
from robot_stack.store.codecs import FrameCodec, codec, for_field
from robot_stack.store.journal import (
    Contents,
    Head,
    JournalWriter,
    Kind,
    RowCodec,
    records,
    scan,
    stream_payload,
    stream_values,
)
from robot_stack.store.recording import STREAMS, content_hash, split_name
from robot_stack.store.timing import missing, stream_figures
from robot_stack.types import ConfigError, SpecError, StoreError

VERDICTS = ("success", "failure", "unknown")
JOURNAL = "journal"
Destination = tuple[Path, Path]
"""The folder in which an episode grows, and the one that it becomes by a rename."""


class EpisodeWriter:
    """An open episode. Killed at any instant, it loses at most the row being appended: see `Store.salvage`.

    committed: called with the name of the episode's folder once it is there.
    """

    def __init__(
        self,
        place: Destination,
        spec: Spec,
        pictures: FrameCodec,
        head: Head,
        committed: Callable[[str], None] = lambda folder: None,
    ) -> None:
        self.folder = place[1].name
        self.id = split_name(self.folder)[0]
        self.rows = 0
        self._committed = committed
        self._place, self._spec, self._pictures, self._head = place, spec, pictures, head
        self._rows = RowCodec(spec, frame_codecs(spec, pictures, head.codecs))
        disk.make(place[0])
        try:
            self._journal = JournalWriter(place[0] / JOURNAL, head)
        except StoreError:
            with suppress(OSError):
                disk.remove(place[0])
            raise
        disk.sync_folder(place[0])
        disk.sync_folder(place[0].parent)

    def append(self, row: Record, chunks: Mapping[str, bytes] | None = None) -> None:
        """Add one row; when this returns, a killed process does not lose it.

        chunks: field -> its frames as they are to be stored, where they come compressed; see `Store.writer`.
        """
        if row.dtype != self._spec.dtype:
            raise SpecError(f"row has fields {row.dtype.names}, the store has {self._spec.dtype.names}")
        self._journal.append(Kind.ROW, self._rows.encode(row, self.rows, chunks or {}))
        self.rows += 1

    def log(self, stream: str, values: NDArray[Any]) -> None:
        """Add rows (n, columns) to a raw stream, oldest first; as safe as `append`."""
        if stream not in self._head.streams:
            raise ConfigError(f"no stream {stream!r} in this episode; there are: {', '.join(self._head.streams)}")
        number, columns = list(self._head.streams).index(stream), self._head.streams[stream]
        if values.ndim != 2 or values.shape[1] != len(columns):
            raise SpecError(f"stream {stream} has {len(columns)} columns ({', '.join(columns)}), not {values.shape}")
        if len(values):
            self._journal.append(Kind.STREAM, stream_payload(number, values))

    def commit(self, verdict: str = "unknown", **attrs: Any) -> Path:
        """Make the episode part of the store, with further attributes; return its folder."""
        if verdict not in VERDICTS:
            raise ConfigError(f"no verdict {verdict!r}; there are: {', '.join(VERDICTS)}")
        if not self.rows:
            raise StoreError(f"{self.id} has no rows: discard it")
        self._journal.append(Kind.COMMIT, json.dumps({"verdict": verdict, **attrs}).encode())
        self._journal.close()
        finish(self._place, self._spec, self._pictures, rows=self.rows)
        self._committed(self.folder)
        return self._place[1]

    @property
    def is_open(self) -> bool:
        """Whether rows can still be appended."""
        return self._journal.is_open

    def close(self) -> None:
        """Stop here, neither committed nor discarded: the rows are there for `Store.salvage`."""
        self._journal.close()

    def discard(self) -> None:
        """Forget the episode."""
        with suppress(StoreError, OSError):  # a disk that fails now loses what is thrown away
            self._journal.close()
        try:
            remove(self._place[0])
        except OSError as error:
            raise StoreError(
                f"cannot discard {self.id}: {error.strerror}; remove {self._place[0]} once the disk can be written"
            ) from error


def frame_codecs(spec: Spec, pictures: FrameCodec, chosen: Mapping[str, str]) -> dict[str, FrameCodec]:
    """What each frame field is stored in: as `chosen` by name, else what suits it when pictures are in `pictures`."""
    frames = [field for field in spec if arrays.is_frame(field)]
    codecs = {f.name: codec(chosen[f.name]) if f.name in chosen else for_field(f, pictures) for f in frames}
    for field in frames:
        codecs[field.name].check(field)
    return codecs


def finish(place: Destination, spec: Spec, pictures: FrameCodec, rows: int | None = None) -> bool:
    """Turn the journal of an episode into the episode; False when there is nothing to save.

    May be called again after it was killed anywhere: the journal goes last, after the rename is durable.
    rows: how many there must be, if it is known. Raises StoreError, and keeps the journal, when there are not.
    """
    folder, destination = place
    journal = folder / JOURNAL
    damaged = False
    if journal.exists():
        contents = scan(journal)
        damaged = contents.damaged
        _commit(place, contents, spec, pictures, rows)
    try:
        if damaged:  # somebody may get more out of it than we do
            disk.rename(journal, folder.with_name(f"{folder.name}.damaged-journal"))
        remove(folder)
    except OSError as error:
        if not destination.exists():
            raise StoreError(
                f"cannot remove {folder}: {error.strerror}; once the disk can be written, the next writer does it"
            ) from error
    return destination.exists()


def _commit(place: Destination, contents: Contents, spec: Spec, pictures: FrameCodec, rows: int | None) -> None:
    """Make the episode of what a journal holds, if there is something to save and it is not there yet."""
    folder, destination = place
    journal = folder / JOURNAL
    if rows is not None and contents.rows != rows:
        raise StoreError(
            f"{journal} holds {contents.rows} of the {rows} rows that were written to it: the disk is failing. "
            "Copy that file to another disk; the next writer brings in what can be read"
        )
    if contents.head is None or not contents.rows or not (contents.commit or contents.head.salvage):
        return
    try:
        if destination.exists():
            disk.sync_folder(destination.parent)  # whoever renamed it may have been killed before this
            return
        _build(journal, contents, folder / "episode", spec, pictures)
        disk.rename(folder / "episode", destination)
    except OSError as error:
        raise StoreError(
            f"cannot commit {folder.name}: {error.strerror}. Its {contents.rows} rows are safe in {journal}; "
            "make room or mend the disk, then open the store for writing again"
        ) from error


def remove(folder: Path) -> None:
    """Delete the working folder of an episode, its journal first: half deleted it is empty, never half an episode."""
    disk.remove(folder / JOURNAL)
    disk.remove(folder)


def _build(journal: Path, contents: Contents, folder: Path, spec: Spec, pictures: FrameCodec) -> None:
    """Write the zarr group of what is in a journal, durably."""
    if folder.exists():  # half built, by somebody who was killed
        disk.remove(folder)
    head = contents.head
    assert head is not None
    attrs = {"verdict": "unknown", **head.attributes, **(contents.commit or {}), "rows": contents.rows}
    if contents.commit is None:
        attrs |= {"salvaged": True, "torn_bytes": contents.torn, "damaged": contents.damaged}
    disk.make(folder)
    group = _Group(folder, contents, spec, frame_codecs(spec, pictures, head.codecs))
    for kind, payload in records(journal):
        if kind is Kind.ROW:
            group.add_row(payload)
        elif kind is Kind.STREAM:
            group.add_stream(payload)
    digests, times = group.close()
    attrs["drops"] = int(missing(times["time"], attrs["rate"]).sum())
    if head.streams:
        attrs["streams"] = {
            name: stream_figures(columns, times[STREAMS + name]) for name, columns in head.streams.items()
        }
    attrs["content"] = content_hash(spec, digests)
    arrays.finish_group(folder, attrs)
    disk.sync_tree(folder)


class _Group:
    """The arrays of an episode while its journal is gone through, once."""

    def __init__(self, folder: Path, contents: Contents, spec: Spec, codecs: Mapping[str, FrameCodec]) -> None:
        assert contents.head is not None
        self._folder, self._spec, self._rows = folder, spec, contents.rows
        self._layout = RowCodec(spec, codecs)
        self._codecs = [codecs[name] for name in self._layout.frames]
        self._frames = [
            arrays.FrameFile(folder / name, spec[name], contents.rows, codecs[name]) for name in self._layout.frames
        ]
        self._decoded = [np.empty((1, *spec[name].shape), spec[name].dtype) for name in self._layout.frames]
        self._tables = bytearray()
        self._streams = _Streams(folder, contents.head.streams, contents.streams)

    def add_row(self, payload: bytes) -> None:
        table, chunks = self._layout.decode(payload)
        self._tables += table
        for file, used, frame, chunk in zip(self._frames, self._codecs, self._decoded, chunks, strict=True):
            if not chunk:
                continue
            file.append(chunk)
            if used.lossless:
                used.decode_into(chunk, frame)
                file.sha256.update(frame)

    def add_stream(self, payload: bytes) -> None:
        self._streams.add(payload)

    def close(self) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
        """Finish all arrays; return their digests, and the times of the rows ('time') and of each stream's (N, 2)."""
        rows = np.frombuffer(self._tables, self._layout.packed)
        digests = {}
        for name in self._layout.tables:
            table = arrays.TableFile(self._folder / name, self._spec[name], self._rows)
            table.append(np.ascontiguousarray(rows[name]))
            digests[name] = table.close({})
        for name, file in zip(self._layout.frames, self._frames, strict=True):
            digests[name] = file.close({})
        stream_digests, times = self._streams.close()
        return digests | stream_digests, {"time": rows["time"], **times}


class _Streams:
    """The raw streams of an episode, under `streams/`, while its journal is gone through."""

    def __init__(self, folder: Path, columns: Mapping[str, Sequence[str]], rows: Mapping[str, int]) -> None:
        self._columns = {name: list(names) for name, names in columns.items()}
        self._files: dict[str, arrays.TableFile] = {}
        self._heads: dict[str, list[NDArray[np.float64]]] = {name: [] for name in columns}
        if columns:
            arrays.write_group(folder / "streams", {})
        for name, names in self._columns.items():
            field = Field(name, (len(names),))
            self._files[name] = arrays.TableFile(folder / "streams" / name, field, rows[name])

    def add(self, payload: bytes) -> None:
        name = list(self._columns)[payload[0]]
        values = stream_values(payload, len(self._columns[name]))
        self._files[name].append(values)
        self._heads[name].append(values[:, :2])

    def close(self) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
        """Digests, and the first two columns of each, by 'streams/<name>'."""
        digests = {STREAMS + n: file.close({"columns": self._columns[n]}) for n, file in self._files.items()}
        heads = {STREAMS + n: np.concatenate(parts) if parts else np.empty((0, 2)) for n, parts in self._heads.items()}
        return digests, heads
