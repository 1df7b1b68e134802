"""One line of a benchmark's table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCALES = dict.fromkeys(("", "x", "/s", "dB"), 1.0) | {"us": 1e6, "ms": 1e3, "s": 1.0, "%": 100.0}
SCALES |= {"kB": 1e-3, "MB": 1e-6, "MB/min": 60e-6}
"""Unit -> what a value in SI units, bytes or bytes a second is multiplied with."""


@dataclass(frozen=True)
class Figure:
    """What was measured. values: name -> value in SI units. unit: to show them in. target, met: of the first value."""

    what: str
    values: dict[str, float]
    unit: str
    target: str = ""
    met: bool | None = None

    def __post_init__(self) -> None:
        """Plain numbers, whoever computed them: numpy's are not written as JSON, and its False is not False."""
        object.__setattr__(self, "values", {name: float(value) for name, value in self.values.items()})
        object.__setattr__(self, "met", None if self.met is None else bool(self.met))

    def __str__(self) -> str:
        scaled = {name: value * SCALES[self.unit] for name, value in self.values.items()}
        words = ", ".join(f"{name} {_rounded(value)}".strip() for name, value in scaled.items())
        return f"{words} {self.unit}".rstrip()


def distribution(what: str, samples: Sequence[float], unit: str, limit: float | None = None) -> Figure:
    """Median, 99 % and maximum of samples [s]; `limit` is what the median should not exceed [s]."""
    p50, p99 = np.percentile(samples, [50, 99])
    values = {"p50": float(p50), "p99": float(p99), "max": float(np.max(samples))}
    return Figure(what, values, unit, *_target(float(p50), limit, unit))


def duration(what: str, seconds: float, unit: str, limit: float | None = None) -> Figure:
    """One time; infinite if it never came [s]."""
    return Figure(what, {"after": seconds}, unit, *_target(seconds, limit, unit))


def count(what: str, number: float, limit: float | None = None) -> Figure:
    """A number of things."""
    return Figure(what, {"": float(number)}, "", *_target(float(number), limit, ""))


def _rounded(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _target(value: float, limit: float | None, unit: str) -> tuple[str, bool | None]:
    if limit is None:
        return "", None
    return f"<= {limit * SCALES[unit]:.3g} {unit}".rstrip(), value <= limit
