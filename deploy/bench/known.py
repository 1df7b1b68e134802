"""Episodes whose every value follows from two numbers in the row: whatever is read back of them can be checked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.check import damages
from robot_stack.store.episode import Episode
from robot_stack.types import Source, StoreError

RATE = 50.0
"""Rows a second [Hz]."""

SPEC = Spec(
    [
        Field("time", unit="s"),
        Field("episode", dtype="i8"),
        Field("step", dtype="i8"),
        Field("source", dtype="u1"),
        Field("image.front", (40, 40, 3), "u1"),
        Field("depth.front", (46, 46), "u2"),
    ]
)
STATION = {"name": "bench", "robot": "none", "rate": RATE}
STREAMS = {"control": ["time", "q"]}
PER_ROW = 3
"""Rows of the stream `control` for each row."""

_LOSSY = 8.0  # mean error of a picture [grey levels], of JPEG and of AV1; the next picture is 23 levels away


@dataclass(frozen=True)
class Known:
    """All that tells one episode from another. rows: number of the episode, step and source of each row."""

    rows: tuple[tuple[int, int, int], ...]
    verdict: str
    salvaged: bool = False


def made(episode: int, steps: int, verdict: str = "success") -> Known:
    """The first `steps` rows of an episode, as it is recorded."""
    return Known(tuple((episode, step, int(Source.OPERATOR)) for step in range(steps)), verdict)


def rows(episode: ArrayLike, step: ArrayLike, spec: Spec = SPEC) -> NDArray[np.void]:
    """Rows (n,) of the fields of SPEC in any order: they follow from the numbers of their episodes and steps."""
    episode, step = np.atleast_1d(episode), np.atleast_1d(step)
    result = np.zeros(len(step), spec.dtype)
    result["episode"], result["step"], result["source"] = episode, step, Source.OPERATOR
    result["time"] = 1000.0 * episode + step / RATE
    level = (37 * episode + 23 * step) % 160
    result["image.front"] = level[:, None, None, None] + np.arange(40)[:, None, None]
    result["depth.front"] = (1000 * episode + step)[:, None, None] % 50000 + np.arange(46)[:, None]
    return result


def stream(episode: int, step: int) -> NDArray[np.float64]:
    """The rows (PER_ROW, 2) of the stream `control` that come with a row: the last of them at its time."""
    number = PER_ROW * step + np.arange(1 - PER_ROW, 1)
    return np.stack([1000.0 * episode + number / (PER_ROW * RATE), 0.1 * number], axis=1)


def known(episode: Episode) -> Known:
    """What an episode holds, by the numbers in its rows."""
    numbers = zip(*(episode[name].tolist() for name in ("episode", "step", "source")), strict=True)
    return Known(tuple(numbers), episode.attrs["verdict"], episode.attrs["salvaged"])


def problems(store: Store) -> Iterator[str]:
    """Whatever is not as it was made: episodes that cannot be read, hashes, values."""
    catalog = store.catalog
    for folder, why in catalog.broken.items():
        yield f"{folder} cannot be read: {why}"
    for recording in catalog.recordings.values():
        yield from (f"{recording.path.name}: {damage}" for damage in damages(recording))
    for episode in [*store.episodes, *store.deleted]:
        try:
            yield from (f"{episode.id}: {what}" for what in wrong(episode))
        except StoreError as error:
            yield f"{episode.id} cannot be read: {error}"


def wrong(episode: Episode) -> Iterator[str]:
    """Fields whose values are not those of the numbers in their rows."""
    seen = episode.rows()
    expected = rows(seen["episode"], seen["step"], episode.spec)
    for field in episode.spec:
        if field.name == "image.front":
            error = np.abs(seen[field.name].astype(int) - expected[field.name]).mean(axis=(1, 2, 3)).max()
            if error > _LOSSY:
                yield f"a picture is {error:.0f} grey levels away from the one that was recorded"
        elif field.name != "source" and not np.array_equal(seen[field.name], expected[field.name]):
            yield f"{field.name} is not what was recorded"
    if episode.streams:
        logged = np.concatenate([stream(row["episode"], row["step"]) for row in seen])
        there = episode.stream("control")
        cut = PER_ROW if episode.attrs["salvaged"] else 0  # the last row was there, and its part of the stream not yet
        if len(there) < len(logged) - cut or not np.array_equal(there, logged[: len(there)]):
            yield "the stream control is not what was recorded"


def record(
    store: Store, episode: int, steps: int, verdict: str = "success", appended: Callable[[int], None] = lambda n: None
) -> str:
    """Record an episode; its id. appended: called with the number of rows after each."""
    writer = store.writer({"kind": "collect", "task": "bench", "clock_offset": 0.0}, STREAMS)
    for step in range(steps):
        writer.append(rows(episode, step)[0])
        writer.log("control", stream(episode, step))
        appended(step + 1)
    writer.commit(verdict)
    return writer.id
