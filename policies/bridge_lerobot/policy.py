"""Any policy of LeRobot as one of ours: trained by our loop with our data and weights, flown by our pilot."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Generator, Tensor, nn

from policies import Batch, Interface, Policy
from policies.bridge_lerobot.errors import errors
from policies.bridge_lerobot.features import ACTION, IMAGES, PADDED, Raw, feature, layout
from policies.bridge_lerobot.observed import blank, observed
from policies.bridge_lerobot.pretrained import read
from policies.bridge_lerobot.upstream import configure, make, processors, settings_of
from robot_stack.spec import Spec
from robot_stack.types import CheckpointError, ConfigError

STEPS = ("num_inference_steps", "num_steps")
"""What upstream calls the steps of a sampler."""


class LeRobotPolicy(Policy):
    """kind: LeRobot's name of the policy type. settings: of its config; what the window says need not be there.

    stats: LeRobot's statistics, for one that was trained there: it then sees numbers as they are stored and normalises
    them by itself. None: it sees ours, normalised by us, and does not. pretrained: a folder that LeRobot saved, which
    says kind, settings, stats and weights; it is read again whenever the policy is built. words: what it is told, for
    policies that read a language.

    Upstream's chunk may begin before now (Diffusion Policy's does, `history` - 1 waypoints): there stands a copy of the
    first waypoint, whose error counts as that one's.
    """

    def __init__(
        self,
        spec: Spec,
        kind: str = "",
        settings: Mapping[str, Any] | None = None,
        stats: Mapping[str, Mapping[str, Any]] | None = None,
        pretrained: str | None = None,
        words: str = "",
        **interface: Unpack[Interface],
    ) -> None:
        found = read(pretrained) if pretrained else None
        if found is not None:
            if kind not in ("", found.kind):
                raise ConfigError(f"{pretrained} is {found.kind}, not {kind}: leave policy.kind out")
            kind, settings, stats = found.kind, {**found.settings, **(settings or {})}, found.stats
        if stats is not None and interface.get("actions") is None:
            interface["actions"] = Raw()
        super().__init__(spec, **interface)
        self.trained_there = stats is not None
        self.words = words
        self.layout = layout(spec.select(self.observes))
        self.config = configure(kind, self._settings(kind, settings or {}))
        self.lead = -self.config.action_delta_indices[0]
        self._fit_together()
        self.upstream: Any = make(self.config)  # not `net`, which is what may become one graph in flight
        self._steps = self._samplers()
        self._before, self._after = processors(self.config, stats)
        if found is not None:
            self.load(found.weights, str(pretrained))

    def load(self, weights: Mapping[str, Tensor], name: str | Path) -> None:
        """Take the weights that upstream saved."""
        try:
            self.upstream.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(f"the weights in {name} are of another network: {error}") from error

    def fit(self, observe: Mapping[str, Tensor], batches: Iterable[Batch]) -> None:
        """As every policy; one that was trained there keeps its limits."""
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in self.upstream.modules()):
            raise ConfigError(
                f"LeRobot's {self.config.type} has batch normalisation here, whose statistics the average of the "
                "weights does not carry: set policy.settings.use_group_norm=true"
            )
        if not self.trained_there:
            super().fit(observe, batches)

    def loss(self, batch: Batch) -> Tensor:
        """Upstream's loss (B, horizon): of each step, or of its window, as fine as upstream has it (`errors`).

        Where there is one a batch only, ConfigError unless all steps weigh the same, or nothing.
        """
        action = self.encode(batch.action, batch.observe)
        before = action[:, :1].expand(-1, self.lead, -1)
        padded = ~batch.valid | (batch.weight <= 0.0)
        given = self._given(batch.observe)
        given[ACTION] = torch.cat([before, action], dim=1)
        given[PADDED] = torch.cat([torch.ones_like(padded[:, :1]).expand(-1, self.lead), padded], dim=1)
        wrong = errors(self.upstream, self._before(given))
        if wrong.ndim == 2:
            first = wrong[:, : self.lead + 1].sum(dim=1, keepdim=True)
            return torch.cat([first, wrong[:, self.lead + 1 :]], dim=1)
        if wrong.ndim == 0 and len(batch.weight[~padded].unique()) > 1:
            raise ConfigError(
                f"LeRobot's {self.config.type} has one loss a batch, no step can weigh more: weights=uniform"
            )
        return wrong[..., None].expand(batch.valid.shape)

    def act(
        self, history: dict[str, Tensor], steps: int | None = None, generators: Sequence[Generator] | None = None
    ) -> Tensor:
        """Upstream's chunk, from now on."""
        for owner, name, usual in self._steps:
            setattr(owner, name, steps or usual)
        self.upstream.reset()
        given = self._before(self._given(history))
        first = next(value for value in given.values() if isinstance(value, Tensor))
        chunk = self._after(
            self.upstream.predict_action_chunk(given, **self._noise(len(first), generators, first.device))
        )
        return self.decode(chunk, history)

    def _settings(self, kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What our interface says, in upstream's words, below what was asked for."""
        window, known = self.window, settings_of(kind)
        ours: dict[str, Any] = {
            "n_obs_steps": window.history,
            "horizon": window.horizon + window.history - 1,
            "chunk_size": window.horizon,
        }
        told = {**{name: value for name, value in ours.items() if name in known}, **settings}
        if "n_action_steps" in known:
            told["n_action_steps"] = window.horizon  # all that it can propose
        if not self.trained_there:
            rows = observed(self, blank(self), self.layout, raw=False)
            told["normalization_mapping"] = dict.fromkeys(("STATE", "ENV", "ACTION", "VISUAL"), "IDENTITY")
            told["input_features"] = {key: feature(key, value.shape[2:]) for key, value in rows.items()}
            told["output_features"] = {ACTION: feature(ACTION, (self.targets.size,))}
        return told

    def _fit_together(self) -> None:
        """Call pictures as upstream's policy does, and raise ConfigError unless it takes what we give."""
        cameras = iter(self.config.image_features)
        self.layout = {next(cameras, key) if key.startswith(IMAGES) else key: of for key, of in self.layout.items()}
        rows = observed(self, blank(self), self.layout, self.trained_there)
        given = {key: tuple(value.shape[2:]) for key, value in rows.items()} | {ACTION: (self.targets.size,)}
        features = {**self.config.input_features, **self.config.output_features}
        if (wanted := {key: tuple(one.shape) for key, one in features.items()}) != given:
            raise ConfigError(
                f"this {self.config.type} of LeRobot's wants {wanted}, policy.observe and act make {given}"
            )
        ahead = self.config.action_delta_indices[-1] + 1
        if ahead != self.window.horizon:
            raise ConfigError(
                f"LeRobot's {self.config.type} proposes {ahead} waypoints: set policy.window.horizon={ahead}"
            )

    def _given(self, history: Mapping[str, Tensor]) -> dict[str, Any]:
        """A batch for upstream's processors: with a history, or the last row alone, as the policy wants it."""
        rows = observed(self, history, self.layout, self.trained_there)
        count = len(next(iter(rows.values())))
        if self.config.observation_delta_indices is None:
            rows = {key: value[:, -1] for key, value in rows.items()}
        return {**rows, "task": [self.words] * count}

    def _noise(self, count: int, generators: Sequence[Generator] | None, device: torch.device) -> dict[str, Tensor]:
        """As `draw`, in upstream's shape; empty for a policy that takes none."""
        if "noise" not in inspect.signature(self.upstream.predict_action_chunk).parameters:
            return {}
        shape = (self.lead + self.window.horizon, getattr(self.config, "max_action_dim", self.targets.size))
        each = generators if generators is not None else [None] * count
        return {"noise": torch.stack([torch.randn(shape, generator=generator) for generator in each]).to(device)}

    def _samplers(self) -> list[tuple[Any, str, int]]:
        """Where upstream keeps how many steps its sampler makes, under what name, and how many its config says."""
        owners = (self.config, getattr(self.upstream, "diffusion", None))
        return [(owner, name, getattr(owner, name)) for owner in owners for name in STEPS if hasattr(owner, name)]
