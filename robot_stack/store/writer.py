"""Writing one episode: rows go to a journal as they happen; a commit turns it into a zarr group by one rename."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.spec import Record, Spec
from robot_stack.store import arrays
from robot_stack.store.blosc import Codec, decode_into
from robot_stack.store.episode import content_hash
from robot_stack.store.journal import Contents, JournalWriter, Kind, RowCodec, read_rows, scan
from robot_stack.store.timing import missing
from robot_stack.types import ConfigError, SpecError, StoreError

VERDICTS = ("success", "failure", "unknown")
JOURNAL = "journal"


class EpisodeWriter:
    """An open episode. Killed at any instant, it loses at most the row being appended: see `Store.salvage`."""

    def __init__(self, folder: Path, destination: Path, spec: Spec, codec: Codec, attrs: Mapping[str, Any]) -> None:
        self.id = folder.name
        self.rows = 0
        self._folder, self._destination, self._spec, self._codec = folder, destination, spec, codec
        self._rows = RowCodec(spec, codec)
        folder.mkdir()
        self._journal = JournalWriter(folder / JOURNAL, dict(attrs))
        arrays.sync_folder(folder)
        arrays.sync_folder(folder.parent)

    def append(self, row: Record) -> None:
        """Add one row; when this returns, a killed process does not lose it."""
        if row.dtype != self._spec.dtype:
            raise SpecError(f"row has fields {row.dtype.names}, the store has {self._spec.dtype.names}")
        self._journal.append(Kind.ROW, self._rows.encode(row))
        self.rows += 1

    def commit(self, verdict: str = "unknown", **attrs: Any) -> Path:
        """Make the episode part of the store, with further attributes; return its folder."""
        if verdict not in VERDICTS:
            raise ConfigError(f"no verdict {verdict!r}; there are: {', '.join(VERDICTS)}")
        if not self.rows:
            raise StoreError(f"{self.id} has no rows: discard it")
        self._journal.append(Kind.COMMIT, json.dumps({"verdict": verdict, **attrs}).encode())
        self._journal.close()
        finish(self._folder, self._destination, self._spec, self._codec)
        return self._destination

    @property
    def is_open(self) -> bool:
        """Whether rows can still be appended."""
        return self._journal.is_open

    def close(self) -> None:
        """Stop here, neither committed nor discarded: the rows are there for `Store.salvage`."""
        self._journal.close()

    def discard(self) -> None:
        """Forget the episode."""
        self._journal.close()
        remove(self._folder)


def finish(folder: Path, destination: Path, spec: Spec, codec: Codec) -> bool:
    """Turn the journal in `folder` into the episode `destination`; False when there is nothing to save.

    May be called again after it was killed anywhere: the journal goes last, after the rename is durable.
    """
    journal = folder / JOURNAL
    if journal.exists() and not destination.exists():
        contents = scan(journal)
        if contents.head is not None and contents.rows:
            try:
                _build(journal, contents, folder / "episode", spec, codec)
                os.rename(folder / "episode", destination)
            except OSError as error:
                raise StoreError(
                    f"cannot commit {folder.name}: {error}. Its {contents.rows} rows are safe in {journal}; "
                    "make room or mend the disk, then open the store for writing again"
                ) from error
            arrays.sync_folder(destination.parent)
    remove(folder)
    return destination.exists()


def remove(folder: Path) -> None:
    """Delete the working folder of an episode, its journal first: half deleted it is empty, never half an episode."""
    (folder / JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _build(journal: Path, contents: Contents, folder: Path, spec: Spec, codec: Codec) -> None:
    """Write the zarr group of the rows in a journal, durably."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tables, digests = _build_frames(journal, contents.rows, folder, spec, codec)
    for name in tables.dtype.names or ():
        column = np.ascontiguousarray(tables[name])
        digests[name] = hashlib.sha256(column).hexdigest()
        arrays.write_table(folder / name, spec[name], column, {"sha256": digests[name]})
    attrs = {"verdict": "unknown", **(contents.head or {}), **(contents.commit or {}), "rows": contents.rows}
    if contents.commit is None:
        attrs |= {"salvaged": True, "torn_bytes": contents.torn}
    attrs["drops"] = int(missing(tables["time"], attrs["rate"]).sum())
    attrs["content"] = content_hash(spec, digests)
    arrays.write_group(folder, attrs)
    arrays.sync_tree(folder)


def _build_frames(
    journal: Path, rows: int, folder: Path, spec: Spec, codec: Codec
) -> tuple[np.ndarray[Any, np.dtype[np.void]], dict[str, str]]:
    """Write the frame fields in one pass; return the packed table fields (T,) and the frame fields' digests."""
    layout = RowCodec(spec, codec)
    files = [arrays.FrameFile(folder / name, spec[name], rows, codec) for name in layout.frames]
    decoded = [np.empty(spec[name].shape, spec[name].dtype) for name in layout.frames]
    hashes = [hashlib.sha256() for _ in files]
    tables = bytearray()
    for payload in read_rows(journal):
        table, frames = layout.decode(payload)
        tables += table
        for file, frame, encoded, sha in zip(files, decoded, frames, hashes, strict=True):
            file.append(encoded)
            decode_into(encoded, frame)
            sha.update(frame)
    digests = {name: sha.hexdigest() for name, sha in zip(layout.frames, hashes, strict=True)}
    for name, file in zip(layout.frames, files, strict=True):
        file.close({"sha256": digests[name]})
    return np.frombuffer(tables, layout.packed), digests
