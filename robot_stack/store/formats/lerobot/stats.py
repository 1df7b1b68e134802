"""Statistics of an episode and of a data set as LeRobot computes them, to the digit: its policies normalise by them.

Source: lerobot 0.6.1, `lerobot/datasets/compute_stats.py`. Quantiles come from a histogram of 5,000 bins; those of a
data set are the episodes' means weighted by their length, so approximate, and tests hold them against LeRobot's own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
_BINS = 5000
_LARGE, _TARGET = 300, 150  # pictures with a side of so many pixels are thinned to about so many
_FEWEST, _MOST, _POWER = 100, 10_000, 0.75  # pictures of an episode that are looked at

Stats = dict[str, NDArray[Any]]


def of_numbers(values: NDArray[Any]) -> Stats:
    """Statistics over the rows of a feature (T, *shape): each (shape[-1],), of a single number (1,).

    Values that are not finite are left out, which LeRobot does not do: it fails on them.
    """
    flat = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    flat = flat.astype(np.result_type(flat.dtype, np.float32), copy=False)
    finite = np.isfinite(flat)
    if finite.all():
        stats = _of_finite(flat)
    else:
        kept = [
            _of_finite(column[good, None] if good.any() else np.zeros((1, 1), flat.dtype))
            for column, good in zip(flat.T, finite.T, strict=True)
        ]
        stats = {name: np.concatenate([one[name] for one in kept]) for name in kept[0]}
    return {**stats, "count": np.array([len(values)])}


def of_pictures(pictures: NDArray[Any]) -> Stats:
    """Statistics of sampled pictures (n, height, width, channels) an channel: (channels, 1, 1), colours in 0..1."""
    scale = 255.0 if pictures.dtype == np.uint8 else 1.0
    stats = of_numbers(pictures.reshape(-1, pictures.shape[-1]))
    scaled = {name: value.reshape(-1, 1, 1) / scale for name, value in stats.items() if name != "count"}
    return {**scaled, "count": np.array([len(pictures)])}


def sampled(rows: int) -> NDArray[np.int64]:
    """Which of an episode's pictures are looked at."""
    count = max(min(rows, _FEWEST), min(int(rows**_POWER), _MOST))
    return np.round(np.linspace(0, rows - 1, count)).astype(np.int64)


def thinned(picture: NDArray[Any]) -> NDArray[Any]:
    """A picture (height, width, ...) with fewer pixels when it is large."""
    height, width = picture.shape[:2]
    if max(width, height) < _LARGE:
        return picture
    step = int((width if width > height else height) / _TARGET)
    return picture[::step, ::step]


def together(episodes: list[Stats]) -> Stats:
    """Statistics of a feature over many episodes."""
    counts = np.stack([stats["count"] for stats in episodes])
    total = counts.sum(axis=0)
    weights = counts.reshape(len(counts), *[1] * (episodes[0]["mean"].ndim)) / total
    means = np.stack([stats["mean"] for stats in episodes])
    mean = (means * weights).sum(axis=0)
    spread = np.stack([stats["std"] for stats in episodes]) ** 2 + (means - mean) ** 2
    found = {
        "min": np.min([stats["min"] for stats in episodes], axis=0),
        "max": np.max([stats["max"] for stats in episodes], axis=0),
        "mean": mean,
        "std": np.sqrt((spread * weights).sum(axis=0)),
        "count": total,
    }
    quantiles = [name for name in episodes[0] if name not in found]
    return found | {q: (np.stack([stats[q] for stats in episodes]) * weights).sum(axis=0) for q in quantiles}


def _of_finite(values: NDArray[Any]) -> Stats:
    """Statistics of each column of (n, columns)."""
    mean, low, high = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
    found = {"min": low, "max": high, "mean": mean}
    if len(values) < 2:
        return found | {"std": values.std(axis=0)} | {_name(q): mean.copy() for q in QUANTILES}
    found["std"] = np.sqrt(np.maximum(0, (values**2).mean(axis=0) - mean**2))
    edges = [np.linspace(first - 1e-10, last + 1e-10, _BINS + 1) for first, last in zip(low, high, strict=True)]
    histograms = [np.histogram(column, bins=bins)[0] for column, bins in zip(values.T, edges, strict=True)]
    for q in QUANTILES:
        found[_name(q)] = np.array([_quantile(*one, q * len(values)) for one in zip(histograms, edges, strict=True)])
    return found


def _quantile(histogram: NDArray[Any], edges: NDArray[Any], target: float) -> Any:
    """The value below which `target` of the values are, by linear interpolation in its bin."""
    below = np.cumsum(histogram)
    bin_ = int(np.searchsorted(below, target))
    if bin_ in (0, len(below)):
        return edges[bin_]
    inside = below[bin_] - below[bin_ - 1]
    return edges[bin_] + (target - below[bin_ - 1]) / inside * (edges[bin_ + 1] - edges[bin_])


def _name(quantile: float) -> str:
    return f"q{int(quantile * 100):02d}"
