"""One pass over a store for its report: of each episode the few numbers and pictures that the report shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from robot_stack.interventions import labels
from robot_stack.quality.finding import Finding
from robot_stack.quality.motion import has_motion, motion
from robot_stack.spec import Spec
from robot_stack.store import Episode
from robot_stack.store.arrays import is_frame
from robot_stack.store.check import check_episode
from robot_stack.types import Array, Image

SHEET = 8
"""Episodes on the contact sheet."""

PATH_POINTS = 60
"""Points kept of each path."""

_WIDTH = 240  # of a picture on the contact sheet [px]
_SCENE = ("block", "pose", "agent")  # where it began, when no object is known


@dataclass(frozen=True)
class Glance:
    """What the report keeps of one episode.

    seconds: duration [s]. path: seen from above (n, 2) [unit], empty where nothing of that is known. start: of the
    object, else of the robot (2,). labels: (T,), see interventions.py. frames: first, middle, last picture, for some.
    """

    id: str
    attrs: dict[str, Any]
    seconds: float
    unit: str
    path: Array
    start: Array | None
    labels: NDArray[np.uint8]
    findings: list[Finding]
    frames: list[Image] = field(default_factory=list)


def survey(episodes: Sequence[Episode], progress: Callable[[int], None] = lambda done: None) -> list[Glance]:
    """Look at every episode, check it whole, and keep little. progress: called with how many were read."""
    chosen = set(np.linspace(0, len(episodes) - 1, min(SHEET, len(episodes))).round().astype(int).tolist())
    found = []
    for number, episode in enumerate(episodes):
        found.append(glance(episode, with_frames=number in chosen))
        progress(number + 1)
    return found


def glance(episode: Episode, with_frames: bool) -> Glance:
    """One episode; where it cannot be read, its findings say so and the rest is empty."""
    findings = check_episode(episode)
    broken = any(finding.severity == "error" and finding.step < 0 for finding in findings)
    unit, path = ("", np.zeros((0, 2))) if broken else _path(episode)
    return Glance(
        id=episode.id,
        attrs=episode.attrs,
        seconds=len(episode) / float(episode.attrs["rate"]),
        unit=unit,
        path=path,
        start=None if broken else _start(episode),
        labels=np.zeros(0, np.uint8) if broken else _labels(episode),
        findings=findings,
        frames=_frames(episode) if with_frames and not broken else [],
    )


def start_field(spec: Spec) -> str | None:
    """The field that says where things stood: of the first known object, else of the robot."""
    objects = [name for name in spec.fields if name.startswith("objects.") and name != "objects.time"]
    return next((name for name in [*objects, *_SCENE] if name in spec), None)


def camera(spec: Spec) -> str | None:
    """The first colour camera."""
    return next((f.name for f in spec if is_frame(f) and f.dtype == "|u1" and f.shape[2:] == (3,)), None)


def _path(episode: Episode) -> tuple[str, Array]:
    if not has_motion(episode.spec):
        return "", np.zeros((0, 2))
    moved = motion(episode)
    if moved.unit not in ("m", "px"):
        return "", np.zeros((0, 2))
    rows = np.linspace(0, len(moved.positions) - 1, min(PATH_POINTS, len(moved.positions))).round().astype(int)
    return moved.unit, moved.positions[rows, :2]


def _start(episode: Episode) -> Array | None:
    name = start_field(episode.spec)
    return None if name is None else np.asarray(episode.read(name, 0, 1)[0, :2], float)


def _labels(episode: Episode) -> NDArray[np.uint8]:
    if "source" not in episode.spec:
        return np.zeros(0, np.uint8)
    return labels(episode["source"], float(episode.attrs["rate"]), episode.attrs["kind"])


def _frames(episode: Episode) -> list[Image]:
    name = camera(episode.spec)
    if name is None:
        return []
    rows = (0, len(episode) // 2, len(episode) - 1)
    return [_small(episode.read(name, row, row + 1)[0]) for row in rows]


def _small(image: Image) -> Image:
    height, width = image.shape[:2]
    if width <= _WIDTH:
        return image
    return np.asarray(cv2.resize(image, (_WIDTH, round(height * _WIDTH / width)), interpolation=cv2.INTER_AREA))
