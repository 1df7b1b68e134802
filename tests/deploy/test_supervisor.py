"""The supervisor, with real processes that do nothing but live, report and die."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy import supervisor
from deploy.supervisor import MAX_RESTARTS, Job, Supervisor
from robot_stack.bus import SharedBus
from robot_stack.clock import now
from tests.deploy.conftest import until

HERE = Path(__file__).parent


@pytest.fixture
def supervise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Supervisor]]:
    monkeypatch.setenv("PYTHONPATH", f"{HERE.parents[1]}{os.pathsep}{HERE}")
    session = f"test-{uuid.uuid4().hex[:8]}"
    made: list[Supervisor] = []
    with SharedBus(session) as bus:

        def make(*jobs: tuple[str, str]) -> Supervisor:
            wanted = [Job(f"minions:{kind}", name, {}) for kind, name in jobs]
            made.append(Supervisor(wanted, session, tmp_path, bus))
            made[-1].start()
            return made[-1]

        yield make
        for one in made:
            one.stop()


def look(supervised: Supervisor, condition: Callable[[], object], limit: float = 15.0) -> None:
    def once() -> object:
        supervised.check()
        return condition()

    until(once, limit)


def pid(supervised: Supervisor, name: str) -> int:
    return int(next(worker["pid"] for worker in supervised.status() if worker["name"] == name))


def test_all_are_ready_once_each_has_reported(supervise: Callable[..., Supervisor]) -> None:
    supervised = supervise(("live", "a"), ("live", "b"))
    assert not supervised.ready
    assert supervised.waiting_for == ["a", "b"]
    look(supervised, lambda: supervised.ready)
    look(supervised, lambda: [worker["state"] for worker in supervised.status()] == ["up", "up"])
    assert supervised.failure is None


def test_end_of_a_worker_is_noticed_at_once_and_it_is_started_again(supervise: Callable[..., Supervisor]) -> None:
    supervised = supervise(("live", "a"))
    look(supervised, lambda: supervised.ready)
    quiet, waker = os.pipe()
    os.kill(pid(supervised, "a"), signal.SIGKILL)
    began = now()
    supervised.wait(5.0, quiet)
    assert now() - began < 1.0
    look(supervised, lambda: supervised.events)
    assert [event.words for event in supervised.events] == ["a was killed by signal 9: started again"]
    assert not supervised.ready
    look(supervised, lambda: supervised.ready)
    assert supervised.status()[0]["restarts"] == 1
    os.close(quiet)
    os.close(waker)


def test_wait_ends_when_the_other_file_has_something_to_read(supervise: Callable[..., Supervisor]) -> None:
    supervised = supervise(("live", "a"))
    reading, writing = os.pipe()
    os.write(writing, b"x")
    began = now()
    supervised.wait(5.0, reading)
    assert now() - began < 1.0
    os.close(reading)
    os.close(writing)


def test_worker_that_keeps_dying_ends_the_session_after_its_last_restart(supervise: Callable[..., Supervisor]) -> None:
    supervised = supervise(("live", "a"))
    for _ in range(MAX_RESTARTS + 1):
        look(supervised, lambda: supervised.ready)
        assert supervised.failure is None
        os.kill(pid(supervised, "a"), signal.SIGKILL)
        look(supervised, lambda: not supervised.ready)
    assert supervised.failure is not None
    assert f"killed by signal 9, after {MAX_RESTARTS} restarts" in supervised.failure


def test_worker_that_never_got_ready_is_not_tried_again_and_its_log_is_shown(
    supervise: Callable[..., Supervisor],
) -> None:
    supervised = supervise(("fail", "a"))
    look(supervised, lambda: supervised.failure)
    assert supervised.failure is not None
    assert supervised.failure.startswith("a ended with code 1. The end of ")
    assert "RuntimeError: a has nothing to do" in supervised.failure


def test_end_of_a_vital_worker_ends_the_session(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "VITAL", {"minions:live"})
    supervised = supervise(("live", "a"))
    look(supervised, lambda: supervised.ready)
    os.kill(pid(supervised, "a"), signal.SIGKILL)
    look(supervised, lambda: supervised.failure)
    assert supervised.events == []


def test_a_worker_that_is_worth_waiting_for_is_tried_again_without_end(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PATIENT", {"minions:live"})
    supervised = supervise(("live", "a"))
    for _ in range(MAX_RESTARTS + 2):
        look(supervised, lambda: supervised.ready)
        os.kill(pid(supervised, "a"), signal.SIGKILL)
        look(supervised, lambda: not supervised.ready)
    look(supervised, lambda: supervised.ready)
    assert supervised.failure is None


def test_worker_that_hangs_is_killed_and_started_again(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SILENCE", 1.0)
    supervised = supervise(("hang", "a"))
    look(supervised, lambda: len(supervised.events) == 2)
    assert [event.words for event in supervised.events] == [
        "a hangs and is killed",
        "a was killed by signal 9: started again",
    ]


def test_stopping_leaves_nobody(supervise: Callable[..., Supervisor]) -> None:
    supervised = supervise(("live", "a"), ("live", "b"))
    look(supervised, lambda: supervised.ready)
    pids = [pid(supervised, name) for name in "ab"]
    supervised.stop()
    for one in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(one, 0)
