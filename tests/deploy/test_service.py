"""The service, whole: real processes, real time, simulated robot. What happens to it, and what it leaves behind."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.sync.client import connect

from robot_stack import sim
from robot_stack.bus import SharedBus
from robot_stack.clock import now
from robot_stack.store import Store
from robot_stack.types import Source
from tests.deploy.conftest import Browser, until

pytestmark = pytest.mark.timeout(300)

START = 60.0
"""A session must be there by now, on a machine that does other things too [s]."""


class Session:
    """`robot-stack …` as a user starts it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.store = folder / "store"
        self.log = folder / "output.log"
        program = Path(sys.executable).parent / "robot-stack"
        with self.log.open("w") as output:
            self.process = subprocess.Popen([str(program), *arguments], stdout=output, stderr=output, cwd=folder)
        self.children: list[psutil.Process] = []

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def url(self) -> str:
        return str(until(self._page, START)[1])

    def _page(self) -> re.Match[str] | None:
        page = re.search(r"page at (http://\S+),", self.output)
        assert page or self.process.poll() is None, self.output
        return page

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = httpx.get(f"{self.url}/api/status").json()
        return status

    def until(self, condition: Callable[[dict[str, Any]], Any], limit: float = START) -> dict[str, Any]:
        """Wait for a status; the session must stay alive meanwhile."""

        def look() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.output
            status = self.status()
            return status if condition(status) else None

        found: dict[str, Any] = until(look, limit)
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def pid(self, worker: str) -> int:
        return int(next(w["pid"] for w in self.status()["workers"] if w["name"] == worker))

    def wait(self, limit: float) -> int:
        return self.process.wait(limit)

    def orphans(self) -> list[psutil.Process]:
        """Workers that still run."""
        return [child for child in self.children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for orphan in self.orphans():
            orphan.kill()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def begin(verb: str, *arguments: str) -> Session:
        for session in sessions:
            session.close()
        folder = tmp_path_factory.mktemp(verb)
        sessions.append(Session(folder, verb, f"store={folder / 'store'}", "port=0", *arguments))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.close()


@pytest.fixture(scope="module")
def demonstration(start: Callable[..., Session]) -> Path:
    """A store with one episode of a scripted operator."""
    session = start("collect", "episodes=1", "seed=3")
    session.until(recording)
    assert session.wait(60.0) == 0, session.output
    assert "episode 1: success" in session.output
    assert session.orphans() == []
    return session.store


def recording(status: dict[str, Any]) -> bool:
    return status["phase"] == "recording" and status["episode"]["rows"] > 5


def test_scripted_operator_records_an_episode(demonstration: Path) -> None:
    (episode,) = Store.open(demonstration).episodes
    assert episode.attrs["verdict"] == "success"
    assert episode.attrs["kind"] == "collect"
    assert episode.attrs["operator"] == "scripted"
    assert episode.attrs["seed"] == 3
    assert (episode["source"] == Source.OPERATOR).mean() > 0.7


def test_replay_flies_the_episode_again_from_the_same_start(demonstration: Path, start: Callable[..., Session]) -> None:
    session = start("replay", f"source={demonstration}")
    session.until(lambda status: status["source"] == "script" and status["phase"] == "recording")
    assert session.wait(60.0) == 0, session.output
    (episode,), (replayed,) = Store.open(demonstration).episodes, Store.open(session.store).episodes
    assert replayed.attrs["kind"] == "replay"
    assert replayed.attrs["replayed"] == episode.id
    assert replayed.attrs["seed"] == 3
    assert (replayed["source"] == Source.SCRIPT).mean() > 0.7
    assert replayed.attrs["verdict"] == "success"


def test_policy_whose_process_ended_is_a_hold_within_a_tenth_of_a_second_and_flies_again(
    demonstration: Path, start: Callable[..., Session]
) -> None:
    run = demonstration.parent / "run"
    program = Path(sys.executable).parent / "robot-stack"
    choices = ["task=lift", "policy=bc", "steps=20", f"store={demonstration}", f"out={run}"]
    subprocess.run([str(program), "train", *choices], check=True, capture_output=True)
    session = start("deploy", f"checkpoint={run}", "teleop=browser", "episodes=0", "time_limit=120.0")
    session.until(lambda status: status["source"] == "policy" and recording(status))
    station = sim.station("ur5e", "lift", {"front": (240, 320), "wrist": (240, 320)})
    policy = session.pid("inference")
    with SharedBus(session.status()["session"]) as bus:
        controls = bus.subscriber(station.control)
        ended = os.pidfd_open(policy)
        os.kill(policy, signal.SIGKILL)
        select.select([ended], [], [])
        gone = now()
        os.close(ended)
        held = until(lambda: next((c for c in controls.drain() if c["source"] == Source.NOBODY), None))
    assert held["time"] - gone < 0.1
    session.until(lambda status: status["source"] == "policy")
    assert "inference was killed by signal 9: started again" in session.output
    session.process.send_signal(signal.SIGINT)
    assert session.wait(15.0) == 130
    episode = Store.open(session.store).episodes[-1]
    assert episode.attrs["checkpoint"] == str(run)
    assert (episode["source"] == Source.POLICY).any()
    assert episode["proposed.kind"].any()


def test_killed_camera_is_started_again_and_shown(start: Callable[..., Session]) -> None:
    session = start("collect", "episodes=0")
    session.until(recording)
    killed = session.pid("camera.front")
    os.kill(killed, signal.SIGKILL)
    session.until(lambda status: any(w["restarts"] == 1 for w in status["workers"]), 5.0)
    session.until(
        lambda status: all(w["state"] == "up" for w in status["workers"]) and status["ages"]["camera.front"] < 0.5
    )
    assert session.pid("camera.front") != killed
    assert "camera.front was killed by signal 9: started again" in session.output
    session.process.send_signal(signal.SIGINT)
    assert session.wait(15.0) == 130
    until(lambda: session.orphans() == [])
    assert Store.open(session.store).episodes[-1].attrs["verdict"] in ("unknown", "success")


def test_killed_control_is_started_again_and_the_next_episode_recorded(start: Callable[..., Session]) -> None:
    session = start("collect", "episodes=0")
    session.until(recording)
    os.kill(session.pid("control"), signal.SIGKILL)
    session.until(lambda status: status["episode"]["number"] == 2 and recording(status))
    assert "control was killed by signal 9: started again" in session.output
    session.process.send_signal(signal.SIGINT)
    assert session.wait(15.0) == 130
    until(lambda: session.orphans() == [])


def test_killed_control_of_hardware_is_stopped_until_a_person_says_otherwise(start: Callable[..., Session]) -> None:
    session = start("collect", "episodes=0", "robot.hardware=true", "robot.speed=0.5")
    status = session.until(lambda status: status["note"] == "nothing moves: run to go on")
    assert (status["phase"], status["speed"]) == ("ready", 0.5)
    ordered(session, "mode", mode="run")
    session.until(recording)
    os.kill(session.pid("control"), signal.SIGKILL)
    session.until(lambda status: status["phase"] == "idle" and status["source"] == "nobody")
    session.until(lambda status: status["mode"] == "stop" and status["control"]["rate"] is not None)
    ordered(session, "speed", speed=1.0)
    ordered(session, "mode", mode="reset")
    status = session.until(lambda status: status["phase"] == "ready")
    assert (status["mode"], status["speed"]) == ("hold", 1.0)
    session.process.kill()


def ordered(session: Session, what: str, **body: object) -> None:
    httpx.post(f"{session.url}/api/{what}", json=body).raise_for_status()


def test_killed_parent_leaves_no_orphans_and_its_episode_is_salvaged(start: Callable[..., Session]) -> None:
    session = start("collect", "episodes=0")
    session.until(recording)
    session.process.kill()
    began = time.monotonic()
    until(lambda: session.orphans() == [], 5.0)
    assert time.monotonic() - began < 2.0
    with Store.open(session.store) as store:
        store.salvage()
        assert len(store.episodes[-1]) > 5


def test_person_at_the_page_flies_by_keys_and_stops(start: Callable[..., Session], browser: Browser) -> None:
    session = start("collect", "episodes=0", "teleop=browser", "auto=false")
    status = session.until(lambda status: status["phase"] == "ready")
    assert status["keys"]
    browser.open(session.url)
    until(lambda: browser.text("phase") == "Ready")
    until(lambda: browser.run("!document.querySelector('[data-action=start]').disabled"))
    browser.click("button[data-action=start]")
    session.until(lambda status: status["phase"] == "recording")
    browser.key("keyDown", "Space", " ")
    browser.key("keyDown", "KeyF", "f")
    session.until(lambda status: status["source"] == "operator", 3.0)
    until(lambda: browser.text("source") == "OPERATOR")
    browser.key("keyUp", "KeyF", "f")
    browser.key("keyUp", "Space", " ")
    session.until(lambda status: status["source"] == "nobody", 3.0)
    until(
        lambda: browser.run(
            "document.getElementById('camera-front').getContext('2d').getImageData(160,120,1,1).data[3]"
        )
    )
    browser.click("#stop")
    stopped = session.until(lambda status: status["mode"] == "stop", 3.0)
    assert stopped["reason"] == "stop requested"
    until(lambda: browser.text("source") == "STOPPED")
    with connect(session.url.replace("http", "ws") + "/api/state") as state:
        assert json.loads(state.recv(timeout=2.0))["mode"] == "stop"
    session.process.send_signal(signal.SIGTERM)
    assert session.wait(15.0) == 130
    until(lambda: session.orphans() == [])
    (episode,) = Store.open(session.store).episodes
    assert (episode["source"] == Source.OPERATOR).any()


def test_worker_that_fails_at_start_is_the_error_with_its_log(start: Callable[..., Session]) -> None:
    session = start("collect", "robot.cameras.front.name=side")
    assert session.wait(START) == 1
    assert "robot-stack: camera.front ended with code 1. The end of " in session.output
    assert "'side'" in session.output


def test_ctrl_c_while_starting_ends_in_order(start: Callable[..., Session]) -> None:
    session = start("collect")
    until(lambda: "page at" in session.output, START)
    children = psutil.Process(session.process.pid).children(recursive=True)
    session.process.send_signal(signal.SIGINT)
    assert session.wait(15.0) == 130
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_port_in_use_is_an_error_that_names_it(start: Callable[..., Session]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        session = start("collect", f"port={port}")
        assert session.wait(START) == 2
    assert f"port {port}: Address already in use; choose another with port=8001" in session.output
