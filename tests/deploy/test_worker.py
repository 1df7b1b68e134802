import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.worker import GRACE, KINDS, Health, Worker, health_topic, spawn
from robot_stack.bus import LocalBus, SharedBus
from robot_stack.types import ConfigError

HERE = Path(__file__).parent
PYTHONPATH = {"PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}"}


@pytest.fixture
def session() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def start(session: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(kind: str, **config: object) -> Worker:
        config.setdefault("left", str(tmp_path / "left"))
        workers.append(spawn(f"children:{kind}", session, config, tmp_path, kind, PYTHONPATH))
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop(0.0)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "it did not come"
        time.sleep(0.002)
    return time.monotonic() - begun


def wait_until_ready(session: str, *names: str) -> None:
    with SharedBus(session) as bus:
        for name in names:
            subscriber = bus.subscriber(health_topic(name))
            wait_for(lambda subscriber=subscriber: subscriber.latest() is not None)  # type: ignore[misc]


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"  # what nobody waits for stays a zombie where no init process reaps it


def test_a_worker_turns_reports_health_and_ends_cleanly_when_told(
    session: str, start: Callable[..., Worker], tmp_path: Path
) -> None:
    with SharedBus(session) as bus:
        health = bus.subscriber(health_topic("turn"), keep=4)
        worker = start("turn")
        wait_for(lambda: len(health.history()) >= 2)
        first, second = health.history()[:2]
    assert first["count"] == 1
    assert second["count"] > 50
    assert 50.0 < second["rate"] < 105.0
    assert second["work"] == 0.002
    assert second["late"] >= 0.0
    assert worker.alive
    assert worker.exitcode is None
    assert worker.stop() == 0
    assert not worker.alive
    assert (tmp_path / "left").exists()
    assert worker.log_tail().endswith("turn INFO ended")


def test_a_worker_that_does_not_end_is_killed(session: str, start: Callable[..., Worker]) -> None:
    worker = start("deaf")
    wait_until_ready(session, "deaf")
    assert worker.stop(timeout=0.2) == -signal.SIGKILL


def test_several_workers_end_together_when_all_are_asked_first(session: str, start: Callable[..., Worker]) -> None:
    workers = [start("turn"), start("tell", out=os.devnull)]
    wait_until_ready(session, "turn")
    for worker in workers:
        worker.ask_to_stop()
    assert [worker.stop() for worker in workers] == [0, 0]


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.3])
def test_a_worker_told_to_end_while_it_starts_ends_cleanly(start: Callable[..., Worker], delay: float) -> None:
    worker = start("turn")
    time.sleep(delay)
    assert worker.stop() == 0


def test_ctrl_c_reaches_the_parent_only(session: str, start: Callable[..., Worker]) -> None:
    worker = start("turn")
    wait_until_ready(session, "turn")
    os.kill(worker.pid, signal.SIGINT)
    time.sleep(0.1)
    assert worker.alive


def test_an_expected_error_is_one_line_in_the_log_and_exit_code_1(start: Callable[..., Worker]) -> None:
    worker = start("break_down")
    wait_for(lambda: not worker.alive)
    assert worker.stop() == 1
    assert worker.log_tail(1).endswith("break_down ERROR DeviceError: no camera 17; there are: 3, 4")
    assert "Traceback" not in worker.log_tail()


def test_an_unexpected_error_leaves_its_traceback_in_the_log(start: Callable[..., Worker]) -> None:
    worker = start("surprise")
    wait_for(lambda: not worker.alive)
    assert worker.stop() == 1
    assert "Traceback" in worker.log_tail()
    assert worker.log_tail(1) == "ZeroDivisionError: surprise"


def test_a_worker_that_was_killed_says_by_which_signal(session: str, start: Callable[..., Worker]) -> None:
    worker = start("turn")
    wait_until_ready(session, "turn")
    os.kill(worker.pid, signal.SIGKILL)
    assert wait_for(lambda: not worker.alive) < 0.1
    assert worker.exitcode == -signal.SIGKILL
    assert worker.stop() == -signal.SIGKILL


def test_the_log_of_a_restarted_worker_is_continued(start: Callable[..., Worker]) -> None:
    for _ in range(2):
        worker = start("break_down")
        wait_for(lambda worker=worker: not worker.alive)  # type: ignore[misc]
    assert worker.log_tail().count("started as process") == 2


def test_a_worker_gets_what_it_was_given_and_is_punctual(start: Callable[..., Worker], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    worker = start("tell", out=str(out), cameras={"front": [48, 64]}, none=None)
    wait_for(lambda: not worker.alive)
    assert worker.stop() == 0, worker.log_tail()
    told = json.loads(out.read_text())
    assert told["config"]["cameras"] == {"front": [48, 64]}
    assert told["config"]["none"] is None
    assert told["name"] == "tell"
    assert told["threads"] == "1"
    assert told["interrupt_ignored"]
    assert told["group"] == worker.pid
    assert not told["garbage_collected"]
    assert told["granted"] == (told["scheduler"] == os.SCHED_FIFO)
    assert told["granted"] or "no real-time priority: under load the loop wakes milliseconds late" in worker.log_tail()
    assert told["heavy"] == []


def test_a_kind_that_does_not_exist_is_answered_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no kind of worker 'camra'; there are: {', '.join(KINDS)}"):
        spawn("camra", "test", {}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_child_outlives_a_killed_parent(session: str, tmp_path: Path) -> None:
    environment = {**os.environ, **PYTHONPATH}
    parent = subprocess.Popen(
        [sys.executable, str(HERE / "parent.py"), session, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()[1:]]
    parent.stdout.close()
    wait_until_ready(session, "turn", "deaf", "stuck_in_c")
    assert all(runs(pid) for pid in pids)
    killed = time.monotonic()
    parent.kill()
    parent.wait()
    left = tmp_path / "left"
    assert wait_for(left.exists) < GRACE  # the one that listens left its loop as it should
    wait_for(lambda: not any(runs(pid) for pid in pids))
    assert time.monotonic() - killed < GRACE + 0.6
    assert "parent gone" in (tmp_path / "deaf.log").read_text()


def test_health_reports_the_worst_since_the_last_report(monkeypatch: pytest.MonkeyPatch) -> None:
    time_now = 10.0
    monkeypatch.setattr("deploy.worker.now", lambda: time_now)
    with LocalBus() as bus:
        subscriber = bus.subscriber(health_topic("arm"))
        health = Health(bus, "arm")
        for work in (0.1, 0.7, 0.2, 0.3, 0.4):
            health.beat(work, work / 10)
            time_now += 0.5
        records = subscriber.drain()
    assert [float(record["time"]) for record in records] == [10.0, 11.0, 12.0]
    assert [int(record["count"]) for record in records] == [1, 3, 5]
    assert [float(record["work"]) for record in records] == [0.1, 0.7, 0.4]
    assert [float(record["late"]) for record in records] == pytest.approx([0.01, 0.07, 0.04])
    assert [float(record["rate"]) for record in records] == pytest.approx([0.0, 2.0, 2.0])
