import numpy as np
import pytest

from robot_stack.spec import Field, Spec
from robot_stack.station import Station
from robot_stack.types import SpecError

POINT = Spec([Field("time", unit="s"), Field("point", (3,), unit="m", frame="base"), Field("flag", dtype="u1")])


def test_a_field_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(SpecError, match="no field 'pint' here; there are: time, point, flag"):
        POINT["pint"]


def test_a_record_is_zero_but_for_what_was_given() -> None:
    record = Spec([*POINT, Field("image.front")]).record(time=1.0, point=[1, 2, 3], image__front=4.0)
    assert record["time"] == 1.0
    assert record["point"].tolist() == [1, 2, 3]
    assert record["image.front"] == 4.0
    assert record["flag"] == 0


def test_json_keeps_everything() -> None:
    for spec in (POINT, Station("s", 6, {"front": (4, 5)}, objects=("cube",)).row):
        again = Spec.from_json(spec.to_json())
        assert again == spec
        assert again.dtype == spec.dtype


def test_equal_specs_are_equal_and_hash_alike() -> None:
    assert Spec(list(POINT)) == POINT
    assert hash(Spec(list(POINT))) == hash(POINT)
    assert POINT.select(["point", "time"]) != POINT.select(["time", "point"])
    assert POINT != "POINT"


def test_specs_add_and_select() -> None:
    assert list(POINT.select(["flag"]) + POINT.select(["time"])) == [POINT["flag"], POINT["time"]]
    assert "time" in POINT
    assert "force" not in POINT


def test_differences_are_sentences() -> None:
    other = Spec([Field("time", unit="s"), Field("point", (2,), unit="px"), Field("force")])
    assert POINT.difference(other) == [
        "flag is missing",
        "force is extra",
        "point is float64[2] [px], expected float64[3] [m] in base",
    ]
    assert POINT.difference(POINT) == []


def test_a_record_of_another_layout_does_not_pass() -> None:
    with pytest.raises(SpecError, match="record has fields"):
        POINT.check(Spec([Field("time")]).record())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_does_not_pass(value: float) -> None:
    POINT.check(POINT.record(point=[0, 0, 1e300]))
    with pytest.raises(SpecError, match="point has a value that is not finite"):
        POINT.check(POINT.record(point=[0, value, 0]))


def test_every_topic_of_a_station_lays_out_aligned_records() -> None:
    station = Station("s", 7, {"front": (4, 5)}, objects=("cube",))
    for topic in (station.control, station.operator, station.chunk, station.world, station.camera("front")):
        assert topic.spec.dtype.isalignedstruct
        assert "time" in topic.spec
