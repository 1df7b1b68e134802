"""How a chunk is denoised, a step at a time: short functions over a list of noise levels.

They walk in one coordinate, chunk = clean + sigma * noise, whatever a network was trained in. There DDIM (Song et al.
2021, arXiv:2010.02502) is Euler's method and the ancestral sampler of DDPM (Ho et al. 2020, arXiv:2006.11239) is
Euler's with fresh noise (Karras et al. 2022, arXiv:2206.00364), so that each is written once for every policy.

clean: estimates the clean chunk, limits included, from (noisy chunk, number of the level). sigmas: levels of noise from
the largest to zero, one more than there are steps. draw: fresh normal noise of the chunk's shape.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from robot_stack.types import ConfigError

Clean = Callable[[Tensor, int], Tensor]
Draw = Callable[[], Tensor]
Sampler = Callable[[Clean, Tensor, Sequence[float], Draw], Tensor]


def ddim(clean: Clean, chunk: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    """Euler's method on the flow of probability: the noise shrinks along a straight line to the estimate."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        chunk = torch.lerp(clean(chunk, step), chunk, after / sigma)
    return chunk


def ddpm(clean: Clean, chunk: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    """Euler-ancestral: each step goes further down than the next level, and fresh noise brings it up again."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        fresh, down = ancestral(sigma, after)
        chunk = torch.lerp(clean(chunk, step), chunk, down / sigma)
        if fresh > 0.0:
            chunk = chunk + fresh * draw()
    return chunk


def ancestral(sigma: float, after: float) -> tuple[float, float]:
    """Of the level `after`: noise that is drawn anew, and the level below to which the step goes before."""
    fresh = after * math.sqrt(max(sigma**2 - after**2, 0.0)) / sigma
    return fresh, math.sqrt(max(after**2 - fresh**2, 0.0))


def heun(clean: Clean, chunk: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    """Second order by the slope at both ends of a step: two passes of the network a step, one in the last."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        estimate = clean(chunk, step)
        ahead = torch.lerp(estimate, chunk, after / sigma)
        if after > 0.0:
            slopes = (chunk - estimate) / sigma + (ahead - clean(ahead, step + 1)) / after
            ahead = chunk + (after - sigma) / 2.0 * slopes
        chunk = ahead
    return chunk


def dpm(clean: Clean, chunk: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    """DPM-Solver++ (2M): second order by the estimate of the step before (Lu et al. 2022, arXiv:2211.01095)."""
    before: Tensor | None = None
    width = 0.0  # of the step before, in the logarithm of sigma
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        estimate = clean(chunk, step)
        towards = estimate
        if after > 0.0:
            last, width = width, math.log(sigma / after)
            if before is not None:
                towards = torch.lerp(before, estimate, 1.0 + width / (2.0 * last))
        chunk = torch.lerp(towards, chunk, after / sigma)
        before = estimate
    return chunk


def jump(clean: Clean, chunk: Tensor, sigmas: Sequence[float], draw: Draw) -> Tensor:
    """For networks that know where the flow ends: all the way, and up again with fresh noise (Song et al. 2023,
    arXiv:2303.01469)."""
    for step, after in enumerate(sigmas[1:]):
        chunk = clean(chunk, step)
        if after > 0.0:
            chunk = chunk + after * draw()
    return chunk


SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "ddpm": ddpm, "heun": heun, "dpm++": dpm, "jump": jump}
OF_DENOISERS = ("ddim", "ddpm", "heun", "dpm++")
"""Samplers of networks that estimate the mean of all clean chunks that may be behind the noise."""


def exponential(low: float, high: float, steps: int) -> tuple[float, ...]:
    """Levels whose logarithms are evenly spaced, then zero."""
    return (*(high * (low / high) ** share for share in _shares(steps)), 0.0)


def linear(low: float, high: float, steps: int) -> tuple[float, ...]:
    """Evenly spaced levels, then zero."""
    return (*(high + (low - high) * share for share in _shares(steps)), 0.0)


def karras(low: float, high: float, steps: int) -> tuple[float, ...]:
    """Levels whose seventh roots are evenly spaced (Karras et al. 2022, eq. 5), then zero."""
    top, bottom = high ** (1 / 7), low ** (1 / 7)
    return (*((top + (bottom - top) * share) ** 7 for share in _shares(steps)), 0.0)


SCHEDULES = {"exponential": exponential, "linear": linear, "karras": karras}


def one_of(key: str, name: str, known: Sequence[str] | dict[str, object]) -> str:
    """`name`, which the config gives under `key`. Raises ConfigError with those there are."""
    if name not in known:
        raise ConfigError(f"{key}={name!r}: choose one of {', '.join(known)}")
    return name


def _shares(steps: int) -> list[float]:
    return [step / max(steps - 1, 1) for step in range(steps)]
