"""The one importer: brings any `Source` into a store, episode by episode, and can be killed anywhere."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Spec
from robot_stack.store.codecs import codec as picture_codec
from robot_stack.store.episode import Episode
from robot_stack.store.formats.construct import construct
from robot_stack.store.formats.protocol import Film, FilmSource, Imported, Source, Stream
from robot_stack.store.formats.recognise import recognise
from robot_stack.store.store import Store
from robot_stack.store.writer import EpisodeWriter, frame_codecs
from robot_stack.types import ConfigError, StoreError

SOURCES = {
    "lerobot": "robot_stack.store.formats.lerobot.source:LeRobotSource",
    "diffusion_policy": "robot_stack.store.formats.diffusion_policy:ReplayBuffer",
    "robomimic": "robot_stack.store.formats.robomimic:RobomimicSource",
    "mcap": "robot_stack.store.formats.ros.source:McapSource",
}
"""Format -> module:class of the protocol `Source`. The module is imported when it is needed."""

NAN = ("refuse", "keep", "skip")

_COMPUTED = ("rows", "drops", "content", "streams")  # attributes that a commit makes from the rows

Block = NDArray[np.void]


def open_source(path_or_id: str | Path, format: str = "auto", **options: Any) -> Source:
    """Open something to import from; its format is recognised by looking. options: of that format, None: default."""
    name = recognise(str(path_or_id)) if format == "auto" else format
    if name not in SOURCES:
        raise ConfigError(f"no format {name!r} to import; there are: auto, {', '.join(SOURCES)}")
    source: Source = construct(SOURCES[name], (str(path_or_id),), options, f"format {name}")
    return source


def import_source(
    source: Source,
    store_path: str | Path,
    progress: Callable[[float], None] = lambda done: None,
    codec: str = "zstd",
    nan: str = "refuse",
) -> Imported:
    """Bring all episodes in; each is read back from disk and compared. An interrupted import continues.

    progress: called with the number of episodes done. codec: of images in a store that is made here; lossless unless
    it is asked for. nan: what to do with an episode that holds values that are not finite: refuse it with its place,
    keep it as it is, or skip it and say so.
    """
    if nan not in NAN:
        raise ConfigError(f"no nan={nan}; there are: {', '.join(NAN)}")
    with _destination(Path(store_path), source, codec) as store:
        known = _known(store, source.fingerprint)
        codecs = frame_codecs(store.spec, picture_codec(store.codec), {})
        lossy = [name for name, used in codecs.items() if not used.lossless]
        warnings = source.warnings + [
            f"{name} is stored in {store.codec}, which changes it a little: it is not compared"
            for name in lossy
            if not isinstance(source, FilmSource)
        ]
        work = _Import(source, store, nan, lossy)
        rows = sum(known.values())
        new = 0
        for number in range(len(source)):
            if number not in known:
                came = work.episode(number)
                warnings += [f"episode {number}: {sentence}" for sentence in came.repairs]
                rows += came.rows
                new += came.rows > 0
            progress(number + 1)
    return Imported(new, len(known), rows, warnings)


@dataclass
class _Came:
    """What became of one episode: rows that came in, and sentences about what was repaired or left out."""

    rows: int = 0
    repairs: list[str] = field(default_factory=list)


class _TimeRunsBackwardsError(StoreError):
    pass


class _NotFiniteError(StoreError):
    pass


@dataclass(frozen=True)
class _Import:
    """One source on its way into one store. lossy: fields that do not come out of the store as they went in."""

    source: Source
    store: Store
    nan: str
    lossy: list[str]

    def episode(self, number: int) -> _Came:
        """Bring one episode in, with what is repaired or left out said."""
        attrs = {key: value for key, value in self.source.attrs(number).items() if key not in _COMPUTED}
        films = self.source.films(number) if isinstance(self.source, FilmSource) else {}
        try:
            try:
                return self._write(number, attrs, films, _in_order(self.source.rows(number)), [])
            except _TimeRunsBackwardsError as error:
                rate = self.source.station["rate"]
                said = f"{error}: its times are made up, step / {rate:g} Hz"
                blocks = _retimed(self.source.rows(number), rate)
                return self._write(number, {**attrs, "time_source": "synthetic"}, films, blocks, [said])
        except _NotFiniteError as error:
            if self.nan == "skip":
                return _Came(repairs=[f"left out: {error}"])
            raise StoreError(
                f"episode {number} of {self.source.name}: {error}. nan=skip leaves such episodes out, nan=keep brings "
                "them in as they are; what has come in stays"
            ) from error

    def _write(
        self, number: int, attrs: dict[str, Any], films: Mapping[str, Film], blocks: Iterator[Block], repairs: list[str]
    ) -> _Came:
        """Write one episode, read it back, compare."""
        source, blocks = self.source, _finite(blocks, self.nan)
        first = next(blocks, None)
        if first is None:
            why = [sentence for sentence in source.repairs(number) if sentence.startswith("left out")]
            return _Came(repairs=why or ["left out: it has no steps"])
        streams = source.streams(number)
        columns = {name: stream.columns for name, stream in streams.items()}
        origin = {"source_path": source.name, "source_hash": source.fingerprint, "source_episode": number}
        codecs = {name: film.codec for name, film in films.items()}
        writer = self.store.writer({**attrs, **origin}, columns, codecs, salvage=False)
        try:
            digests = _append(writer, self.store.spec, chain([first], blocks), films)
        except StoreError:
            writer.discard()
            raise
        for name, stream in streams.items():
            writer.log(name, stream.values)
        repairs = repairs + source.repairs(number)
        writer.commit(attrs.get("verdict", "unknown"), **({"repaired": repairs} if repairs else {}))
        same = {name: digest for name, digest in digests.items() if name in films or name not in self.lossy}
        _compare(self.store[writer.id], same, streams)
        return _Came(writer.rows, repairs)


def _append(writer: EpisodeWriter, spec: Spec, blocks: Iterable[Block], films: Mapping[str, Film]) -> dict[str, str]:
    """Append all rows; return the SHA-256 of each field as it came in, of films that of their chunks."""
    hashes = {name: hashlib.sha256() for name in spec.fields}
    chunks = {name: film.chunks() for name, film in films.items()}
    for block in blocks:
        for name in hashes.keys() - films.keys():
            hashes[name].update(np.ascontiguousarray(block[name]))
        for row in block:
            given = {name: next(chunks[name]) for name, film in films.items() if writer.rows % film.group == 0}
            for name, chunk in given.items():
                hashes[name].update(chunk)
            writer.append(row, given)
    return {name: sha.hexdigest() for name, sha in hashes.items()}


def _compare(episode: Episode, digests: dict[str, str], streams: Mapping[str, Stream]) -> None:
    """Raise StoreError unless what is on disk is what came in."""
    different = [name for name, digest in digests.items() if episode.digest(name) != digest]
    different += [name for name, stream in streams.items() if not _same(episode.stream(name), stream.values)]
    if different:
        raise StoreError(
            f"{episode.id} does not read back as it was written: {', '.join(different)} differs; check the disk"
        )


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def _in_order(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks that have rows, as long as time does not run backwards."""
    step, last = 0, -np.inf
    for block in blocks:
        time = block["time"]
        if (backwards := np.flatnonzero(np.diff(time, prepend=last) < 0)).size:
            at = int(backwards[0])
            before = time[at - 1] if at else last
            raise _TimeRunsBackwardsError(f"time runs backwards at step {step + at}: {before:.6g} s, {time[at]:.6g} s")
        if len(block):
            step, last = step + len(block), time[-1]
            yield block


def _retimed(blocks: Iterable[Block], rate: float) -> Iterator[Block]:
    step = 0
    for block in blocks:
        block["time"] = (step + np.arange(len(block))) / rate
        step += len(block)
        if len(block):
            yield block


def _finite(blocks: Iterable[Block], nan: str) -> Iterator[Block]:
    """The blocks, as long as their values are finite."""
    step = 0
    for block in blocks:
        for name in block.dtype.names or ():
            values = block[name]
            if nan != "keep" and values.dtype.kind == "f" and not np.isfinite(values).all():
                at = np.argwhere(~np.isfinite(values))[0]
                raise _NotFiniteError(f"{name} is {values[tuple(at)]} at step {step + int(at[0])}")
        step += len(block)
        yield block


def _known(store: Store, fingerprint: str) -> dict[int, int]:
    """Episodes of this source that came in before: number in it -> rows. What a kill cut off is cleared away."""
    store.salvage()
    ours = [r for r in store.catalog.recordings.values() if r.attrs.get("source_hash") == fingerprint]
    return {int(recording.attrs["source_episode"]): len(recording) for recording in ours}


def _destination(path: Path, source: Source, codec: str) -> Store:
    if not path.exists() or not any(path.iterdir()):
        return Store.create(path, source.spec, source.station, codec)
    store = Store.open(path)
    if different := source.spec.difference(store.spec):
        raise StoreError(f"{path} holds other data than {source.name}: {'; '.join(different)}. Choose a new store")
    if store.station["rate"] != source.station["rate"]:
        raise StoreError(
            f"{path} was recorded at {store.station['rate']:g} rows a second, {source.name} has "
            f"{source.station['rate']:g}; choose a new store, or rate={store.station['rate']:g}"
        )
    return store
