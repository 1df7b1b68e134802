"""What the measured times of an episode say: rates, ages, gaps and repeats."""

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Spec
from robot_stack.types import Array

SUFFIX = ".time"


def streams(spec: Spec) -> dict[str, str]:
    """Stream name -> the field with its measured capture time: 'image.front' -> 'image.front.time'."""
    return {field.name.removesuffix(SUFFIX): field.name for field in spec if field.name.endswith(SUFFIX)}


def missing(time: Array, rate: float) -> NDArray[np.int64]:
    """Rows missing before each step (T - 1,), for rows that should come `rate` times a second."""
    return np.maximum(0, np.rint(np.diff(time) * rate).astype(np.int64) - 1)


def measured_rate(time: Array) -> float:
    """Distinct times a second, by the median interval [Hz]; NaN for less than two of them."""
    intervals = np.diff(np.unique(time))
    return float(1.0 / np.median(intervals)) if len(intervals) else float("nan")


def repeats(stream_time: Array) -> NDArray[np.bool_]:
    """Rows (T,) whose measurement is the very one of the row before."""
    return np.concatenate([[False], np.diff(stream_time) == 0.0])


def stream_figures(columns: list[str], head: Array) -> dict[str, float | int]:
    """Counts of a raw stream for its episode's attributes, from its first columns (N, 2+), the first of them `time`.

    rate: by the median interval [Hz]. longest_gap [s]. drops: messages that the source numbered (a second column
    `sequence`) and nobody got. repeats: messages with the time of the one before. backwards: times that run backwards.
    """
    time = np.asarray(head[:, 0], float)
    intervals = np.diff(time)
    figures: dict[str, float | int] = {
        "count": len(time),
        "rate": round(measured_rate(time), 3) if len(np.unique(time)) > 1 else 0.0,
        "longest_gap": round(float(intervals.max(initial=0.0)), 6),
        "repeats": int((intervals == 0.0).sum()),
        "backwards": int((intervals < 0.0).sum()),
    }
    if columns[1:2] == ["sequence"]:
        figures["drops"] = int(np.maximum(0, np.diff(np.unique(head[:, 1])) - 1).sum())
    return figures


def skew(times: list[Array]) -> Array:
    """How far apart the measurements in each row are: newest minus oldest stream (T,) [s]."""
    return np.asarray(np.ptp(np.stack(times), axis=0))
