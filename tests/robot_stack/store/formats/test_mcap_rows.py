"""Rows of bags against the truth of who made them: every value is the newest captured at or before its row."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.store import Store
from robot_stack.store.formats import Source, import_source, open_source
from tests.robot_stack.store.formats.bag_maker import EPOCH, WRITERS, Sent, image, joints, number

RATE = 10.0
MAPPING = """
rate: 10
task: lift
operator: anna
verdict: success
fields:
  q: {topic: /joints, path: position, joints: [b, a], unit: rad}
  grip: {topic: /grip, path: data, unit: m}
  image.front: {topic: /camera/image_raw}
"""
TOPICS = {"q": "/joints", "grip": "/grip", "image.front": "/camera/image_raw"}
TYPES = {"q": "sensor_msgs/msg/JointState", "grip": "std_msgs/msg/Float64", "image.front": "sensor_msgs/msg/Image"}


class Shot(NamedTuple):
    """One measurement of the generator: when it was captured and received [ns]."""

    captured: int
    received: int


Truth = dict[str, list[Shot]]


@st.composite
def measurements(draw: st.DrawFn) -> Truth:
    """Streams of different rates with jitter, drops, late delivery and therefore disorder; in the order of the file."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth: Truth = {}
    for name in TOPICS:
        rate, count = draw(st.sampled_from([7.0, 30.0, 90.0])), draw(st.integers(1, 60))
        start = EPOCH * 10**9 + int(draw(st.floats(0.0, 0.5)) * 1e9)
        captured = start + np.cumsum(random.exponential(1e9 / rate, count)).astype(np.int64)
        captured = captured[random.random(count) >= draw(st.sampled_from([0.0, 0.3]))]
        if len(captured) == 0:
            captured = np.array([start])
        if draw(st.booleans()):  # on a grid of rows' times, where "at or before" matters
            captured -= captured % 100_000_000
        late = (random.random(len(captured)) * draw(st.sampled_from([1e6, 2e8]))).astype(np.int64)
        shots = [Shot(int(time), int(time + delay)) for time, delay in zip(captured, late, strict=True)]
        truth[name] = sorted(shots, key=lambda shot: shot.received)
    truth["grip"] = [Shot(shot.received, shot.received) for shot in truth["grip"]]  # without a header
    return truth


def messages(truth: Truth) -> list[Sent]:
    """What a recorder writes: each value is the number of its message in the file."""
    sent = []
    for name, shots in truth.items():
        for n, shot in enumerate(shots):
            sent.append(Sent(TOPICS[name], TYPES[name], shot.received, message(name, n, shot.captured)))
    return sorted(sent, key=lambda one: one.received)


def message(name: str, n: int, captured: int) -> object:
    if name == "q":
        return joints(captured, [n, 1000 + n])
    if name == "grip":
        return number(n)
    return image(captured, np.full((40, 40, 3), n, np.uint8), "bgr8")


def newest(shots: list[Shot], time: int) -> int:
    """The rule: of the messages captured at or before, the last captured (of equals, the last written)."""
    before = [(shot.captured, n) for n, shot in enumerate(shots) if shot.captured <= time]
    return max(before)[1]


def row_times(truth: Truth) -> list[int]:
    first = max(min(shot.captured for shot in shots) for shots in truth.values())
    last = max(shot.captured for shots in truth.values() for shot in shots)
    return list(range(first, last + 1, round(1e9 / RATE)))


def check(source: Source, truth: Truth) -> None:
    """Every value of every row, every time, every raw stream."""
    rows = np.concatenate(list(source.rows(0)))
    times = row_times(truth)
    origin = round(source.attrs(0)["clock_offset"] * 1e9)
    assert np.array_equal(rows["time"], (np.array(times) - origin) / 1e9)
    numbers = {"q": rows["q"][:, 1], "grip": rows["grip"], "image.front": rows["image.front"][:, 3, 4, 1]}
    streams = source.streams(0)
    for name, shots in truth.items():
        wanted = [newest(shots, time) for time in times]
        assert numbers[name].tolist() == wanted, name
        captured = np.array([shots[n].captured for n in wanted])
        assert np.array_equal(rows[f"{name}.time"], (captured - origin) / 1e9)
        assert (rows[f"{name}.time"] <= rows["time"]).all()
        in_order = sorted(shots, key=lambda shot: shot.captured)
        stream = streams[TOPICS[name].strip("/").replace("/", ".")]
        assert np.array_equal(stream.values[:, :2], (np.array(in_order) - origin) / 1e9)
    assert np.array_equal(rows["q"][:, 0], rows["q"][:, 1] + 1000)


@settings(max_examples=25, deadline=None)
@given(truth=measurements())
@pytest.mark.parametrize("writer", ["mcap zstd", "rosbag2 sqlite3"])
def test_every_row_has_the_newest_message_captured_at_or_before_it(
    tmp_path_factory: pytest.TempPathFactory, writer: str, truth: Truth
) -> None:
    folder = tmp_path_factory.mktemp("bag")
    check(open_bag(folder, WRITERS[writer](folder, messages(truth))), truth)


@pytest.mark.parametrize("writer", WRITERS)
def test_every_way_to_write_a_bag_gives_the_same_rows(tmp_path: Path, writer: str) -> None:
    random = np.random.default_rng(5)
    truth = {}
    for name, rate in (("q", 50), ("grip", 5), ("image.front", 15)):
        captured = EPOCH * 10**9 + np.cumsum(random.exponential(1e9 / rate, 3 * rate)).astype(int)
        truth[name] = [Shot(int(time), int(time + 1000)) for time in captured]
    truth["grip"] = [Shot(shot.received, shot.received) for shot in truth["grip"]]
    check(open_bag(tmp_path, WRITERS[writer](tmp_path, messages(truth))), truth)


def test_topics_that_lie_one_after_the_other_in_the_file_give_the_same_rows(tmp_path: Path) -> None:
    truth = {name: [Shot(t, t) for t in range(EPOCH * 10**9, (EPOCH + 3) * 10**9, 10**8 + 7)] for name in TOPICS}
    sent = sorted(messages(truth), key=lambda one: one.topic)
    check(open_bag(tmp_path, WRITERS["mcap zstd"](tmp_path, sent)), truth)


def test_a_bag_comes_into_a_store_with_its_raw_streams(tmp_path: Path) -> None:
    truth = {name: [Shot(t, t) for t in range(EPOCH * 10**9, (EPOCH + 2) * 10**9, 10**8 + 7)] for name in TOPICS}
    source = open_bag(tmp_path, WRITERS["rosbag2 sqlite3"](tmp_path, messages(truth)))
    done = import_source(source, tmp_path / "store")
    assert (done.new, done.warnings) == (1, [])
    episode = Store.open(tmp_path / "store").episodes[0]
    rows = np.concatenate(list(source.rows(0)))
    assert all(np.array_equal(episode[name], rows[name]) for name in source.spec.fields)
    assert episode.streams["joints"] == ["time", "received", "q.0", "q.1"]
    assert np.array_equal(episode.stream("joints")[:, 2], 1000 + np.arange(len(truth["q"])))
    assert {key: episode.attrs[key] for key in ("kind", "task", "operator", "verdict", "bag", "started")} == {
        "kind": "import",
        "task": "lift",
        "operator": "anna",
        "verdict": "success",
        "bag": "bag",
        "started": "2023-11-14T22:13:20.000+00:00",
    }


def open_bag(folder: Path, bag: Path) -> Source:
    mapping = folder / "mapping.yaml"
    mapping.write_text(MAPPING)
    return open_source(bag, mapping=str(mapping))
