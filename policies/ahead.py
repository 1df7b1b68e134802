"""Pictures that lie outside the device: threads read those of the next batch while this one is learned from.

On a GPU they are read into pinned memory, whose copy to the device needs no processor, on a stream of its own: neither
the trainer nor the GPU waits for it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

THREADS = 8
"""That read at once: as many as keep a disk busy. They wait or copy, and hold the interpreter for little of it."""

EXPECTED = 64
"""Batches, or parts of them, that may be expected at once; the oldest are forgotten: nobody took them."""

Fill = Callable[[NDArray[np.int64], NDArray[Any]], None]
"""Reads the rows (B, n) of all episodes into an array (B, n, *shape); called by several threads at once."""


class Arrived:
    """Rows on the device, whole when `copied` has happened there."""

    def __init__(self, rows: Tensor, copied: torch.cuda.Event | None) -> None:
        self._rows, self._copied = rows, copied

    def take(self) -> Tensor:
        """The rows, for what is queued on the current stream from now on."""
        if self._copied is not None:
            current = torch.cuda.current_stream(self._rows.device)
            current.wait_event(self._copied)
            self._rows.record_stream(current)
        return self._rows


class Ahead:
    """Rows of one field that `fill` reads. shape: of a row. dtype: of its numbers. device: where they are wanted."""

    def __init__(self, fill: Fill, shape: Sequence[int], device: torch.device | str, dtype: torch.dtype = torch.uint8):
        self._fill = fill
        self._shape = tuple(shape)
        self._dtype = dtype
        self._device = torch.device(device)
        self._coming: dict[bytes, Future[Arrived]] = {}

    def expect(self, rows: Tensor) -> None:
        """The rows (B, n), on the CPU, are wanted soon: they begin to come."""
        key = _key(rows)
        if key not in self._coming:
            self._coming[key] = self._begin(rows)
        while len(self._coming) > EXPECTED:
            del self._coming[next(iter(self._coming))]

    def __call__(self, rows: Tensor) -> Tensor:
        """The rows (B, n), on the CPU, as (B, n, *shape) on the device; at once where they were expected in time."""
        coming = self._coming.pop(_key(rows), None) or self._begin(rows)
        return coming.result().take()

    def _begin(self, rows: Tensor) -> Future[Arrived]:
        on_gpu = self._device.type == "cuda"
        out = torch.empty((*rows.shape, *self._shape), dtype=self._dtype, pin_memory=on_gpu)
        cuts = np.linspace(0, len(rows), min(THREADS, max(1, len(rows))) + 1).astype(int)
        numbers, places = rows.numpy(), out.numpy()
        parts = [
            _readers().submit(self._fill, numbers[start:stop], places[start:stop]) for start, stop in pairwise(cuts)
        ]
        return _copier().submit(self._arrive, parts, out)

    def _arrive(self, parts: Sequence[Future[None]], out: Tensor) -> Arrived:
        for part in parts:
            part.result()
        if self._device.type != "cuda":
            return Arrived(out, None)
        stream = _copying(self._device)
        with torch.cuda.stream(stream):
            rows = out.to(self._device, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(stream)
        return Arrived(rows, copied)


def _key(rows: Tensor) -> bytes:
    return bytes(rows.numpy().tobytes())


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "reader")


@cache
def _copier() -> ThreadPoolExecutor:
    """One thread that waits for the readers: they must not wait for each other."""
    return ThreadPoolExecutor(1, "copier")


@cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
