"""Segments of a demonstration that the others do not have: the operator wiped his brow, or lost his way.

After Zheng et al., Extraneousness-Aware Imitation Learning (EIL), ICRA 2023: demonstrations of one task are aligned,
each votes for the frames of the others that it can explain, and what no majority explains is extraneous. EIL aligns
learned embeddings of pictures by pointers; here a frame is the robot's own state, its gripper and its action, and the
alignment is the longest one in order: as many frames of A as possible are matched by frames of B that never go back,

    S[a, b] = max over b' <= b of  S[a - 1, b'] + (|A[a] - B[b']| <= radius)

so a slow B explains a fast A and the other way round. Order is what finds a detour that most demonstrations make at
some time: few make it at the same point of the task. A detour that all make at the same point is the task, as far as
anybody can tell from the data, and is not found. Demonstrations that differ as a whole (other starts, other ways)
cannot be aligned: of clean kinesthetic demonstrations of real tasks a third to a half of all frames has no majority.
So what is extraneous must be the exception: unless ALIGNED of all frames find a majority, nothing is proposed.

A segment is a proposal to trim. Nothing is trimmed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_stack.quality.demonstrations import Demonstration
from robot_stack.quality.motion import stretches
from robot_stack.types import Array

FRAMES = 60
"""Frames of each demonstration that are aligned, evenly in time."""

VOTERS = 30
"""Other demonstrations that vote on one."""

MAJORITY = 0.5
"""Share of votes below which a frame is extraneous."""

ALIGNED = 0.8
"""Share of all frames that must find a majority for the others to be proposed."""

SHORTEST = 3
"""Frames: shorter segments are chance."""

_SPACING = 3.0  # the radius in median distances of a frame to the nearest in another demonstration
_WIDEST = 0.5  # largest radius [standard deviations]: beyond it everything is like everything
_MOST_ROWS = 20_000  # frames that the radius is taken from


@dataclass(frozen=True)
class Segment:
    """Rows start..stop of an episode; support: the mean share of other demonstrations that explain them."""

    start: int
    stop: int
    support: float


@dataclass(frozen=True)
class Alignment:
    """aligned: share of all frames that a majority explains; segments of each demonstration, none if too few align."""

    aligned: float
    segments: list[list[Segment]]


def extraneous(demonstrations: Sequence[Demonstration], seed: int = 0) -> Alignment:
    """Segments of each of `normalized` demonstrations of one task that a majority of the others does not explain."""
    if len(demonstrations) < 3:
        return Alignment(float("nan"), [[] for _ in demonstrations])
    rng = np.random.default_rng(seed)
    frames = np.stack([_frames(d) for d in demonstrations])
    voters = [_voters(number, len(frames), rng) for number in range(len(frames))]
    distances = [_distances(frames[number], frames[others]) for number, others in enumerate(voters)]
    nearest = np.concatenate([d.min(axis=2).ravel()[:: max(1, len(frames) * FRAMES // _MOST_ROWS)] for d in distances])
    radius = min(_WIDEST, _SPACING * float(np.median(nearest)))
    support = np.stack([_explained(d <= radius).mean(axis=0) for d in distances])
    aligned = float((support >= MAJORITY).mean())
    if aligned < ALIGNED:
        return Alignment(aligned, [[] for _ in demonstrations])
    return Alignment(aligned, [_segments(s, d.rows) for s, d in zip(support, demonstrations, strict=True)])


def _frames(demonstration: Demonstration) -> Array:
    """Own state and action at FRAMES rows evenly in time (FRAMES, d), root mean square lengths."""
    rows = np.linspace(0, len(demonstration) - 1, FRAMES).round().astype(int)
    values = np.concatenate([demonstration.states[rows, : demonstration.body], demonstration.actions[rows]], axis=1)
    return np.asarray(values / np.sqrt(values.shape[1]))


def _voters(number: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which others vote on a demonstration: all, or VOTERS drawn at random."""
    others = np.delete(np.arange(count), number)
    return others if len(others) <= VOTERS else rng.choice(others, VOTERS, replace=False)


def _distances(frames: Array, others: Array) -> Array:
    """Distance of each frame to each frame of each other (voters, FRAMES, FRAMES)."""
    squares = (frames**2).sum(axis=1)[:, None] + (others**2).sum(axis=2)[:, None, :]
    return np.asarray(np.sqrt(np.maximum(0.0, squares - 2.0 * np.einsum("ad,vbd->vab", frames, others))))


def _explained(matches: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which frames (voters, A) the longest alignment in order matches, from what could match (voters, A, B)."""
    voters, length, _ = matches.shape
    gained = np.empty(matches.shape, np.int32)  # best total when frame a takes frame b
    best: NDArray[np.int32] = np.zeros((voters, matches.shape[2]), np.int32)
    for a in range(length):
        gained[:, a] = best + matches[:, a]
        best = np.maximum.accumulate(gained[:, a], axis=1)
    explained = np.empty((voters, length), bool)
    end = np.full(voters, matches.shape[2] - 1)
    columns = np.arange(matches.shape[2])
    everyone = np.arange(voters)
    for a in range(length - 1, -1, -1):
        reachable = np.where(columns <= end[:, None], gained[:, a], -1)
        end = reachable.argmax(axis=1)
        explained[:, a] = matches[everyone, a, end]
    return explained


def _segments(support: Array, rows: NDArray[np.int64]) -> list[Segment]:
    """Stretches of frames (FRAMES,) without a majority, as rows of the episode, of which the demonstration has some."""
    centres = np.linspace(0, len(rows) - 1, FRAMES)
    edges = np.concatenate([[0], (centres[1:] + centres[:-1]) / 2, [len(rows)]]).round().astype(int)
    return [
        Segment(int(rows[edges[start]]), int(rows[edges[stop] - 1]) + 1, float(support[start:stop].mean()))
        for start, stop in stretches(support < MAJORITY, SHORTEST)
    ]
