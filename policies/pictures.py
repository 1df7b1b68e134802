"""Where training gets its pictures from: the device when they fit, else the computer's memory, else disk or network."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies.ahead import Ahead
from policies.memory import free_memory
from robot_stack.picture import IMAGE
from robot_stack.store import Episode
from robot_stack.store.cache import AUTO, LIMIT, FrameCache, open_cache
from robot_stack.store.frames import Decoded, Frames, expect_history, read_history

SHARE = 0.5
"""Of the free memory that pictures take at most: the rest is for the network and its gradients, and for others."""


class Place(StrEnum):
    """Where decoded pictures lie while a run learns from them."""

    DEVICE = "device"  # with the network; on a machine without a GPU, in memory
    HOST = "host"  # in the computer's memory, from where those of a batch go to the GPU ahead of it
    DISK = "disk"  # in the training cache, or in the store, from where threads read them ahead


@dataclass(frozen=True)
class Pictures:
    """How pictures are read.

    resolution: (height, width) they are shrunk to [px], None to leave them as they are. cache: where they are looked
    for first. place: where they are kept. said: all this as a sentence.
    """

    resolution: tuple[int, int] | None = None
    cache: FrameCache | None = None
    place: Place = Place.DEVICE
    said: str = ""

    def load(self, episodes: Sequence[Episode], name: str, device: torch.device | str) -> Tensor | Ahead:
        """All pictures of one field on the device (N, height, width, 3), or what brings them there."""
        frames = self._frames(episodes, name)
        if self.place is Place.DEVICE:
            return load_all(frames, device)
        fill = Held(load_all(frames, "cpu")) if self.place is Place.HOST else Streamed(frames)
        return Ahead(fill, frames[0].shape[1:], device)

    def _frames(self, episodes: Sequence[Episode], name: str) -> list[Frames]:
        """Those of one field, of each episode."""
        sources = [Decoded(episode, name, self.resolution) for episode in episodes]
        return [source if self.cache is None else self.cache.get(source) for source in sources]


def find_pictures(
    config: Mapping[str, Any], names: Sequence[str], episodes: Sequence[Episode], device: torch.device | str = "cpu"
) -> Pictures:
    """Bring the pictures among the fields `names` into the cache, and decide where they are kept."""
    images = config["policy"].get("images")
    resolution = tuple(images["resolution"]) if images else None
    sources = [Decoded(episode, name, resolution) for episode in episodes for name in names if name.startswith(IMAGE)]
    if not sources:
        return Pictures(resolution)
    cache = open_cache(config.get("cache", AUTO), 1e9 * config.get("cache_limit", LIMIT / 1e9))
    complaint = cache.fill(sources) if cache else ""
    total = sum(source.nbytes for source in sources)
    place, why = choose_place(total, config.get("memory"), torch.device(device))
    where = f"cached in {cache.folder}" if cache else "not cached"
    read = f" {'from there' if cache else 'from the store'} ahead of the training" if place is Place.DISK else ""
    return Pictures(
        resolution, cache, place, f"pictures: {total / 1e9:.2f} GB, {where}; {why}{read}. {complaint}".rstrip()
    )


def choose_place(total: int, memory: float | None, device: torch.device) -> tuple[Place, str]:
    """The first place that has room for `total` bytes of pictures, and why, as a clause.

    memory: the most that they may take [GB], None for SHARE of what is free.
    """
    most = np.inf if memory is None else memory * 1e9
    host = min(most, SHARE * free_memory() / int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    room = min(most, SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else host
    if total <= room:
        return Place.DEVICE, f"kept in the memory of {device}, where {room / 1e9:.3g} GB are for them"
    if device.type == "cuda" and total <= host:
        small = f"the memory of {device} has {room / 1e9:.3g} GB for them"
        return Place.HOST, f"kept in the computer's memory, where {host / 1e9:.3g} GB are for them ({small})"
    return Place.DISK, f"more than the {host / 1e9:.3g} GB of memory that are for them, so threads read them"


class Held:
    """Reads from pictures of all episodes in memory (N, height, width, 3)."""

    def __init__(self, pictures: Tensor) -> None:
        self._pictures = pictures.numpy()

    def __call__(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Rows (B, n) into `out` (B, n, height, width, 3)."""
        np.take(self._pictures, rows, axis=0, out=out, mode="clip")  # another mode would buffer; rows are in range


class Streamed:
    """Reads when a batch wants it. frames: of each episode."""

    def __init__(self, frames: Sequence[Frames]) -> None:
        self._frames = frames
        self._ends = np.cumsum([source.shape[0] for source in frames])

    def __call__(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Rows (B, n) into `out` (B, n, height, width, 3): each n end with the last and count up to it by one, and
        what would be before the first row of its episode is the first."""
        for source, last in self._places(rows):
            expect_history(source, last, rows.shape[1])
        for (source, last), pictures in zip(self._places(rows), out, strict=True):
            read_history(source, last, pictures)

    def _places(self, rows: NDArray[np.int64]) -> Iterator[tuple[Frames, int]]:
        """The episode's frames that each last row is in, and its number there."""
        last = rows[:, -1]
        for row, episode in zip(last.tolist(), np.searchsorted(self._ends, last, side="right").tolist(), strict=True):
            source = self._frames[episode]
            yield source, row - int(self._ends[episode]) + source.shape[0]


def load_all(frames: Sequence[Frames], device: torch.device | str) -> Tensor:
    """All pictures on the device, (N, height, width, 3)."""
    lengths = [source.shape[0] for source in frames]
    pictures = torch.empty((sum(lengths), *frames[0].shape[1:]), dtype=torch.uint8, device=device)
    for source, following, part in zip(frames, [*frames[1:], None], pictures.split(lengths), strict=True):
        if following is not None:
            following.expect(0, following.shape[0])
        rows = part if part.is_cpu else torch.empty_like(part, device="cpu")
        source.read_into(0, rows.numpy())
        if rows is not part:
            part.copy_(rows)
    return pictures
