"""Policies learn from windows of rows and propose chunks of targets. The only package that imports torch.

The interface is two verbs. `loss(batch)` scores every action step, unweighted: weights by class, masks and windows are
data, so that reweighting is one line of `train.py`. `act(history)` proposes a chunk in physical units: normalisation is
inside the policy and saved with it, so whoever flies never sees a normalised number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Generator, Tensor, nn

from policies.actions import FieldVector
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

    observe: field name -> (B, history, *shape). action: act fields side by side (B, horizon, width).
    valid: False where the episode was over (B, horizon). weight: how much a step counts, 1 on average (B, horizon).
    """

    observe: dict[str, Tensor]
    action: Tensor
    valid: Tensor
    weight: Tensor


class Policy(nn.Module):
    """Base of every policy: which fields it sees and commands, and how they become network vectors.

    spec: the schema of the rows. observe, act: field names. images: how pictures are read, None without pictures.
    """

    def __init__(
        self, spec: Spec, observe: Sequence[str], act: Sequence[str], window: Window, images: Images | None = None
    ) -> None:
        super().__init__()
        self.spec = spec.select([*observe, *act])
        self.observes = tuple(observe)
        self.acts = tuple(act)
        self.window = window
        self.observation = Observation(spec.select(observe), images)
        self.targets = FieldVector(spec.select(act))
        self.normalize_action = Normalizer(self.targets.size)
        self.condition_size = window.history * self.observation.size

    def fit(self, observe: dict[str, Tensor], action: Tensor) -> None:
        """Set the normalisers from all rows of the training data: name -> (N, *shape), and (N, width)."""
        self.observation.fit(observe)
        self.normalize_action.fit(self.targets.encode(action), fixed=self.targets.bounded)

    def condition(self, history: dict[str, Tensor]) -> Tensor:
        """What was seen, as one vector (B, condition_size)."""
        return self.observation(history).flatten(1)

    def encode(self, action: Tensor) -> Tensor:
        """Physical actions (B, H, width) as the network's numbers in [-1, 1] (B, H, D)."""
        return self.normalize_action(self.targets.encode(action))

    def decode(self, vector: Tensor) -> Tensor:
        """The inverse of `encode`; rotations come out normalised."""
        return self.targets.decode(self.normalize_action.inverse(vector))

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


__all__ = ["Batch", "Policy", "Window"]
