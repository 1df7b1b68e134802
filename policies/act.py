"""Action chunking with transformers, ACT (Zhao et al. 2023, arXiv:2304.13705): a long chunk in one pass, given a style.

Each camera has an encoder of its own, trained from scratch (theirs: one for all, with weights from ImageNet). Steps
after the end count neither in the error nor in what it is divided by (theirs: in the latter).
"""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Generator, Tensor, nn

from policies import Batch, Interface, Policy
from policies.networks.act import ActNetwork
from policies.networks.style import StyleEncoder
from policies.networks.transformer import ChunkDecoder, TokenEncoder
from robot_stack.picture import IMAGE
from robot_stack.spec import Spec
from robot_stack.types import ConfigError

LATENTS = ("zero", "drawn")
"""The style when acting: the mean of all styles, or one drawn for each chunk."""


class Act(Policy):
    """style: numbers that say how a chunk is flown. beta: what they cost [1/nat]. latent: one of LATENTS. With the beta
    of ACT, 10, a style says next to nothing, and a chunk is the middle of all that were shown: where there are two ways
    to go, take `drawn` and a beta below 0.1.

    width: of a token. layers, decoder_layers: of the encoders, of the decoder. feedforward: width inside a layer.

    feature_weight: of the loss of HIT (HumanPlus, Fu et al. 2024, arXiv:2406.10454), 0.005 there: the tokens of a
    picture come out of the encoder as those of the picture at the chunk's end, so that the policy looks at pictures
    where the arm's own state would nearly do.
    """

    def __init__(
        self,
        spec: Spec,
        style: int = 32,
        beta: float = 10.0,
        latent: str = "zero",
        width: int = 128,
        layers: int = 3,
        decoder_layers: int = 1,
        heads: int = 4,
        feedforward: int = 512,
        dropout: float = 0.1,
        feature_weight: float = 0.0,
        **interface: Unpack[Interface],
    ) -> None:
        super().__init__(spec, **interface)
        if latent not in LATENTS:
            raise ConfigError(f"latent={latent!r}: choose one of {', '.join(LATENTS)}")
        if not self.observation.vector.size:
            raise ConfigError(
                f"ACT has a token for the numbers of a row; observe={list(self.observes)} has only pictures"
            )
        if feature_weight > 0.0 and not self.observation.encoders:
            raise ConfigError(f"feature_weight={feature_weight} compares pictures, and observe has none; set it to 0")
        self.style_size, self.latent, self.beta, self.feature_weight = style, latent, beta, feature_weight
        history, horizon, waypoint = self.window.history, self.window.horizon, self.targets.size
        row = self.row_size - self.observation.size + self.observation.vector.size  # numbers beside the pictures
        shape = (width, layers, heads, feedforward, dropout)
        self.style = StyleEncoder(row, waypoint, horizon, style, width, TokenEncoder(*shape))
        decoder = ChunkDecoder(horizon, width, decoder_layers, heads, dropout, feedforward=feedforward)
        self.net = ActNetwork(style, row, waypoint, history, self._headless(), TokenEncoder(*shape), decoder, width)
        if feature_weight > 0.0:
            self.future = tuple(IMAGE + camera for camera in self.observation.encoders)

    def loss(self, batch: Batch) -> Tensor:
        """Absolute error of each step, mean over the network's dimensions, and beside it what is paid once a chunk: for
        its style, and for the features that were not foreseen (B, horizon)."""
        wanted = self.encode(batch.action, batch.observe)
        rows = self._rows(batch.observe)
        style = self.style(rows[:, -1], wanted, batch.valid)
        memory = self.net.memory(style.draw(), rows, *self._maps(batch.observe))
        chunk = self.beta * style.divergence()
        if self.feature_weight > 0.0:
            chunk = chunk + self.feature_weight * self._unforeseen(memory, batch.observe)
        return (self.net.chunk(memory) - wanted).abs().mean(dim=-1) + chunk[:, None]

    def act(
        self, history: dict[str, Tensor], steps: int | None = None, generators: Sequence[Generator] | None = None
    ) -> Tensor:
        """The chunk of the mean style, for which nothing is drawn, or of one that is drawn."""
        rows = self._rows(history)
        if self.latent == "drawn":
            style = self.draw(rows, generators, (self.style_size,))
        else:
            style = rows.new_zeros(len(rows), self.style_size)
        return self.decode(self.net(style, rows, *self._maps(history)), history)

    def _rows(self, history: Mapping[str, Tensor]) -> Tensor:
        """Numbers of the rows, and what the policy is told to do (B, T, row)."""
        return self.with_goal(self.observation.numbers(history), history)

    def _unforeseen(self, memory: Tensor, observe: Mapping[str, Tensor]) -> Tensor:
        """Squared error of the features at the chunk's end, as the tokens of the newest pictures foresee them (B,).

        Without a gradient to the features that come, other than in HIT: the easiest to foresee are those that never
        change. They are also cut from the middle and in the light in which they were taken, for nobody foresees dice.
        """
        with torch.no_grad():
            coming = self.net.places(self._maps(observe, "future.", training=False))
        return (self.net.foreseen(memory) - coming).square().mean(dim=(1, 2))

    def _maps(self, observe: Mapping[str, Tensor], when: str = "", training: bool | None = None) -> list[Tensor]:
        """Features of each camera's pictures (B, T, h, w, 3) at their places (B, T, C, h', w')."""
        training = self.training if training is None else training
        maps = []
        for camera, encoder in self.observation.encoders.items():
            assert self.observation.images is not None
            pictures = observe[f"{when}{IMAGE}{camera}"]
            features = encoder(self.observation.images.prepared(pictures.flatten(0, 1), training))
            maps.append(features.unflatten(0, pictures.shape[:2]))
        return maps

    def _headless(self) -> list[torch.Size]:
        """Take the heads off the cameras' encoders, for all of a map is read here and not the few numbers that a head
        makes of it; shapes of the maps (C, h', w')."""
        shapes = []
        for encoder in self.observation.encoders.values():
            assert self.observation.images is not None
            encoder.head = nn.Identity()
            shapes.append(encoder(torch.zeros(1, 3, *self.observation.images.crop)).shape[1:])
        return shapes
