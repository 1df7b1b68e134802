"""Action chunking with transformers, ACT (Zhao et al. 2023, arXiv:2304.13705): a long chunk in one pass, given a style.

Sizes and losses are theirs; the transformer is ours, normalised before each block (theirs: after), with positions added
once (theirs: in each layer) and queries that are the waypoints' first tokens (theirs are zeros, over which the first
layer's self-attention has nothing to say). Each camera has an encoder of its own, trained from scratch (theirs: one for
all, with weights from ImageNet).
"""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Generator, Tensor, nn

from policies import Batch, Interface, Policy
from policies.networks.map_tokens import MapTokens
from policies.networks.style import StyleEncoder
from policies.networks.transformer import ChunkDecoder, TokenEncoder, learned_positions
from policies.observation import Images
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
        self.latent, self.beta, self.feature_weight = latent, beta, feature_weight
        history, horizon, size = self.window.history, self.window.horizon, self.targets.size
        row = self.row_size - self.observation.size + self.observation.vector.size  # numbers beside the pictures
        shape = (width, layers, heads, feedforward, dropout)
        self.style_encoder = StyleEncoder(row, size, horizon, style, width, TokenEncoder(*shape))
        self.style = nn.Linear(style, width)
        self.row = nn.Linear(row, width)
        self.positions = learned_positions(1 + history, width)
        self.maps = nn.ModuleDict()
        for camera, encoder in self.observation.encoders.items():
            encoder.head = nn.Identity()  # all of the map is read here, not the few numbers that a head makes of it
            features = encoder(torch.zeros(1, 3, *self._images.crop))
            self.maps[camera] = MapTokens(features.shape[1:], history, width)
        self.encoder = TokenEncoder(*shape)
        self.decoder = ChunkDecoder(horizon, width, decoder_layers, heads, dropout, feedforward=feedforward)
        self.out = nn.Linear(width, size)
        if feature_weight > 0.0:
            self.future = tuple(IMAGE + camera for camera in self.maps)

    def loss(self, batch: Batch) -> Tensor:
        """Absolute error of each step, mean over the network's dimensions, and beside it what is paid once a chunk: for
        its style, and for the features that were not foreseen (B, horizon)."""
        wanted = self.encode(batch.action, batch.observe)
        rows = self._rows(batch.observe)
        style = self.style_encoder(rows[:, -1], wanted, batch.valid)
        memory = self._memory(rows, batch.observe, style.draw())
        chunk = self.beta * style.divergence()
        if self.feature_weight > 0.0:
            chunk = chunk + self.feature_weight * self._unforeseen(memory, batch.observe)
        return (self.out(self.decoder(memory)) - wanted).abs().mean(dim=-1) + chunk[:, None]

    def act(
        self, history: dict[str, Tensor], steps: int | None = None, generators: Sequence[Generator] | None = None
    ) -> Tensor:
        """The chunk of the mean style, for which nothing is drawn, or of one that is drawn."""
        rows = self._rows(history)
        if self.latent == "drawn":
            style = self.draw(rows, generators, (self.style.in_features,))
        else:
            style = rows.new_zeros(len(rows), self.style.in_features)
        return self.decode(self.out(self.decoder(self._memory(rows, history, style))), history)

    def _rows(self, history: Mapping[str, Tensor]) -> Tensor:
        """Numbers of the rows, and what the policy is told to do (B, T, row)."""
        return self.with_goal(self.observation.numbers(history), history)

    def _memory(self, rows: Tensor, history: Mapping[str, Tensor], style: Tensor) -> Tensor:
        """What waypoints read: a token of the style, one a row, and each camera's one a place and row (B, M, width)."""
        tokens = [torch.cat([self.style(style)[:, None], self.row(rows)], dim=1) + self.positions]
        for camera, maps in self.maps.items():
            tokens.append(maps(self._features(camera, history[IMAGE + camera], self.training)))
        return self.encoder(torch.cat(tokens, dim=1))

    def _unforeseen(self, memory: Tensor, observe: Mapping[str, Tensor]) -> Tensor:
        """Squared error of the features at the chunk's end, as the tokens of the newest pictures foresee them (B,).

        Without a gradient to the features that come, other than in HIT: the easiest to foresee are those that never
        change. They are also cut from the middle and in the light in which they were taken, for nobody foresees dice.
        """
        pictures = memory[:, len(self.positions) :].unflatten(1, (len(self.maps), self.window.history, -1))
        with torch.no_grad():
            coming = [
                maps.tokens(self._features(camera, observe[f"future.{IMAGE}{camera}"], training=False))
                for camera, maps in self.maps.items()
            ]  # (B, 1, P, width) each
        return (pictures[:, :, -1] - torch.cat(coming, dim=1)).square().mean(dim=(1, 2, 3))

    def _features(self, camera: str, pictures: Tensor, training: bool) -> Tensor:
        """Pictures (B, T, h, w, 3) as bytes -> maps of features (B, T, C, h', w')."""
        features = self.observation.encoders[camera](self._images.prepared(pictures.flatten(0, 1), training))
        return features.unflatten(0, pictures.shape[:2])

    @property
    def _images(self) -> Images:
        """How pictures are read; asked for only where there are some."""
        assert self.observation.images is not None
        return self.observation.images
