"""A source made of numbers, and stores of any spec, for the tests of the importer and the exporters."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats import Stream

SPEC = Spec([Field("time", unit="s"), Field("q", (2,), unit="rad"), Field("image.top", (40, 40, 3), "u1")])


class Numbers:
    """Episodes whose values follow from their number; `damage` changes the rows of one as they are read."""

    name = "numbers"
    fingerprint = "0123"

    def __init__(
        self, lengths: tuple[int, ...], damage: dict[int, Callable[[NDArray[Any]], Any]] | None = None
    ) -> None:
        self.spec, self.lengths, self.damage = SPEC, lengths, damage or {}
        self.station = {"name": "bench", "robot": "", "rate": 10.0}
        self.warnings: list[str] = []

    def __len__(self) -> int:
        return len(self.lengths)

    def attrs(self, number: int) -> dict[str, Any]:
        return {"kind": "import", "task": f"task {number}", "verdict": "success"}

    def rows(self, number: int) -> Iterator[NDArray[np.void]]:
        rows = np.zeros(self.lengths[number], SPEC.dtype)
        rows["time"] = 5 + np.arange(len(rows)) / 10
        rows["q"] = number + rows["time"][:, None]
        rows["image.top"] = np.arange(4800).reshape(40, 40, 3) + number
        self.damage.get(number, lambda rows: None)(rows)
        for start in range(0, len(rows), 3):
            yield rows[start : start + 3]

    def repairs(self, number: int) -> list[str]:
        return ["a hole was mended"] if number == 1 else []

    def streams(self, number: int) -> dict[str, Stream]:
        return {"control": Stream(["time", "q0"], np.arange(8.0).reshape(4, 2) + number)}


def fill(path: Path, spec: Spec, lengths: list[int], seed: int = 0, **attrs: Any) -> Store:
    """A store of random numbers, with time rising by odd steps and a raw stream beside the rows."""
    rng = np.random.default_rng(seed)
    store = Store.create(path, spec, {"name": "cell", "robot": "ur5e", "rate": 12.5}, codec="zstd")
    for number, length in enumerate(lengths):
        rows = np.zeros(length, spec.dtype)
        for field in spec:
            rows[field.name] = numbers(rng, (length, *field.shape), np.dtype(field.dtype))
        rows["time"] = 100.0 + np.cumsum(rng.uniform(0.01, 0.1, length))
        writer = store.writer({"kind": "collect", "task": "lift", "operator": "ada", **attrs}, {"wrist": ["time", "x"]})
        for row in rows:
            writer.append(row)
        writer.log("wrist", rng.normal(size=(number + 1, 2)))
        writer.commit("success" if number % 2 else "failure", note=f"take {number}")
    store.close()
    return Store.open(path)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Random values over the whole range of a dtype."""
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "f":
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)).astype(dtype)
    whole = np.iinfo(dtype)
    return rng.integers(whole.min, whole.max, shape, dtype, endpoint=True)


def same(one: Store, other: Store) -> None:
    """Fail unless two stores hold the same: spec, station, rows, streams and attributes."""
    assert other.spec == one.spec
    assert other.station == one.station
    assert len(other) == len(one)
    origin = {"source_path", "source_hash", "source_episode"}
    for wanted, got in zip(one.episodes, other.episodes, strict=True):
        assert got.attrs["content"] == wanted.attrs["content"]
        assert {k: v for k, v in got.attrs.items() if k not in origin} == {
            k: v for k, v in wanted.attrs.items() if k not in origin
        }
        assert got.streams == wanted.streams
        for name in wanted.streams:
            assert np.array_equal(got.stream(name), wanted.stream(name))
