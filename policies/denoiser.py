"""What policies that denoise a chunk share: sampler and steps that may change between calls, guidance, limits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Unpack

import torch
from torch import Generator, Tensor, nn

from policies import Interface, Policy
from policies.samplers import OF_DENOISERS, SAMPLERS, one_of
from robot_stack.spec import Spec
from robot_stack.types import ConfigError

Net = Callable[[int, int, int], nn.Module]
"""Makes a network from (horizon, size, condition): (chunk (B, H, D), level (B,), condition (B, C)) -> (B, H, D)."""


@dataclass(frozen=True)
class Plan:
    """Of a sampler. sigmas: noise levels from the largest to zero, one more than steps. told: what the network is told
    of each but the last. start: standard deviation of the noise from which it starts."""

    sigmas: tuple[float, ...]
    told: tuple[float, ...]
    start: float


class Denoiser(Policy):
    """Base of diffusion, scores and flows: they differ in `loss`, `plan` and `estimate`.

    net: see `Net`. sampler: one of `samplers`; steps: of it, unless told at call. guidance: how far to go from what it
    would do untold towards what it is told, 1 as told, more exaggerates (Ho and Salimans 2022, arXiv:2207.12598).
    All three may be set between two calls.
    """

    samplers: tuple[str, ...] = OF_DENOISERS

    def __init__(
        self,
        spec: Spec,
        net: Net,
        sampler: str = "ddim",
        steps: int = 10,
        guidance: float = 1.0,
        **interface: Unpack[Interface],
    ) -> None:
        super().__init__(spec, **interface)
        self.net = net(self.window.horizon, self.targets.size, self.condition_size)
        self.sampler = sampler
        self.steps = steps
        self.guidance = guidance

    @property
    def sampler(self) -> str:
        """Name of the sampler."""
        return self._sampler

    @sampler.setter
    def sampler(self, name: str) -> None:
        self._sampler = one_of("sampler", name, self.samplers)

    @property
    def guidance(self) -> float:
        """How far towards what it is told."""
        return self._guidance

    @guidance.setter
    def guidance(self, guidance: float) -> None:
        if guidance != 1.0 and self.conditioning is None:
            raise ConfigError(f"guidance={guidance}: this policy is told nothing; set conditioning=…, or guidance=1.0")
        self._guidance = guidance

    def plan(self, steps: int) -> Plan:
        """Noise levels of so many steps."""
        raise NotImplementedError

    def estimate(self, chunk: Tensor, sigma: Tensor | float, level: Tensor, condition: Tensor) -> Tensor:
        """The clean chunk (B, H, D), from one with noise. sigma: how much; level: as the network is told (B,)."""
        raise NotImplementedError

    def act(
        self, history: dict[str, Tensor], steps: int | None = None, generators: Sequence[Generator] | None = None
    ) -> Tensor:
        """A chunk drawn for each history."""
        chunk = self.sample(self.seen(history), lambda condition: self.draw(condition, generators), steps)
        return self.decode(chunk, history)

    def seen(self, history: dict[str, Tensor]) -> Tensor:
        """The condition as sampling wants it (N, B, C): N is 2 where guidance compares untold with told, else 1."""
        told = self.condition(history)
        if self.guidance == 1.0 or self.conditioning is None:
            return told[None]
        return torch.stack([self.condition(history, told=False), told])

    def sample(self, seen: Tensor, draw: Callable[[Tensor], Tensor], steps: int | None = None) -> Tensor:
        """Network numbers (B, H, D) drawn for conditions (N, B, C). draw: normal noise for conditions (B, C)."""
        plan = self.plan(steps or self.steps)
        told = on_device(seen.device, plan.told)

        def clean(chunk: Tensor, step: int) -> Tensor:
            return self.guided(chunk, plan.sigmas[step], told[step], seen)

        def noise() -> Tensor:
            return draw(seen[0]).float()  # an autocast encoder answers in half precision

        return SAMPLERS[self.sampler](clean, noise() * plan.start, plan.sigmas, noise)

    def guided(self, chunk: Tensor, sigma: Tensor | float, level: Tensor, seen: Tensor) -> Tensor:
        """The clean chunk within the limits of the data, untold and told in one batch.

        sigma: (B, 1, 1), or one for all. level: as the network is told, (B,) or () for all.
        """
        passes, count = seen.shape[:2]
        level = level.expand(count)
        if passes > 1:
            chunk, level = chunk.repeat(passes, 1, 1), level.repeat(passes)
            sigma = sigma.repeat(passes, 1, 1) if isinstance(sigma, Tensor) else sigma
        estimates = self.estimate(chunk, sigma, level, seen.flatten(0, 1))
        if passes > 1:
            estimates = torch.lerp(*estimates.chunk(2), self.guidance)
        return estimates.float().clamp(-1.0, 1.0)  # an autocast network answers in half precision


@lru_cache(maxsize=64)
def on_device(device: torch.device, numbers: tuple[float, ...]) -> Tensor:
    """Numbers of a plan, copied to a device once (N,)."""
    with torch.inference_mode(False):  # they may serve in training after
        return torch.tensor(numbers, device=device)
