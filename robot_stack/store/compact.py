"""`data compact`: edits are made final and pictures are kept in less room; what was cut away is removed from the disk.

Each episode that changes is written as a new recording, by the same journal and rename as any other, then the log of
edits is replaced, then what nobody shows any more is removed; killed anywhere, the store shows the same as before, and
the next `data compact` goes on. Pictures that stay in their codec are copied as they are, not compressed again.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from robot_stack.store import disk
from robot_stack.store.arrays import CodecError, is_frame
from robot_stack.store.catalog import FOLDER
from robot_stack.store.check import damages, put_aside
from robot_stack.store.codecs import FrameCodec, codec, for_field
from robot_stack.store.codecs.video import Video
from robot_stack.store.edit_log import NAME as EDITS
from robot_stack.store.edit_log import format_edit, sign
from robot_stack.store.edits import compacted
from robot_stack.store.episode import Episode
from robot_stack.store.recording import Recording, folder_name
from robot_stack.store.store import Store
from robot_stack.store.writer import EpisodeWriter
from robot_stack.types import StoreError

Progress = Callable[[int], None]
_BLOCK = 64  # rows in memory at once


@dataclass(frozen=True)
class Compacted:
    """How many episodes were written anew, how many deleted ones were removed, and the size of the store before and
    after [B]."""

    rewritten: int
    removed: int
    before: int
    after: int


def compact(store: Store, name: str | None = None, progress: Progress = lambda done: None) -> Compacted:
    """Make all edits final. name: the codec that pictures are kept in from now on; None: the one they are in.

    progress: called with the number of episodes done, of `len(store)`.
    """
    if store.view:
        raise StoreError(f"{store.name} is a view: compact the whole store, {store.folder}")
    store.claim()
    if broken := store.catalog.broken:
        raise StoreError(
            f"{', '.join(broken)} cannot be read, and edits of it would be lost: restore it, or put it aside with "
            f"`robot-stack data check store={store.name} --fix`; then compact again"
        )
    if left := store.salvage():
        raise StoreError(f"{', '.join(left)} had been left open and came in just now: look at it, then compact again")
    before, rewritten = size(store), 0
    for number, episode in enumerate(store.episodes):
        codecs = _codecs(episode, name)
        if episode.attrs["edited"] or any(_codec_of(episode, field) != one for field, one in codecs.items()):
            _rewrite(store, episode, codecs)
            rewritten += 1
        progress(number + 1)
    gone = _finish(store)
    return Compacted(rewritten, gone, before, size(store))


def size(store: Store) -> int:
    """Bytes of all files of a store."""
    return sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())


def _finish(store: Store) -> int:
    """Replace the log and remove what nobody shows; how many episodes went."""
    catalog = store.catalog
    gone = []
    for recording in (catalog.recordings[name] for name in catalog.state.gone):
        folder = folder_name(recording.id, recording.generation)
        if _may_go(recording):
            gone.append(folder)
        else:
            put_aside(store.path / "episodes" / folder, store.path / "damaged" / folder)
    try:
        if catalog.edits:
            edit = sign(compacted(catalog.state), catalog.edits)
            disk.replace(store.path / FOLDER / EDITS, format_edit(edit))
        for folder in [*gone, *catalog.superseded]:
            store.remove(folder)
        store.reindex()
    except OSError as error:
        raise StoreError(
            f"cannot finish compacting {store.path}: {error.strerror}; it shows the same as before. Make room or mend "
            "the disk, then compact again"
        ) from error
    return len(gone)


def _may_go(recording: Recording) -> bool:
    """Whether it is known to be what was recorded: of what is damaged somebody may get more than we do."""
    try:
        return not any(damages(recording))
    except CodecError:
        return False


def _rewrite(store: Store, episode: Episode, codecs: dict[str, str]) -> None:
    writer = store.copy(episode, codecs)
    try:
        _copy(episode, writer, codecs)
    except BaseException:  # an interrupted copy is of no use to anybody
        with suppress(StoreError):
            writer.discard()
        raise
    writer.commit(episode.attrs["verdict"], was=[*episode.attrs.get("was", []), episode.attrs["content"]])


def _copy(episode: Episode, writer: EpisodeWriter, codecs: dict[str, str]) -> None:
    """Write all rows and streams of an episode, as it is seen."""
    sources = {name: _chunks(episode, name, codec(one)) for name, one in codecs.items()}
    groups = {name: codec(one).group for name, one in codecs.items()}
    tables = [name for name in episode.spec.fields if name not in codecs]
    row = np.zeros((), episode.spec.dtype)
    for start in range(0, len(episode), _BLOCK):
        stop = min(start + _BLOCK, len(episode))
        block = {name: episode.read(name, start, stop) for name in tables}
        for step in range(start, stop):
            for name, values in block.items():
                row[name] = values[step - start]
            writer.append(row, {name: next(source) for name, source in sources.items() if step % groups[name] == 0})
    for stream in episode.streams:
        writer.log(stream, episode.stream(stream))


def _codecs(episode: Episode, name: str | None) -> dict[str, str]:
    """What each frame field is to be stored in; as it is, unless it is a picture and a codec was asked for."""
    fields = [field for field in episode.spec if is_frame(field)]
    if name is not None:
        return {field.name: for_field(field, codec(name)).name for field in fields}
    kept = {field.name: _codec_of(episode, field.name) for field in fields}
    if foreign := [field for field, one in kept.items() if one is None]:
        raise StoreError(
            f"{episode.id}: {', '.join(foreign)} is in a codec of another program, in which nothing is written here: "
            "say which is to take its place, as with codec=zstd"
        )
    return {field: one for field, one in kept.items() if one is not None}


def _codec_of(episode: Episode, field: str) -> str | None:
    """The codec of a field as a name, None for another program's; of parts in several codecs, that of the first."""
    used = episode.recordings[0].array(field).codec
    return None if used is None else _name(used)


def _name(used: FrameCodec) -> str:
    """The name by which a writer finds a codec: of video that another program encoded, with the size of its groups."""
    foreign = isinstance(used, Video) and used.crf is None
    return f"{used.name}:{used.group}" if foreign else used.name


def _chunks(episode: Episode, name: str, wanted: FrameCodec) -> Iterator[bytes]:
    """The chunks of a field for a new recording: copied where they can be, compressed where they must."""
    if _copies(episode, name, wanted):
        for recording, start, stop in episode.parts:
            chunks = recording.array(name).chunks(start // wanted.group, -(-stop // wanted.group))
            yield from map(bytes, chunks)
        return
    for start in range(0, len(episode), wanted.group):
        yield wanted.encode(np.ascontiguousarray(episode.read(name, start, start + wanted.group)))


def _copies(episode: Episode, name: str, wanted: FrameCodec) -> bool:
    """Whether the chunks on disk are those of a new recording: one codec, and cuts between chunks alone."""
    group = wanted.group
    for number, (recording, start, stop) in enumerate(episode.parts):
        is_last = number == len(episode.parts) - 1
        ends_well = stop % group == 0 or (is_last and stop == len(recording))
        if recording.array(name).codec != wanted or start % group or not ends_well:
            return False
    return True
