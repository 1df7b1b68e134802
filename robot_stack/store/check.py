"""Whether a store is what was recorded: structure, lengths and hashes; then what its data says (quality/checks.py)."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from robot_stack.quality.checks import inspect
from robot_stack.quality.finding import Finding, Severity
from robot_stack.spec import Field
from robot_stack.store import disk
from robot_stack.store.arrays import Array, CodecError
from robot_stack.store.catalog import LocalShelf
from robot_stack.store.episode import Episode
from robot_stack.store.journal import scan
from robot_stack.store.lock import is_locked
from robot_stack.store.recording import STREAMS, Recording, content_hash
from robot_stack.store.store import Store
from robot_stack.store.writer import JOURNAL
from robot_stack.types import StoreError

RESTORE = "restore this episode from a copy; `data check --fix` hides it until then"
FIX = "`data check --fix` does it, as does the next collect, deploy or import"


def check_store(store: Store) -> Iterator[Finding]:
    """What is wrong beside the episodes that are seen; nothing that a recording in progress explains."""
    catalog = store.catalog
    for folder, why in catalog.broken.items():
        what = f"cannot be read: {why}"
        yield Finding(folder, -1, Severity.ERROR, what, "restore it from a copy; `data check --fix` puts it aside")
    if not isinstance(store.folder, Path) or is_locked(store.path / "writing"):  # elsewhere, who writes is not known
        return
    for entry in sorted((store.path / "writing").glob("ep-*")):
        if entry.is_dir():
            yield _left(entry)
        else:
            advice = "rows after the damage may be in it: see FORMAT.md, Journal; remove it when you have looked"
            yield Finding(entry.name, -1, Severity.WARNING, "a journal with damage in it was kept", advice)
    for folder in catalog.superseded:
        yield Finding(folder, -1, Severity.ADVICE, "was replaced by its compacted copy, and not removed yet", FIX)
    names = {path.name for path in (store.path / "episodes").iterdir() if path.is_dir()}
    if LocalShelf(store.path).index.is_stale(names - catalog.broken.keys()):
        yield Finding("", -1, Severity.ADVICE, "the index is missing or behind: opening takes longer", FIX)


def _left(folder: Path) -> Finding:
    """What a writer that was killed left in `writing`."""
    journal = folder / JOURNAL
    contents = scan(journal) if journal.exists() else None
    if contents is None or contents.head is None or (contents.commit is None and not contents.head.salvage):
        what = "left of an import or a compaction that was cut off: nothing is lost, run it again"
        return Finding(folder.name, -1, Severity.ADVICE, what, f"remove it: {FIX}")
    return Finding(folder.name, -1, Severity.WARNING, "recording was cut off before its commit", f"salvage: {FIX}")


def check_episode(episode: Episode) -> list[Finding]:
    """All findings in one episode; what its data says only when it is whole on disk."""
    try:
        broken = [_error(episode, what) for recording in episode.recordings for what in damages(recording)]
    except CodecError as error:
        return [Finding(episode.id, -1, Severity.ERROR, str(error), "nothing says that it is damaged: it stays")]
    if broken:
        return broken
    return [*_provenance(episode), *inspect(episode)]


def is_damaged(episode: Episode) -> bool:
    """Whether it is known not to be what was recorded; where a codec is not installed, nothing is known."""
    with suppress(CodecError):
        return any(any(damages(recording)) for recording in episode.recordings)
    return False


def fix_store(store: Store, damaged: list[str]) -> list[str]:
    """Mend what can be mended without touching what was recorded; what was done, in sentences.

    damaged: ids of episodes that are not what was recorded; they are hidden, and `undo` shows them again.
    """
    broken = store.catalog.broken
    store.claim()
    done = [f"salvaged {episode}" for episode in store.salvage()]
    for folder in broken:
        put_aside(store.path / "episodes" / folder, store.path / "damaged" / folder)
        done.append(f"put {folder} aside, into {store.path / 'damaged'}")
    if damaged:
        edit = store.delete(damaged)
        them = "it" if len(damaged) == 1 else "them"
        done.append(
            f"hid {', '.join(damaged)}; `robot-stack data undo store={store.name} edit={edit.number}` shows {them} "
            f"again; `data compact` puts {them} aside, into {store.path / 'damaged'}"
        )
    return done


def put_aside(folder: Path, place: Path) -> None:
    """Move an episode to where it is kept, and not read."""
    try:
        if not place.parent.exists():
            disk.make(place.parent)
        disk.rename(folder, place)
    except OSError as error:
        raise StoreError(
            f"cannot put {folder} aside: {error.strerror}; make room or mend the disk, then check again"
        ) from error


def damages(recording: Recording) -> Iterator[str]:
    """What about an episode on disk is not as it was committed. Raises CodecError where nobody here can tell."""
    names = [*recording.spec.fields, *(STREAMS + name for name in recording.streams)]
    digests: dict[str, str] = {}
    changed = False
    try:
        for name in names:
            array = recording.array(name)
            if name in recording.spec.fields:
                yield from _misfits(recording, recording.spec[name])
            digests[name] = array.digest()
            if digests[name] != array.attributes.get("sha256"):
                changed = True
                yield f"{name} is not what was recorded: {_where(array)}"
    except CodecError:
        raise
    except (StoreError, OSError, KeyError) as error:
        yield f"cannot be read: {error}"
        return
    if not changed and content_hash(recording.spec, digests) != recording.attrs.get("content"):
        yield "the hash of its content differs from the one it was committed with"


def _where(array: Array) -> str:
    """The first row that cannot be read, of an array whose hash differs."""
    try:
        for _ in array.blocks():
            pass
    except StoreError as error:
        return str(error)
    return "its hash differs"


def _misfits(recording: Recording, field: Field) -> Iterator[str]:
    array = recording.array(field.name)
    if array.dtype != np.dtype(field.dtype) or array.shape[1:] != field.shape:
        yield f"{field.name} is {array.dtype.name}{list(array.shape[1:])}, the store's spec says otherwise"
    if len(array) != len(recording):
        yield f"{field.name} has {len(array)} rows, the episode {len(recording)}"


def _provenance(episode: Episode) -> Iterator[Finding]:
    if episode.attrs.get("salvaged"):
        damage = (
            " up to a damaged record, after which more may be in its journal" if episode.attrs.get("damaged") else ""
        )
        what = f"salvaged after its recorder died: {len(episode)} rows were whole{damage}"
        yield Finding(episode.id, -1, Severity.ADVICE, what, "its end is missing: look at it and give it a verdict")


def _error(episode: Episode, what: str) -> Finding:
    return Finding(episode.id, -1, Severity.ERROR, what, RESTORE)
