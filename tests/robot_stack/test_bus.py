import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from robot_stack.bus import ADOPTION, MAX_PUBLISHERS, Bus, BusError, LocalBus, SharedBus, clean_dead_nodes
from robot_stack.spec import Field, Record, Spec
from robot_stack.station import GRIPPER, Station, Topic
from robot_stack.types import SpecError

STATION = Station("test", joints=6, cameras={"front": (48, 64)}, objects=("cube",))
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def session() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(params=["local", "shared"])
def bus(request: pytest.FixtureRequest, session: str) -> Iterator[Bus]:
    with LocalBus() if request.param == "local" else SharedBus(session) as bus:
        yield bus


def message(number: float) -> Record:
    return GRIPPER.spec.record(time=number, opening=number / 10)


def numbers(records: list[Record]) -> list[float]:
    return [float(record["time"]) for record in records]


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.001)


def start_sender(session: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("bus_sender.py")), session],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


# --- the same promises on both buses


def test_nothing_is_there_before_the_first_record(bus: Bus) -> None:
    subscriber = bus.subscriber(GRIPPER, keep=3)
    assert subscriber.latest() is None
    assert subscriber.drain() == []
    assert subscriber.history() == []


def test_latest_is_the_newest_and_stays(bus: Bus) -> None:
    publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
    for number in range(3):
        publisher.send(message(number))
    for _ in range(2):
        latest = subscriber.latest()
        assert latest is not None
        assert latest["time"] == 2.0
        assert latest["opening"] == 0.2


def test_drain_gives_every_record_once_and_in_order(bus: Bus) -> None:
    publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
    for number in range(5):
        publisher.send(message(number))
    assert numbers(subscriber.drain()) == [0, 1, 2, 3, 4]
    assert subscriber.drain() == []
    publisher.send(message(5))
    assert numbers(subscriber.drain()) == [5]


def test_history_is_the_newest_few_whoever_took_them_first(bus: Bus) -> None:
    publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER, keep=3)
    publisher.send(message(0))
    subscriber.latest()
    publisher.send(message(1))
    subscriber.drain()
    assert numbers(subscriber.history()) == [0, 1]
    for number in range(2, 6):
        publisher.send(message(number))
    assert numbers(subscriber.history()) == [3, 4, 5]
    assert subscriber.drain() == []


def test_a_slow_subscriber_loses_the_oldest_and_the_publisher_never_waits(bus: Bus) -> None:
    publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
    for number in range(3 * GRIPPER.depth):
        publisher.send(message(number))
    assert numbers(subscriber.drain()) == list(range(2 * GRIPPER.depth, 3 * GRIPPER.depth))


def test_a_late_joiner_gets_the_newest_record_though_nobody_sends_again(bus: Bus) -> None:
    publisher = bus.publisher(GRIPPER)
    publisher.send(message(1))
    publisher.send(message(2))
    subscriber = bus.subscriber(GRIPPER)
    wait_for(lambda: subscriber.latest() is not None, 2 * ADOPTION)
    assert numbers(subscriber.history()) == [2]


def test_what_was_received_does_not_change_and_cannot_be_changed(bus: Bus) -> None:
    publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
    record = message(1)
    publisher.send(record)
    received = subscriber.latest()
    record["time"] = 7.0
    for number in range(2, 50):
        publisher.send(message(number))
    subscriber.latest()
    assert received is not None
    assert received["time"] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        received["time"] = 8.0


def test_every_field_of_every_topic_arrives(bus: Bus) -> None:
    random = np.random.default_rng(0)
    for topic in (STATION.control, STATION.operator, STATION.chunk, STATION.world, STATION.camera("front")):
        sent = np.frombuffer(random.bytes(topic.spec.dtype.itemsize), topic.spec.dtype)[0, ...]
        publisher, subscriber = bus.publisher(topic), bus.subscriber(topic)
        publisher.send(sent)
        received = subscriber.latest()
        assert received is not None
        assert received.dtype == sent.dtype
        for field in topic.spec:
            assert received[field.name].tobytes() == sent[field.name].tobytes()


def test_a_row_of_an_array_can_be_sent(bus: Bus) -> None:
    publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
    publisher.send(np.array([message(1), message(2)])[1])
    received = subscriber.latest()
    assert received is not None
    assert received["time"] == 2.0


def test_a_record_of_another_layout_is_refused(bus: Bus) -> None:
    publisher = bus.publisher(GRIPPER)
    with pytest.raises(SpecError, match=r"topic 'gripper' carries .*opening"):
        publisher.send(Spec([Field("time"), Field("force")]).record())


def test_two_layouts_under_one_name_are_refused(bus: Bus) -> None:
    bus.publisher(GRIPPER)
    with pytest.raises(SpecError, match=r"topic 'gripper'.* is open with another layout"):
        bus.subscriber(Topic("gripper", Spec([Field("time"), Field("opening", (2,))]), GRIPPER.depth))


def test_a_closed_publisher_leaves_no_history(bus: Bus) -> None:
    publisher = bus.publisher(GRIPPER)
    publisher.send(message(1))
    publisher.close()
    publisher.close()
    subscriber = bus.subscriber(GRIPPER)
    time.sleep(ADOPTION)
    assert subscriber.latest() is None


# --- between processes


def test_a_closed_bus_says_so(session: str) -> None:
    bus = SharedBus(session)
    publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
    bus.close()
    bus.close()
    with pytest.raises(BusError, match="closed"):
        publisher.send(message(1))
    with pytest.raises(BusError, match="closed"):
        subscriber.latest()
    with pytest.raises(BusError, match="closed"):
        bus.publisher(GRIPPER)


def test_a_session_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(BusError, match=r"session 'a/b': use letters"):
        SharedBus("a/b")


def test_too_many_publishers_are_refused_by_name(session: str) -> None:
    with SharedBus(session) as bus:
        for _ in range(MAX_PUBLISHERS):
            bus.publisher(GRIPPER)
        with pytest.raises(BusError, match=f"topic 'gripper' has {MAX_PUBLISHERS} publishers"):
            bus.publisher(GRIPPER)


def test_sessions_do_not_see_one_another(session: str) -> None:
    with SharedBus(session) as ours, SharedBus(session + "-2") as theirs:
        subscriber = theirs.subscriber(GRIPPER)
        ours.publisher(GRIPPER).send(message(1))
        assert subscriber.latest() is None


def test_signals_stay_with_the_program(session: str) -> None:
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with SharedBus(session) as bus:
            bus.publisher(GRIPPER)
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, outside)


def test_threads_that_take_a_subscriber_each_all_get_everything(session: str) -> None:
    with SharedBus(session) as bus:
        publisher = bus.publisher(GRIPPER)
        subscribers = [bus.subscriber(GRIPPER) for _ in range(3)]
        received: list[list[float]] = [[] for _ in subscribers]

        def read(place: int) -> None:
            while not received[place] or received[place][-1] != 999:
                received[place] += numbers(subscribers[place].drain())
                time.sleep(0.0005)

        threads = [threading.Thread(target=read, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        for number in range(1000):
            publisher.send(message(number))
            time.sleep(0.0002)
        for thread in threads:
            thread.join(10.0)
        for numbers_of_one in received:
            assert numbers_of_one == sorted(set(numbers_of_one))
            assert len(numbers_of_one) > 900  # a slow reader may lose some, never the newest


def test_killed_publishers_leave_room_for_the_next_and_subscribers_go_on(session: str) -> None:
    with SharedBus(session) as bus:
        subscriber = bus.subscriber(GRIPPER)
        for _ in range(MAX_PUBLISHERS + 2):
            sender = start_sender(session)
            try:
                wait_for(lambda pid=sender.pid: _opening(subscriber.latest()) == pid)  # type: ignore[misc]
            finally:
                sender.kill()
                sender.wait()


def test_processes_killed_at_any_moment_leave_nothing_that_breaks_the_next_start(session: str) -> None:
    for delay in np.linspace(0.05, 0.25, 8):
        sender = start_sender(session)
        time.sleep(delay)
        sender.kill()
        sender.wait()
    clean_dead_nodes()
    with SharedBus(session) as bus:
        publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
        publisher.send(message(1))
        assert numbers(subscriber.history()) == [1]


@pytest.mark.parametrize("written", [True, False])
def test_a_topic_whose_creator_was_killed_half_way_is_created_again(
    session: str, tmp_path: Path, written: bool
) -> None:
    with SharedBus(session) as bus:
        bus.publisher(GRIPPER)
        services = Path(tempfile.gettempdir(), f"robot-stack-{os.getuid()}", "services")
        (file,) = (f for f in services.glob("*.service") if f'"robot-stack/{session}/gripper"' in f.read_text())
        (tmp_path / "begun").write_bytes(file.read_bytes() if written else b"")
    (tmp_path / "begun").chmod(0o600)  # as it is until its creator has ended
    os.utime(tmp_path / "begun", (0, 0))
    shutil.copy2(tmp_path / "begun", file)
    with SharedBus(session) as bus:
        publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
        publisher.send(message(1))
        assert numbers(subscriber.history()) == [1]


def test_a_new_layout_is_welcome_once_those_who_held_the_old_one_were_killed(session: str) -> None:
    with SharedBus(session) as bus:
        subscriber = bus.subscriber(GRIPPER)
        sender = start_sender(session)
        wait_for(lambda: subscriber.latest() is not None)
    sender.kill()
    sender.wait()
    changed = Topic("gripper", Spec([*GRIPPER.spec, Field("force", unit="N")]), GRIPPER.depth)
    with SharedBus(session) as bus:
        subscriber = bus.subscriber(changed)
        bus.publisher(changed).send(changed.spec.record(force=3.0))
        assert [float(record["force"]) for record in subscriber.history()] == [3.0]


def test_cleaning_reclaims_the_killed_and_spares_the_living(
    session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # here nobody else starts or cleans
    monkeypatch.setattr("tempfile.tempdir", None)
    with SharedBus(session) as bus:
        publisher, subscriber = bus.publisher(GRIPPER), bus.subscriber(GRIPPER)
        sender = start_sender(session)
        wait_for(lambda: _opening(subscriber.latest()) == sender.pid)
        sender.kill()
        sender.wait()
        assert clean_dead_nodes() >= 1
        assert clean_dead_nodes() == 0
        publisher.send(message(5))
        wait_for(lambda: _opening(subscriber.latest()) == 0.5)


def _opening(record: Record | None) -> float:
    return -1.0 if record is None else float(record["opening"])
