"""A short and honest summary of demonstrations: how long, how far, how smooth, how idle, from how many starts.

Jerk: log dimensionless jerk of Balasubramanian, Melendez-Calderon and Burdet, IEEE TBME 59(8), 2012:
-ln(duration^3 / peak speed^2 * integral of |jerk|^2); nearer to 0 is smoother; from differences of rows, so it compares
episodes of one rate. Coverage: Clark and Evans, Ecology 35(4), 1954: mean distance of the starts to their nearest
neighbour over 0.5 / sqrt(density), on their bounding box; 1 for starts drawn evenly at random, 0 for all the same.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from robot_stack.quality.motion import has_motion, motion
from robot_stack.store.episode import Episode
from robot_stack.types import Array

IDLE_SPEED = 0.02
"""Slower than this share of the episode's 95th percentile of speed is idle."""


@dataclass(frozen=True)
class EpisodeSummary:
    """duration [s], path length [unit of the motion: m, px or rad], log dimensionless jerk, share of idle rows."""

    episode: str
    verdict: str
    duration: float
    path_length: float
    jerk: float
    idle: float


@dataclass(frozen=True)
class Coverage:
    """How the starts are spread: the fields they are taken from, x-y extent (2,), and Clark and Evans' index."""

    field: str
    extent: tuple[float, float]
    index: float


def summarize(episode: Episode) -> EpisodeSummary:
    """Figures of one episode; NaN where its rows say nothing."""
    rate = episode.attrs["rate"]
    path, jerk, idle = _motion_figures(episode) if has_motion(episode.spec) else (np.nan,) * 3
    return EpisodeSummary(episode.id, episode.attrs["verdict"], len(episode) / rate, path, jerk, idle)


def coverage(episodes: list[Episode]) -> Coverage | None:
    """How the first rows of the episodes are spread in x and y: of the object, else the tool; None for one."""
    if len(episodes) < 2:
        return None
    objects = [name for name in episodes[0].spec.fields if name.startswith("objects.") and name != "objects.time"]
    field = next((name for name in [*objects, "block", "pose", "agent"] if name in episodes[0].spec), None)
    if field is None:
        return None
    starts = np.stack([episode.read(field, 0, 1)[0, :2] for episode in episodes])
    extent = np.ptp(starts, axis=0)
    return Coverage(field, (float(extent[0]), float(extent[1])), clark_evans(starts))


def clark_evans(points: Array) -> float:
    """Mean distance of points (n, 2) to their nearest neighbour over what even random points would have."""
    nearest = cKDTree(points).query(points, 2)[0][:, 1]
    expected = 0.5 * np.sqrt(np.prod(np.ptp(points, axis=0)) / len(points))
    return float(nearest.mean() / expected) if expected else 0.0


def log_dimensionless_jerk(positions: Array, rate: float) -> float:
    """Smoothness of a path (T, d) sampled at `rate` [Hz]; NaN when it does not move or is shorter than four rows."""
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=1) * rate
    if len(positions) < 4 or not speed.any():
        return float("nan")
    jerk = np.diff(positions, n=3, axis=0) * rate**3
    duration = (len(positions) - 1) / rate
    return float(-np.log(duration**3 / speed.max() ** 2 * np.sum(jerk**2) / rate))


def _motion_figures(episode: Episode) -> tuple[float, float, float]:
    moved = motion(episode)
    steps = moved.steps[1:]
    fast = np.percentile(steps, 95) if len(steps) else 0.0
    idle = float(np.mean(steps < IDLE_SPEED * fast)) if fast else 1.0
    return float(steps.sum()), log_dimensionless_jerk(moved.positions, moved.rate), idle
