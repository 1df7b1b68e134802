"""Policies learn from windows of rows and propose chunks of targets. Only this package, and benchmarks, import torch.

The interface is two verbs. `loss(batch)` scores every action step, unweighted: weights by class, masks and windows are
data, so that reweighting is one line of `train.py`. `act(history)` proposes a chunk in physical units: normalisation is
inside the policy and saved with it, so whoever flies never sees a normalised number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import torch
from torch import Generator, Tensor, nn

from policies.actions import Absolute, ActionSpace
from policies.conditioning import Conditioning
from policies.normalize import Normalizer
from policies.observation import Images, Observation
from robot_stack.spec import Spec
from robot_stack.station import CHUNK_STEPS
from robot_stack.types import ConfigError


@dataclass(frozen=True)
class Window:
    """What a policy sees and proposes, in rows around now.

    history: rows it sees, now is the last. horizon: waypoints it proposes, now is the first.
    execute: waypoints that are flown before it is asked again; every window of the data has at least as many left.
    """

    history: int = 2
    horizon: int = 16
    execute: int = 8

    def __post_init__(self) -> None:
        if self.history < 1 or not 1 <= self.execute <= self.horizon <= CHUNK_STEPS:
            raise ConfigError(f"a window needs history >= 1 and 1 <= execute <= horizon <= {CHUNK_STEPS}, got {self}")


@dataclass
class Batch:
    """Windows, stacked. Physical units, pictures as bytes.

    observe: field name -> (B, history, *shape); what a policy is conditioned on or predicts beside its actions lies
    there too, one row of it: `goal.<field>` and `future.<field>` (B, 1, *shape), `instruction` (B, 1, words).
    action: act fields side by side (B, horizon, width). valid: False where the episode was over or
    nobody flew (B, horizon). weight: how much a step counts, 1 on average (B, horizon).
    """

    observe: dict[str, Tensor]
    action: Tensor
    valid: Tensor
    weight: Tensor


class Interface(TypedDict):
    """What the config of every policy says of the world around it.

    observe, act: field names. window: its shape. images: how pictures are read. conditioning: what it is told to do.
    actions: what the network's numbers of an action mean; the target itself by default.
    """

    observe: Sequence[str]
    act: Sequence[str]
    window: Window
    images: NotRequired[Images | None]
    conditioning: NotRequired[Conditioning | None]
    actions: NotRequired[ActionSpace | None]


class Policy(nn.Module):
    """Base of every policy: which fields it sees and commands, and how they become network vectors.

    spec: the schema of the rows. future: fields that its loss wants from the end of the chunk, as `future.<field>`.
    """

    future: tuple[str, ...] = ()

    def __init__(
        self,
        spec: Spec,
        observe: Sequence[str],
        act: Sequence[str],
        window: Window,
        images: Images | None = None,
        conditioning: Conditioning | None = None,
        actions: ActionSpace | None = None,
    ) -> None:
        super().__init__()
        wanted = conditioning.fields if conditioning is not None else ()
        self.spec = spec.select(dict.fromkeys([*observe, *act, *wanted]))
        self.observes = tuple(observe)
        self.acts = tuple(act)
        self.window = window
        self.observation = Observation(spec.select(observe), images)
        self.conditioning = conditioning.build(spec, images) if conditioning is not None else None
        self.targets = (actions or Absolute()).build(spec, observe, act)
        self.normalize_action = Normalizer(self.targets.size)
        self.row_size = self.observation.size + (self.conditioning.size if self.conditioning is not None else 0)
        self.condition_size = window.history * self.row_size

    def fit(self, observe: Mapping[str, Tensor], batches: Iterable[Batch]) -> None:
        """Set the normalisers from the training data: all its rows, name -> (N, *shape), and all its windows, whose
        pictures may be missing. Steps without weight are left out: nobody asked for them."""
        self.observation.fit(observe)
        if self.conditioning is not None:
            self.conditioning.fit(observe)
        low = torch.full((self.targets.size,), torch.inf)
        high = -low
        for batch in batches:
            counts = batch.valid & (batch.weight > 0.0)
            numbers = self.targets.encode(batch.action, batch.observe)[counts].cpu()
            if len(numbers):
                low, high = torch.minimum(low, numbers.amin(dim=0)), torch.maximum(high, numbers.amax(dim=0))
        self.normalize_action.set_limits(low, high, fixed=self.targets.bounded)

    def condition(self, history: Mapping[str, Tensor], told: bool = True) -> Tensor:
        """What was seen, and what it was told to do beside each row of it, as one vector (B, condition_size).

        `unflatten(1, (window.history, row_size))` gives the rows back. told: False to leave out what it was told, as
        classifier-free guidance wants; while training, it is left out of a share of the windows by itself.
        """
        return self.with_goal(self.observation(history), history, told).flatten(1)

    def with_goal(self, rows: Tensor, history: Mapping[str, Tensor], told: bool = True) -> Tensor:
        """Rows (B, T, N) with what the policy was told to do beside each of them (B, T, N + G)."""
        if self.conditioning is None:
            return rows
        goal = self.conditioning(history, len(rows), told)  # (B, G)
        return torch.cat([rows, goal[:, None].expand(-1, rows.shape[1], -1)], dim=-1)

    def encode(self, action: Tensor, history: Mapping[str, Tensor]) -> Tensor:
        """Physical actions (B, H, width) that follow a history, as the network's numbers in [-1, 1] (B, H, D)."""
        return self.normalize_action(self.targets.encode(action, history))

    def decode(self, vector: Tensor, history: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `encode`; rotations come out normalised."""
        return self.targets.decode(self.normalize_action.inverse(vector), history)

    def loss(self, batch: Batch) -> Tensor:
        """Error of every action step (B, horizon), neither weighted nor masked."""
        raise NotImplementedError

    def act(
        self, history: dict[str, Tensor], steps: int | None = None, generators: Sequence[Generator] | None = None
    ) -> Tensor:
        """A chunk for each history, physical units (B, horizon, width).

        history: name -> (B, history, *shape). steps: of the sampler; ignored by policies that do not sample.
        generators: one a sample, so that what is drawn for an episode does not depend on its neighbours.
        """
        raise NotImplementedError

    def draw(
        self, condition: Tensor, generators: Sequence[Generator] | None, shape: Sequence[int] | None = None
    ) -> Tensor:
        """Normal noise, a draw a sample, made on the CPU so that a seed means the same on every device (B, *shape).

        shape: of one draw; that of a chunk of network numbers by default.
        """
        shape = shape if shape is not None else (self.window.horizon, self.targets.size)
        each = generators if generators is not None else [None] * len(condition)
        return torch.stack([torch.randn(*shape, generator=generator) for generator in each]).to(condition)


__all__ = ["Batch", "Interface", "Policy", "Window"]
