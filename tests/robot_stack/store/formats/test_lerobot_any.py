"""A store of any fields goes out to LeRobot, in both versions, and comes back bit for bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats import export, import_source, open_source

NAMES = ["action", "observation.state", "q", "grip", "target.q", "timestamp", "index", "task", "my.image.size", "x y"]
SHAPES = [(), (1,), (3,), (2, 1), (2, 2, 2), (1, 2, 1, 2, 1, 2)]
DTYPES = ["f4", "f8", "f2", "u1", "i2", "u4", "i8", "?"]
PICTURES = [Field("image.top", (40, 36, 3), "u1"), Field("depth", (48, 50), "u2"), Field("small", (20, 70, 3), "u1")]


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=5))
    fields = [Field(n, draw(st.sampled_from(SHAPES)), draw(st.sampled_from(DTYPES)), unit="u") for n in names]
    return Spec([Field("time", unit="s"), *fields, *draw(st.lists(st.sampled_from(PICTURES), unique=True, max_size=2))])


def record(store: Store, lengths: list[int]) -> None:
    rng = np.random.default_rng(sum(lengths))
    for episode, length in enumerate(lengths):
        writer = store.writer({"kind": "collect", "task": f"t{episode % 2}"}, {"arm": ["time", "load"]})
        for step in range(length):
            row: Any = store.spec.record(time=5 + step / 12.5)
            for field in list(store.spec)[1:]:
                dtype = np.dtype(field.dtype)
                drawn = rng.normal(size=field.shape) if dtype.kind == "f" else rng.integers(0, 2, field.shape)
                row[field.name] = drawn if dtype.itemsize < 1 or dtype.kind in "fb" else drawn * 100
            writer.append(row)
        writer.log("arm", rng.normal(size=(3, 2)).cumsum(axis=0))
        writer.commit("success")


@settings(max_examples=12, deadline=None)
@given(
    spec=specs(),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    rate=st.sampled_from([10.0, 12.5, 500.0]),
    format=st.sampled_from(["lerobot", "lerobot2.1"]),
)
def test_any_store_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, spec: Spec, lengths: list[int], rate: float, format: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with Store.create(folder / "s", spec, {"name": "cell", "robot": "", "rate": rate}) as store:
        record(store, lengths)
        export(store, folder / "out", format, pictures="image")
        import_source(open_source(folder / "out"), folder / "back")
        back = Store.open(folder / "back")
        assert back.spec == store.spec
        for one, other in zip(store.episodes, back.episodes, strict=True):
            for name in spec.fields:
                assert one[name].tobytes() == other[name].tobytes(), name
            assert np.array_equal(one.stream("arm"), other.stream("arm"))
            assert one.attrs["task"] == other.attrs["task"]
