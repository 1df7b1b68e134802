from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_stack.bus import LocalBus
from robot_stack.observe import SLACK, Observer
from robot_stack.station import GRIPPER, Station, Topic

STATION = Station("test", joints=2, cameras={"front": (2, 3), "wrist": (3, 2)}, rate=10.0, objects=("cube",))
TOPICS = (STATION.control, GRIPPER, STATION.world, STATION.camera("front"), STATION.camera("wrist"))
TIMES = ("state.time", "grip.time", "objects.time", "image.front.time", "image.wrist.time")


class Scene:
    """All streams of a station on a local bus, and an observer of them."""

    def __init__(self, steps: int = 1) -> None:
        self.bus = LocalBus()
        self.publishers = {topic.name: self.bus.publisher(topic) for topic in TOPICS}
        self.observer = Observer(self.bus, STATION, steps)

    def send(self, topic: Topic, time: float, **values: object) -> None:
        self.publishers[topic.name].send(topic.spec.record(time=time, **values))

    def send_all(self, time: float) -> None:
        for topic in TOPICS:
            self.send(topic, time)
        self.observer.update()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    with scene.bus:
        yield scene


def test_no_row_while_a_stream_is_silent(scene: Scene) -> None:
    for topic in TOPICS:
        scene.observer.update()
        assert scene.observer.at(1.0) is None
        assert scene.observer.history(1.0, 2) is None
        scene.send(topic, 0.5)
    scene.observer.update()
    assert scene.observer.at(1.0) is not None


def test_a_row_holds_each_streams_fields_and_its_capture_time(scene: Scene) -> None:
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    scene.send(
        STATION.control, 1.0, q=[1, 2], dq=[3, 4], pose=np.arange(7), wrench=np.arange(6), source=2, mode=1, limited=1,
        requested__pose=np.arange(7) + 1, proposed__q=[5, 6], target__q=[7, 8], target__grip=0.03,
    )  # fmt: skip
    scene.send(GRIPPER, 1.1, opening=0.05)
    scene.send(STATION.world, 1.2, objects__cube=np.arange(7) + 2)
    scene.send(STATION.camera("front"), 1.3, image=image)
    scene.send(STATION.camera("wrist"), 1.4)
    scene.observer.update()
    row = scene.observer.at(2.0)
    assert row is not None
    STATION.row.check(row)
    assert row["time"] == 2.0
    assert [row[name] for name in TIMES] == [1.0, 1.1, 1.2, 1.3, 1.4]
    assert row["q"].tolist() == [1, 2]
    assert row["dq"].tolist() == [3, 4]
    assert row["wrench"].tolist() == list(range(6))
    assert (row["source"], row["mode"], row["limited"]) == (2, 1, 1)
    assert row["requested.pose"].tolist() == list(range(1, 8))
    assert row["proposed.q"].tolist() == [5, 6]
    assert row["target.q"].tolist() == [7, 8]
    assert row["target.grip"] == 0.03
    assert row["grip"] == 0.05
    assert row["objects.cube"].tolist() == list(range(2, 9))
    assert (row["image.front"] == image).all()


def test_every_field_of_a_row_has_a_source(scene: Scene) -> None:
    for topic in TOPICS:
        ones = np.frombuffer(b"\x01" * topic.spec.dtype.itemsize, topic.spec.dtype)[0, ...]
        scene.publishers[topic.name].send(ones)
    scene.observer.update()
    row = scene.observer.at(1.0)
    assert row is not None
    for field in STATION.row:
        assert np.all(row[field.name] != 0), field.name


def test_a_row_is_its_owners(scene: Scene) -> None:
    scene.send_all(0.5)
    row = scene.observer.at(1.0)
    assert row is not None
    row["image.front"] = 9
    again = scene.observer.at(1.0)
    assert again is not None
    assert not again["image.front"].any()


def test_a_station_without_cameras_and_objects_needs_neither() -> None:
    station = Station("bare", joints=2)
    with LocalBus() as bus:
        observer = Observer(bus, station)
        bus.publisher(station.control).send(station.control.spec.record(time=0.1))
        bus.publisher(GRIPPER).send(GRIPPER.spec.record(time=0.1))
        observer.update()
        row = observer.at(0.2)
    assert row is not None
    assert row.dtype == station.row.dtype


gaps = st.lists(st.floats(0.0, 0.2), min_size=1, max_size=60)  # jitter, bursts, drops, equal times


@settings(deadline=None, max_examples=80)
@given(
    streams=st.lists(gaps, min_size=len(TOPICS), max_size=len(TOPICS)),
    updates=st.integers(1, 12),
    back=st.floats(0.0, SLACK),
)
def test_a_row_has_of_each_stream_the_newest_message_at_or_before_its_time(
    streams: list[list[float]], updates: int, back: float
) -> None:
    scene = Scene()
    times = [np.cumsum(gaps) for gaps in streams]
    end = max(stream[-1] for stream in times)
    due = [(time, place) for place, stream in enumerate(times) for time in stream]
    for batch in np.array_split(np.array(sorted(due)), updates):
        for time, place in batch:
            topic = TOPICS[int(place)]
            scene.send(topic, time, **({"opening": time} if topic is GRIPPER else {}))
            if topic.depth <= 16:
                scene.observer.update()  # the queue of the topic is not what is tested here
        scene.observer.update()
    for time in (end, end - back, *(stream[-1] for stream in times if stream[-1] >= end - SLACK)):
        row = scene.observer.at(time)
        expected = [stream[stream <= time] for stream in times]
        if any(len(stream) == 0 for stream in expected):
            assert row is None
        else:
            assert row is not None
            assert [row[name] for name in TIMES] == [stream[-1] for stream in expected]
            assert row["grip"] == row["grip.time"]


def test_messages_that_come_in_the_wrong_order_are_put_right(scene: Scene) -> None:
    scene.send_all(0.0)
    for time in (0.3, 0.1, 0.2):
        scene.send(GRIPPER, time, opening=time)
    scene.observer.update()
    for time, opening in ((0.05, 0.0), (0.15, 0.1), (0.25, 0.2), (0.35, 0.3)):
        row = scene.observer.at(time)
        assert row is not None
        assert row["grip"] == opening


def test_of_two_messages_of_one_time_the_later_counts(scene: Scene) -> None:
    scene.send_all(0.0)
    scene.send(GRIPPER, 0.1, opening=1.0)
    scene.send(GRIPPER, 0.1, opening=2.0)
    scene.observer.update()
    row = scene.observer.at(0.1)
    assert row is not None
    assert row["grip"] == 2.0


def test_history_steps_back_at_the_rate_of_rows() -> None:
    scene = Scene(steps=4)
    for tick in range(21):
        scene.send_all(tick * 0.05)
    rows = scene.observer.history(1.0, 4)
    assert rows is not None
    assert [float(row["time"]) for row in rows] == pytest.approx([0.7, 0.8, 0.9, 1.0])
    for row in rows:
        assert row["time"] - 0.05 < row["state.time"] <= row["time"]


def test_history_before_the_first_message_repeats_the_oldest_row() -> None:
    scene = Scene(steps=4)
    scene.send_all(0.85)
    scene.send_all(0.95)
    rows = scene.observer.history(1.0, 4)
    assert rows is not None
    assert [float(row["state.time"]) for row in rows] == [0.85, 0.85, 0.85, 0.95]
    assert [float(row["time"]) for row in rows] == pytest.approx([0.9, 0.9, 0.9, 1.0])


def test_a_stalled_stream_keeps_its_last_message_and_shows_its_age(scene: Scene) -> None:
    scene.send_all(0.0)
    for tick in range(1, 500):
        scene.send(STATION.control, tick * 0.01)
        scene.observer.update()
    row = scene.observer.at(5.0)
    assert row is not None
    assert row["image.front.time"] == 0.0
    ages = scene.observer.ages(5.0)
    assert ages["camera.front"] == 5.0
    assert ages["control"] == pytest.approx(0.01)
    assert set(ages) == {topic.name for topic in TOPICS}


def test_a_silent_stream_is_infinitely_old(scene: Scene) -> None:
    assert set(scene.observer.ages(1.0).values()) == {np.inf}


def test_says_which_streams_of_some_fields_are_behind(scene: Scene) -> None:
    scene.send_all(1.0)
    scene.send(STATION.camera("wrist"), 1.6)
    scene.observer.update()
    assert scene.observer.behind(1.7, ["image.front", "image.wrist", "pose"], 0.5) == ["control", "camera.front"]
    assert scene.observer.behind(1.7, ["image.wrist"], 0.5) == []
    assert scene.observer.behind(1.2, ["image.front", "grip"], 0.5) == []


@pytest.mark.parametrize("step", [0.001, 0.0])  # a camera of 1 kHz, and one whose clock stands
def test_memory_stays_bounded_for_hours(step: float) -> None:
    scene = Scene(steps=2)
    for tick in range(5000):
        scene.send(STATION.camera("front"), tick * step)
        scene.observer.update()
    assert len(scene.observer._streams["camera.front"]._messages) <= (SLACK + 0.1) * 120
