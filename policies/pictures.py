"""Where training gets its pictures from: memory when they fit, else the training cache, else the store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robot_stack.picture import IMAGE
from robot_stack.store import Episode
from robot_stack.store.cache import AUTO, LIMIT, FrameCache, open_cache
from robot_stack.store.frames import Decoded, Frames, expect_history, read_history

MEMORY = 8e9
"""That pictures may take unless a config says otherwise [B]."""


@dataclass(frozen=True)
class Pictures:
    """How pictures are read.

    resolution: (height, width) they are shrunk to [px], None to leave them as they are. cache: where they are looked
    for first. resident: whether they are kept in memory, or read again for each batch. said: all this as a sentence.
    """

    resolution: tuple[int, int] | None = None
    cache: FrameCache | None = None
    resident: bool = True
    said: str = ""

    def frames(self, episodes: Sequence[Episode], name: str) -> list[Frames]:
        """Those of one field, of each episode."""
        sources = [Decoded(episode, name, self.resolution) for episode in episodes]
        return [source if self.cache is None else self.cache.get(source) for source in sources]


def find_pictures(config: Mapping[str, Any], episodes: Sequence[Episode]) -> Pictures:
    """Bring what `config.policy` observes into the cache, and decide whether it fits into memory."""
    images = config["policy"].get("images")
    resolution = tuple(images["resolution"]) if images else None
    names = [name for name in config["policy"]["observe"] if name.startswith(IMAGE)]
    sources = [Decoded(episode, name, resolution) for episode in episodes for name in names]
    if not sources:
        return Pictures(resolution)
    cache = open_cache(config.get("cache", AUTO), 1e9 * config.get("cache_limit", LIMIT / 1e9))
    complaint = cache.fill(sources) if cache else ""
    total, budget = sum(source.nbytes for source in sources) / 1e9, config.get("memory", MEMORY / 1e9)
    said = f"pictures: {total:.2f} GB, {f'cached in {cache.folder}' if cache else 'not cached'}; "
    if total <= budget:
        said += f"in memory, where they may take memory={budget:g} GB"
    else:
        said += f"more than memory={budget:g} GB, so they are read {'from there' if cache else 'again'} for each batch"
    return Pictures(resolution, cache, total <= budget, f"{said}. {complaint}".rstrip())


class Streamed:
    """Pictures that are read when a batch wants them. frames: of each episode. history: rows of a window."""

    def __init__(self, frames: Sequence[Frames], history: int) -> None:
        self._frames = frames
        self._history = history
        self._ends = np.cumsum([source.shape[0] for source in frames])

    def expect(self, now: Tensor) -> None:
        """The pictures up to each of the rows `now` (B,) are wanted soon: they begin to come, side by side."""
        for source, row in self._places(now):
            expect_history(source, row, self._history)

    def __call__(self, now: Tensor) -> Tensor:
        """The pictures up to each of the rows `now` (B,) of all episodes, (B, history, height, width, 3).

        Before the first row of an episode stands the first.
        """
        out = np.empty((len(now), self._history, *self._frames[0].shape[1:]), self._frames[0].dtype)
        for (source, row), pictures in zip(self._places(now), out, strict=True):
            read_history(source, row, pictures)
        return torch.from_numpy(out)

    def _places(self, now: Tensor) -> Iterator[tuple[Frames, int]]:
        """The episode's frames that each of the rows `now` (B,) of all episodes is in, and its number there."""
        rows = now.cpu().numpy()
        for row, episode in zip(rows.tolist(), np.searchsorted(self._ends, rows, side="right").tolist(), strict=True):
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
