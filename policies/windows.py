"""Episodes as flat tensors, and windows gathered from them by index.

Numbers lie on the device, and pictures too while they fit: a batch is then one gather, and there are no workers. Those
that do not fit are brought there by threads, a batch ahead of the trainer. A batch is a function of the numbers of its
windows and of nothing else, and the order of the batches one of (seed, step): the samples are the same wherever the
pictures lie, and a run that is resumed sees what it would have seen.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from policies import Batch, Window
from policies.ahead import Ahead
from policies.conditioning import Conditioning
from policies.pictures import Pictures
from policies.places import Places
from robot_stack.picture import IMAGE
from robot_stack.store import Episode
from robot_stack.types import ConfigError, StoreError

NUMBERS_BATCH = 4096


class Windows:
    """All windows of some episodes.

    observe, act: field names. window: its shape. weight: how much each step counts, one array an episode, or all the
    same. flown: whether somebody flew each step, likewise; one that nobody flew is not valid. pictures: where they come
    from, decoded as they are by default. device: where the tensors lie. conditioning: what is told beside what is seen;
    the row that a goal is taken from is drawn anew in each batch.

    A window stands at each row that has at least `window.execute` rows from itself to the end. Its history is padded
    with the first row at the start of the episode, its actions with the last one at the end, there marked not valid.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        observe: Sequence[str],
        act: Sequence[str],
        window: Window,
        weight: Sequence[np.ndarray[Any, Any]] | None = None,
        pictures: Pictures | None = None,
        device: torch.device | str = "cpu",
        conditioning: Conditioning | None = None,
        flown: Sequence[np.ndarray[Any, Any]] | None = None,
    ) -> None:
        lengths = torch.tensor([len(episode) for episode in episodes], dtype=torch.long)
        longest = int(lengths.max()) if len(lengths) else 0
        if longest < window.execute:
            raise StoreError(
                f"no window fits: the longest of {len(lengths)} episodes has {longest} rows, one needs "
                f"{window.execute}; record longer episodes, or set policy.window.execute"
            )
        self.window = window
        self._host = Places.of(lengths, window.execute)
        self._places = self._host.to(device)
        self._observes = tuple(observe)
        self._goals = conditioning.fields if conditioning is not None else ()
        self._conditioning = conditioning
        self._future: tuple[str, ...] = ()
        self.observe: dict[str, Tensor] = {}  # all rows of what lies on the device, by field
        self._ahead: dict[str, Ahead] = {}
        for name in dict.fromkeys((*observe, *self._goals)):
            self._load(name, episodes, pictures or Pictures(), device)
        self.action = torch.cat([_columns(_numbers(episodes, name)) for name in act], dim=1).to(device)
        weights = np.concatenate(weight) if weight is not None else np.ones(len(self._host.start))
        self.weight = torch.from_numpy(weights).float().to(device)
        counts = np.concatenate(flown) if flown is not None else np.ones(len(self._host.start), bool)
        self._flown = torch.from_numpy(counts).to(device)
        about = [conditioning.about(episode) for episode in episodes] if conditioning is not None else []
        self._about = {name: torch.stack([of[name] for of in about]).to(device) for name in (about[0] if about else ())}

    def _load(self, name: str, episodes: Sequence[Episode], pictures: Pictures, device: torch.device | str) -> None:
        is_picture = name.startswith(IMAGE)
        rows = pictures.load(episodes, name, device) if is_picture else _numbers(episodes, name).to(device)
        if isinstance(rows, Ahead):
            self._ahead[name] = rows
        else:
            self.observe[name] = rows

    def __len__(self) -> int:
        return len(self._host.now)

    @property
    def bytes(self) -> int:
        """Memory that the rows take on the device [B]."""
        return sum(rows.nbytes for rows in [*self.observe.values(), self.action])

    def foresee(self, fields: Sequence[str]) -> None:
        """Have each batch say what these fields are after its last action, as a policy's loss may want to know.
        Raises ConfigError for a field that is not observed."""
        if absent := [name for name in fields if name not in self._observes]:
            raise ConfigError(f"the policy's loss wants {', '.join(absent)} of the future, but does not observe it")
        self._future = tuple(fields)

    def expect(self, index: Tensor) -> None:
        """The windows of the given numbers (B,) are wanted next: threads begin to bring their pictures."""
        if self._ahead:
            for name, rows in self._wanted(index.cpu(), self._host).values():
                if name in self._ahead:
                    self._ahead[name].expect(rows)

    def numbers(self) -> Iterator[Batch]:
        """All windows once, in large batches without the pictures."""
        for index in torch.arange(len(self)).split(NUMBERS_BATCH):
            names = [name for name in self.observe if not name.startswith(IMAGE)]
            yield self._batch(index, {name: self.observe[name] for name in names}, {})

    def batch(self, index: Tensor) -> Batch:
        """The windows of the given numbers (B,)."""
        return self._batch(index.cpu(), self.observe, self._ahead)

    def valid(self, index: Tensor) -> Tensor:
        """Which steps of the windows of the given numbers are there, and flown by somebody (B, horizon)."""
        future, inside = self._steps(index)
        return inside & self._flown[future]

    def _steps(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the actions of these windows, and whether their episodes were not over (B, horizon)."""
        now = self._places.now[index.to(self._places.now.device), None]  # (B, 1)
        last = self._places.last[now]
        future = now + torch.arange(self.window.horizon, device=now.device)
        return torch.minimum(future, last), future <= last

    def _batch(self, index: Tensor, resident: dict[str, Tensor], ahead: dict[str, Ahead]) -> Batch:
        places = self._places
        future, inside = self._steps(index)
        observe: dict[str, Tensor] = {}
        for key, (name, rows) in self._wanted(index, places).items():
            if name in resident:
                observe[key] = _gather(resident[name], rows)
        for key, (name, rows) in self._wanted(index, self._host).items() if ahead else ():
            if name in ahead:
                observe[key] = ahead[name](rows)
        now = places.now[index.to(places.now.device), None]  # (B, 1)
        observe |= {name: values[places.episode[now]] for name, values in self._about.items()}
        return Batch(observe, _gather(self.action, future), inside & self._flown[future], self.weight[future])

    def _wanted(self, index: Tensor, places: Places) -> dict[str, tuple[str, Tensor]]:
        """What `observe` of a batch is made of, where `places` lie: its name -> the field and its rows (B, n)."""
        device = places.now.device
        now = places.now[index.to(device), None]  # (B, 1)
        last = places.last[now]
        past = torch.maximum(now + torch.arange(1 - self.window.history, 1, device=device), places.start[now])
        after = torch.minimum(now + self.window.horizon, last)
        wanted = {name: (name, past) for name in self._observes}
        wanted |= {f"future.{name}": (name, after) for name in self._future}
        if self._conditioning is not None and self._goals:
            goal = self._conditioning.later(now[:, 0], last[:, 0], _drawn(index).to(device))[:, None]
            wanted |= {f"goal.{name}": (name, goal) for name in self._goals}
        return wanted


class Order:
    """Which windows make the batch of a step: a new permutation each epoch, drawn from (seed, epoch)."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count = count
        self.batch = min(batch, count)
        self.seed = seed
        self.batches = count // self.batch  # an epoch; the remainder comes in another epoch's permutation
        self._permutation = lru_cache(maxsize=2)(self._permute)  # two: a step may ask for the next one's before its own

    def __call__(self, step: int) -> Tensor:
        """Numbers of the windows of this step (batch,)."""
        epoch, position = divmod(step, self.batches)
        return self._permutation(epoch)[position * self.batch : (position + 1) * self.batch]

    def _permute(self, epoch: int) -> Tensor:
        return torch.randperm(self.count, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))


def _numbers(episodes: Sequence[Episode], name: str) -> Tensor:
    """One field of all episodes, float32 (N, *shape)."""
    parts = []
    for episode in episodes:
        values = episode[name]
        if not np.isfinite(values).all():
            row = int(np.nonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0][0])
            raise StoreError(f"episode {episode.id}, row {row}: {name} is not finite; see `robot-stack data check`")
        parts.append(torch.from_numpy(values.astype(np.float32)))
    return torch.cat(parts)


def _drawn(index: Tensor) -> Tensor:
    """Uniform numbers (B,) for the windows of a batch: a function of which windows are in it."""
    generator = torch.Generator().manual_seed(crc32(index.numpy().tobytes()))
    return torch.rand(len(index), generator=generator, dtype=torch.float64)


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """`rows[index]` that copies whole rows: 7 ms instead of 45 for 128 pictures of 240x320 on one core."""
    return rows.index_select(0, index.flatten()).unflatten(0, index.shape)


def _columns(rows: Tensor) -> Tensor:
    return rows.reshape(len(rows), -1)
