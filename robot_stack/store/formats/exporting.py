"""The one exporter: writes episodes in another format at a temporary place, reads them back, then renames."""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from robot_stack.store import disk
from robot_stack.store.episode import Episode
from robot_stack.store.formats.construct import construct
from robot_stack.store.formats.protocol import Export, Exported, Source
from robot_stack.store.store import Store
from robot_stack.types import ConfigError, StoreError

EXPORTS = {
    "lerobot": "robot_stack.store.formats.lerobot.export:LeRobotExport",
    "lerobot2.1": "robot_stack.store.formats.lerobot.export:LeRobot21Export",
    "diffusion_policy": "robot_stack.store.formats.diffusion_policy_export:ReplayBufferExport",
    "robomimic": "robot_stack.store.formats.robomimic_export:RobomimicExport",
    "csv": "robot_stack.store.formats.tables:CsvExport",
    "parquet": "robot_stack.store.formats.tables:ParquetExport",
}
"""Format -> module:class of the protocol `Export`. The module is imported when it is needed."""

_PLAN = "plan.json"  # in the temporary folder: what is being exported, so that only the same export goes on there


def export(
    store: Store,
    destination: str | Path,
    format: str,
    progress: Callable[[float, str], None] = lambda done, note: None,
    episodes: Iterable[str] | None = None,
    **options: Any,
) -> Exported:
    """Write all episodes of a store (or view), or those named, to `destination`; each is read back and compared.

    progress: called with episodes done (a half each for written and for read back) and a word. options: of the format.
    Nothing is under the final name before it is whole; an interrupted export continues at `<destination>.partial`.
    """
    destination = Path(destination)
    if format not in EXPORTS:
        raise ConfigError(f"no format {format!r} to export; there are: {', '.join(EXPORTS)}")
    if destination.exists():
        raise StoreError(f"{destination} is there already: choose another name, or remove it first")
    chosen = store.episodes if episodes is None else [store[name] for name in episodes]
    if not chosen:
        raise StoreError(f"there is no episode in {store.name} to export")
    with _partial(destination, _plan(chosen, format, options)) as place:
        exporter: Export = construct(EXPORTS[format], (place, store), options, f"format {format}")
        skipped = _write(exporter, chosen, progress)
        disk.sync_tree(place.parent)
        disk.rename(place, destination)
    return Exported(len(chosen) - skipped, skipped, sum(map(len, chosen)), exporter.warnings)


def compare(where: str, name: str, wanted: NDArray[Any], got: NDArray[Any]) -> None:
    """Raise StoreError unless two blocks of a field are the same bit for bit."""
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        found, expected = f"{got.dtype}{list(got.shape)}", f"{wanted.dtype}{list(wanted.shape)}"
        raise StoreError(f"{where} does not read back as it was written: {name} is {found}, expected {expected}")
    if wanted.tobytes() != got.tobytes():
        raise StoreError(f"{where} does not read back as it was written: {name} differs; check the disk, export again")


def compare_with(source: Source, number: int, episode: Episode) -> None:
    """Raise StoreError unless an importer reads an episode as it is in the store: rows, streams and attributes."""
    start = 0
    for block in source.rows(number):
        wanted = episode.rows(start, start + len(block))
        for name in wanted.dtype.names or ():
            compare(episode.id, name, wanted[name], block[name])
        start += len(block)
    if start != len(episode):
        raise StoreError(f"{episode.id} does not read back as it was written: {start} rows, expected {len(episode)}")
    for name, stream in source.streams(number).items():
        compare(episode.id, name, episode.stream(name), stream.values)
    if json.dumps(source.attrs(number), sort_keys=True) != json.dumps(episode.attrs, sort_keys=True):
        raise StoreError(f"{episode.id} does not read back as it was written: its attributes differ; export again")


def _write(exporter: Export, episodes: list[Episode], progress: Callable[[float, str], None]) -> int:
    """Write what is missing, then read all back; return how many were there."""
    skipped = exporter.done()
    for number, episode in enumerate(episodes[skipped:], skipped):
        exporter.write(number, episode)
        progress((number + 1) / 2, "written")
    exporter.close()
    for number, episode in enumerate(episodes):
        exporter.check(number, episode)
        progress((len(episodes) + number + 1) / 2, "read back")
    return skipped


def _plan(episodes: list[Episode], format: str, options: dict[str, Any]) -> dict[str, Any]:
    """Tells one export from another, also when an attribute was edited in between."""
    seen = hashlib.sha256()
    for episode in episodes:
        seen.update(f"{episode.id} {json.dumps(episode.attrs, sort_keys=True)}\n".encode())
    given = {key: str(value) for key, value in sorted(options.items()) if value is not None}
    return {"format": format, "options": given, "episodes": seen.hexdigest()}


@contextmanager
def _partial(destination: Path, plan: dict[str, Any]) -> Iterator[Path]:
    """The temporary place of an export, held against other processes; removed when all went well."""
    partial = destination.with_name(f"{destination.name}.partial")
    try:
        _prepare(partial, plan)
        descriptor = _hold(partial)
        try:
            yield partial / destination.name
            _clear(partial)
        finally:
            if partial.exists() and os.listdir(partial) == [_PLAN]:  # nothing was begun: a wrong option, for one
                _clear(partial)
            os.close(descriptor)
    except OSError as error:
        raise StoreError(
            f"cannot write {destination}: {error}. Make room or mend the disk; the same export continues in {partial}"
        ) from error


def _prepare(partial: Path, plan: dict[str, Any]) -> None:
    """Make the temporary folder; clear it when it is of another export, refuse it when it is of none."""
    note = partial / _PLAN
    written = partial / f"{_PLAN}.partial"
    if partial.exists() and set(os.listdir(partial)) - {written.name}:
        if not note.exists():
            raise StoreError(f"{partial} is in the way and is no interrupted export: move it away")
        if json.loads(note.read_text()) == plan:
            return
        os.close(_hold(partial))
        _clear(partial)
    partial.mkdir(parents=True, exist_ok=True)
    written.write_text(json.dumps(plan))
    os.rename(written, note)


def _clear(partial: Path) -> None:
    """Remove the temporary folder, its plan last: half removed, it is still known as ours."""
    for path in sorted(partial.iterdir(), key=lambda path: path.name == _PLAN):
        disk.remove(path)
    partial.rmdir()


def _hold(partial: Path) -> int:
    descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreError(f"{partial} is being written by another export: wait for it or end it") from error
    return descriptor
