"""The one way from what was seen to a chunk: evaluation, deployment and the latency in the card call a policy so.

A network of thousands of small operations spends more time in Python than in arithmetic when it works on one sample, as
it does in flight. There it becomes one graph: frozen on a CPU (half the time of the U-Net), compiled around CUDA graphs
on a GPU. What a graph answers is compared with the network when it is made; one that differs, or that cannot be made,
is left out with a warning, and the network is called as it is.
"""

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from policies import Policy
from policies.samplers import one_of

log = logging.getLogger(__name__)

WARM_UP = 4
"""Calls until a fresh graph is as fast as it gets: a frozen one optimises itself on its second."""
TIMED = 30
"""Calls that a latency is measured with."""
AGREES = 1e-3
"""Largest difference between a graph and its network, whose numbers lie about [-1, 1]."""


class OneGraph(nn.Module):
    """`net`; as one graph when it is asked for a single sample."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self._graphs: dict[tuple[torch.Size, ...], nn.Module] = {}

    def forward(self, *inputs: Tensor) -> Any:
        """As `net`."""
        if len(inputs[0]) != 1:
            return self.net(*inputs)
        shapes = tuple(value.shape for value in inputs)
        if shapes not in self._graphs:
            self._graphs[shapes] = _graph(self.net, inputs)
        return self._graphs[shapes](*inputs)


class Inference:
    """A policy on a device, ready to act. precision: of the network's products, float32, or bfloat16 where the device
    has it, which goes without a graph. graph: whether single samples are worth the time that making one takes."""

    def __init__(
        self, policy: Policy, device: torch.device | str, precision: str = "float32", graph: bool = True
    ) -> None:
        self.policy = policy.to(device).eval()
        self.device = torch.device(device)
        self.precision = one_of("precision", precision, ("float32", "bfloat16"))
        if graph and precision == "float32" and isinstance(getattr(policy, "net", None), nn.Module):
            policy.net = OneGraph(policy.net)

    def __call__(
        self, observed: Mapping[str, Tensor], steps: int | None = None, generators: Sequence[Generator] | None = None
    ) -> Tensor:
        """Chunks in physical units (B, horizon, width), from what was seen, name -> (B, history, *shape); on CPU."""
        half = self.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            there = {name: value.to(self.device, non_blocking=True) for name, value in observed.items()}
            return self.policy.act(there, steps, generators).float().cpu()

    def latency(self, observed: Mapping[str, Tensor], steps: int | None = None) -> dict[str, float]:
        """Of one chunk, from numbers on the CPU to numbers on the CPU: median and 99th percentile [s]."""
        generators = [Generator().manual_seed(0)]
        taken = []
        for _ in range(WARM_UP + TIMED):
            began = time.perf_counter()
            self(observed, steps, generators)
            taken.append(time.perf_counter() - began)
        median, late = np.percentile(taken[WARM_UP:], (50, 99))
        return {"p50": float(median), "p99": float(late)}


def _graph(net: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    """`net` for inputs of these shapes, faster; or `net`."""
    try:
        made = _compiled(net) if inputs[0].is_cuda else _frozen(net, inputs)
        if torch.allclose(made(*inputs), net(*inputs), rtol=AGREES, atol=AGREES):
            return made
        reason = "it answers otherwise than its graph"
    except Exception as error:  # whatever the tracer cannot read, or the compiler cannot build on this machine
        reason = str(error).partition("\n")[0]
    log.warning("%s is called as it is, slower than as one graph: %s", type(net).__name__, reason)
    return net


def _compiled(net: nn.Module) -> Any:
    return torch.compile(net, mode="max-autotune")


def _frozen(net: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that it takes as given: they are
        made = torch.jit.freeze(torch.jit.trace(net, inputs, check_trace=False))
        return torch.jit.optimize_for_inference(made)
