"""The whole service against emulated controllers: real client libraries, real processes, and a robot that can fail.

The arm's controller outlives the sessions, as a real one does: what one test leaves, the next one finds.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from robot_stack.emulators.process import EmulatorProcess
from robot_stack.robots import robot
from robot_stack.store import Store
from robot_stack.types import Source
from tests.deploy.conftest import until
from tests.deploy.test_service import Session, ordered
from tests.robot_stack.emulators.emulator import start_ur
from tests.robot_stack.emulators.franka import start_franka

pytestmark = [pytest.mark.timeout(600)]

AT_REST = 0.01
"""Slower than this is at rest [rad/s]."""
QUICK = ["robot.limits.tcp_speed=1.0", "robot.limits.tcp_rotation=5.0", "robot.limits.joint_velocity=0.5"]
"""A tenth of these limits is a brisk motion: the real ones would take a minute."""
AGES = ["robot.limits.state_age=1.0", "robot.limits.request_age=2.0", "robot.limits.operator_age=1.0"]
"""A machine that runs other tests too holds every process up now and then."""
PATIENCE = 120.0
"""Sessions take seconds to be ready, and minutes on a machine that is too busy [s]."""
UR = ["robot=ur5e", "robot.arm.watchdog=2.0", "robot.limits.tracking=0.6", *QUICK, *AGES]


class Watched(Session):
    """A session that says what it printed when its page is gone."""

    def until(self, condition: Callable[[dict[str, Any]], Any], limit: float = PATIENCE) -> dict[str, Any]:
        return super().until(condition, limit)

    def status(self) -> dict[str, Any]:
        try:
            return super().status()
        except httpx.TransportError as error:
            raise AssertionError(f"exit code {self.process.wait(10.0)}:\n{self.output}") from error


@pytest.fixture(scope="module")
def ur() -> Iterator[EmulatorProcess]:
    with start_ur(unlock_after=0.5) as emulator:
        yield emulator


@contextmanager
def session(folder: Path, verb: str, *arguments: str) -> Iterator[Watched]:
    """A session that is gone afterwards, and with it whoever held the arm."""
    folder.mkdir(exist_ok=True)
    started = Watched(folder, verb, "port=0", *arguments)
    try:
        yield started
    finally:
        started.close()


def cell(emulator: EmulatorProcess) -> list[str]:
    """The emulated UR5e, without cameras: they cost time. Its scene tells the scripted person where things are."""
    world = f"{{_target_:robot_stack.emulators.relay.Relay,host:{emulator.host}}}"
    return [*UR, f"robot.arm.host={emulator.host}", f"robot.world={world}", "robot.speed=1.0"]


def speed(emulator: EmulatorProcess) -> float:
    """Of the fastest joint [rad/s]."""
    return float(np.abs(emulator.state()["qd"]).max())


def moves(emulator: EmulatorProcess) -> Callable[[], bool]:
    return lambda: speed(emulator) > 5 * AT_REST


def rests(emulator: EmulatorProcess) -> Callable[[], bool]:
    return lambda: speed(emulator) < AT_REST


def run(*words: str) -> subprocess.Popen[str]:
    """A verb, as a person types it."""
    program = str(Path(sys.executable).parent / "robot-stack")
    return subprocess.Popen([program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def demonstration(ur: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one episode of the scripted person, before which nothing moved."""
    store = tmp_path_factory.mktemp("demonstration") / "store"
    words = [*cell(ur), f"store={store}", "episodes=1", "time_limit=30"]
    with session(store.parent / "session", "collect", *words) as flown:
        flown.until(lambda status: status["note"] == "nothing moves: run to go on")
        before = np.array(ur.state()["q"])
        time.sleep(1.0)
        assert np.abs(np.array(ur.state()["q"]) - before).max() < 1e-3
        ordered(flown, "mode", mode="run")
        flown.until(lambda status: status["source"] == "operator")
        assert flown.wait(PATIENCE) == 0, flown.output
    assert rests(ur)()
    return store


def test_nothing_moves_before_run_and_then_an_episode_is_flown_and_recorded(demonstration: Path) -> None:
    (episode,) = Store.open(demonstration).episodes
    assert episode.attrs["verdict"] == "success"
    assert (episode["source"] == Source.OPERATOR).mean() > 0.7
    assert np.abs(episode["q"] - episode["target.q"]).max() < 0.4
    assert np.ptp(episode["requested.pose"][:, 2]) > 0.05, "the cube was lifted"


def test_a_recorded_episode_is_flown_again_once_a_person_says_run(
    demonstration: Path, ur: EmulatorProcess, tmp_path: Path
) -> None:
    words = [*cell(ur), f"source={demonstration}", f"store={tmp_path / 'again'}", "time_limit=30"]
    with session(tmp_path / "session", "replay", *words) as flown:
        flown.until(lambda status: status["note"] == "nothing moves: run to go on")
        ordered(flown, "mode", mode="run")
        flown.until(lambda status: status["source"] == "script" and status["phase"] == "recording")
        assert flown.wait(PATIENCE) == 0, flown.output
    (episode,), (replayed,) = Store.open(demonstration).episodes, Store.open(tmp_path / "again").episodes
    assert replayed.attrs["replayed"] == episode.id
    assert (replayed["source"] == Source.SCRIPT).mean() > 0.5
    lowest, highest = episode["target.q"].min(axis=0), episode["target.q"].max(axis=0)
    assert np.abs(replayed["target.q"].min(axis=0) - lowest).max() < 0.1
    assert np.abs(replayed["target.q"].max(axis=0) - highest).max() < 0.1


def test_a_protective_stop_is_shown_in_the_controllers_words_and_only_persons_words_lead_on(
    ur: EmulatorProcess, tmp_path: Path
) -> None:
    with session(tmp_path / "session", "collect", *cell(ur), "store=null", "episodes=0", "time_limit=60") as flown:
        flown.until(lambda status: status["note"] == "nothing moves: run to go on")
        ordered(flown, "mode", mode="run")
        flown.until(lambda status: status["source"] == "operator")
        until(moves(ur), PATIENCE)
        ur.ask("pstop", reason="test")
        status = flown.until(
            lambda status: status["note"] == "stopped by the arm's own controller: look at the arm, then recover"
        )
        assert status["fault"].startswith("protective stop (safety mode 3)")
        assert status["reason"].startswith("arm: protective stop")
        assert (status["mode"], status["source"]) == ("stop", "nobody")
        ordered(flown, "mode", mode="reset")
        time.sleep(1.0)
        assert flown.status()["mode"] == "stop", "a reset does not clear a fault"
        assert rests(ur)()
        ordered(flown, "mode", mode="recover")
        flown.until(lambda status: not status["fault"])
        assert ur.state()["safety_mode"] == "NORMAL"
        assert flown.status()["mode"] == "stop", "a recovery is no reset"
        ordered(flown, "mode", mode="reset")
        flown.until(lambda status: status["note"] == "nothing moves: run to go on")
        assert rests(ur)()
        ordered(flown, "mode", mode="run")
        flown.until(lambda status: status["source"] == "operator")
        until(moves(ur), PATIENCE)


def test_an_arm_whose_link_is_lost_in_motion_rests_and_stays_stopped_until_a_reset(
    ur: EmulatorProcess, tmp_path: Path
) -> None:
    with session(tmp_path / "session", "collect", *cell(ur), "store=null", "episodes=0", "time_limit=60") as flown:
        flown.until(lambda status: status["note"] == "nothing moves: run to go on")
        ordered(flown, "mode", mode="run")
        until(moves(ur), PATIENCE)
        ur.ask("drop")
        until(rests(ur), 5.0)
        flown.until(lambda status: any(w["name"] == "control" and w["restarts"] > 0 for w in status["workers"]))
        flown.until(lambda status: status["note"] == "stopped by the loss of the arm's driver: reset to go on")
        assert "link to" in flown.output
        assert rests(ur)()
        ordered(flown, "mode", mode="reset")
        flown.until(lambda status: status["note"] == "nothing moves: run to go on")
        ordered(flown, "mode", mode="run")
        until(moves(ur), PATIENCE)


def test_the_end_of_the_emulated_scene_ends_the_session_with_the_arm_at_rest(
    ur: EmulatorProcess, tmp_path: Path
) -> None:
    with session(tmp_path / "session", "collect", *cell(ur), "store=null", "episodes=0", "time_limit=60") as flown:
        flown.until(lambda status: status["note"] == "nothing moves: run to go on")
        ordered(flown, "mode", mode="run")
        until(moves(ur), PATIENCE)
        flown.until(lambda status: True)
        os.kill(flown.pid("world"), signal.SIGKILL)
        assert flown.wait(20.0) == 1
        assert "world was killed by signal 9" in flown.output
        until(rests(ur), 5.0)
        until(lambda: flown.orphans() == [])


def test_ctrl_c_in_the_motion_test_leaves_the_arm_at_rest_and_home_brings_it_home(ur: EmulatorProcess) -> None:
    here = [*UR, f"robot.arm.host={ur.host}", "yes=true"]
    start = np.array(ur.state()["q"])
    test = run("check", *here, "seconds=0.1", "move=true")
    until(lambda: np.abs(np.array(ur.state()["q"]) - start).max() > 0.03, PATIENCE)
    test.send_signal(signal.SIGINT)
    assert test.wait(20.0) == 130
    test.communicate()
    assert rests(ur)()
    assert np.abs(np.array(ur.state()["q"]) - start).max() > 0.01, "it stops where it is"
    home = run("home", *here, "speed=1.0")
    printed, _ = home.communicate(timeout=PATIENCE)
    assert home.returncode == 0, printed
    assert "The arm is home, after" in printed
    assert np.abs(np.array(ur.state()["q"]) - robot("ur5e").home).max() < 0.01


def test_check_measures_the_robot_and_tests_each_joint(ur: EmulatorProcess) -> None:
    check = run("check", *UR, f"robot.arm.host={ur.host}", "seconds=0.5", "move=true", "yes=true")
    printed, _ = check.communicate(timeout=2 * PATIENCE)
    assert check.returncode == int("This robot can be flown" not in printed), printed
    for joint in robot("ur5e").joints:
        assert re.search(rf"{joint} +\d+ ms behind", printed), printed  # so it went there, and the right way
    assert "ends 0.0" in printed
    assert "half closed" in printed
    assert "policies on pictures cannot fly" in printed
    assert rests(ur)()


def test_home_and_check_of_a_stopped_arm_say_what_its_controller_says_and_move_nothing(ur: EmulatorProcess) -> None:
    ur.ask("estop")
    here = ["robot=ur5e", f"robot.arm.host={ur.host}"]
    for words in (["home", *here, "yes=true"], ["check", *here, "seconds=0.5", "move=true", "yes=true"]):
        verb = run(*words)
        printed, _ = verb.communicate(timeout=PATIENCE)
        assert verb.returncode == 1
        assert "emergency stop" in printed
        assert "pull the button out" in " ".join(printed.split())
        assert "Traceback" not in printed
    assert rests(ur)()


@pytest.mark.timeout(300)
def test_the_same_for_a_franka_whose_user_stop_is_pressed(tmp_path: Path) -> None:
    with start_franka() as fr3:
        world = f"{{_target_:robot_stack.emulators.relay.Relay,host:{fr3.host}}}"
        words = ["robot=fr3", f"robot.arm.host={fr3.host}", f"robot.world={world}", "robot.speed=1.0", *AGES]
        words.append("robot.arm.realtime=false")
        with session(tmp_path / "session", "collect", *words, "store=null", "episodes=0", "time_limit=60") as flown:
            flown.until(lambda status: status["note"] == "nothing moves: run to go on")
            ordered(flown, "mode", mode="run")
            flown.until(lambda status: status["source"] == "operator")
            fr3.ask("user-stop")
            status = flown.until(lambda status: status["fault"] and status["phase"] == "idle")
            assert "user stop" in status["fault"].lower()
            assert (status["mode"], status["source"]) == ("stop", "nobody")
            fr3.ask("user-stop", pressed=False)
            ordered(flown, "mode", mode="recover")
            flown.until(lambda status: not status["fault"])
            assert flown.status()["mode"] == "stop", "a recovery is no reset"
            ordered(flown, "mode", mode="reset")
            flown.until(lambda status: status["note"] == "nothing moves: run to go on")
