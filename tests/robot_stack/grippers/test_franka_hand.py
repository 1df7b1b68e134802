"""The Franka hand, through both client libraries against its emulator, and over a library that a test controls."""

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.grippers.franka_hand import LIBRARIES, FrankaHand
from robot_stack.types import ConfigError, DeviceError
from tests import contracts
from tests.robot_stack.emulators.emulator import next_host
from tests.robot_stack.emulators.franka import Client, start_franka

STROKE = 0.08


def until(true: Callable[[], bool]) -> None:
    deadline = now() + 10.0
    while not true():
        assert now() < deadline
        time.sleep(0.005)


# --- against the emulator, each library in a process of its own -------------------------------------------------------


@pytest.fixture(scope="module")
def there() -> Iterator[EmulatorProcess]:
    with start_franka() as emulator:
        yield emulator


@pytest.fixture(params=list(LIBRARIES))
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def program(library: str, body: str) -> str:
    return f"""
import json, sys, time
from robot_stack.grippers.franka_hand import FrankaHand
from robot_stack.types import DeviceError
def make(homing=False): return FrankaHand(sys.argv[1], {library!r}, 0.1, 20.0, homing)
def say(value): print(json.dumps(value), flush=True)
{body}
"""


def test_it_keeps_the_contract_of_a_gripper(library: str, there: EmulatorProcess) -> None:
    there.ask("reset")
    code = f"sys.path.insert(0, {contracts.__file__.rpartition('/')[0]!r}); import contracts\n"
    code += f"contracts.gripper_opens_and_closes(make, {STROKE}); say('kept')"
    with Client(there.host, program(library, code)) as client:
        assert client.hear() == "kept"


def test_a_closed_hand_presses_and_a_hand_that_is_lost_is_an_error(library: str, there: EmulatorProcess) -> None:
    there.ask("reset")
    code = """
with make(homing=True) as hand:
    hand.move(0.0)
    say('closing')
    input()
    try:
        while True:
            hand.read()
            time.sleep(0.02)
    except DeviceError as error:
        say(str(error))
"""
    with Client(there.host, program(library, code)) as client:
        assert client.hear() == "closing"
        until(lambda: there.state()["holds"])
        commands = [event["command"] for event in there.events() if event["event"] == "hand"]
        assert commands[-2:] == ["homing", "grasp"]
        client.tell()
        there.ask("silence", part="hand")
        assert there.host in client.hear()


def test_a_hand_that_is_not_there_says_where_to_look(library: str) -> None:
    host = next_host()
    code = """
try:
    make().__enter__()
except DeviceError as error:
    say(str(error))
"""
    with Client(host, program(library, code)) as client:
        assert f"no hand at {host}: is it mounted, and chosen as end effector in Desk?" in client.hear()


# --- over a fake library ----------------------------------------------------------------------------------------------


class FakeHand:
    """Fingers that go where they are told at once, unless something is between them; or that take their time."""

    newest: "FakeHand"
    max_width = STROKE

    def __init__(self, host: str) -> None:
        FakeHand.newest = self
        self.width, self.thing = STROKE, 0.0
        self.busy = threading.Event()
        self.busy.set()
        self.log: list[tuple[str, float]] = []
        self.aborted = False

    @property
    def state(self) -> Any:
        return SimpleNamespace(width=self.width, max_width=self.max_width)

    def move(self, width: float, speed: float) -> bool:
        return self._do("move", width)

    def grasp(self, width: float, speed: float, force: float, inner: float, outer: float) -> bool:
        return self._do("grasp", width)

    def homing(self) -> bool:
        return self._do("homing", STROKE)

    def stop(self) -> bool:
        self.aborted = True
        self.log.append(("stop", self.width))
        self.busy.set()
        return True

    def _do(self, what: str, width: float) -> bool:
        self.log.append((what, width))
        self.busy.wait(5.0)
        if self.aborted:
            self.aborted = False
            raise RuntimeError("Command aborted!")
        self.width = max(width, self.thing)
        return self.width == width


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FrankaHand]:
    monkeypatch.setitem(sys.modules, "franky", SimpleNamespace(Gripper=FakeHand))
    with FrankaHand("a-robot", "franky", 0.1, 20.0, homing=False) as hand:
        yield hand


def did(count: int) -> list[tuple[str, float]]:
    until(lambda: len(FakeHand.newest.log) >= count)
    time.sleep(0.05)
    return FakeHand.newest.log


def test_fingers_open_by_moving_and_close_by_pressing(fake: FrankaHand) -> None:
    fake.move(0.05)
    did(1)
    fake.move(0.0)
    assert did(2) == [("move", 0.05), ("grasp", 0.0)]


def test_what_is_in_the_way_of_fingers_that_close_is_held(fake: FrankaHand) -> None:
    FakeHand.newest.thing = 0.04
    fake.move(0.02)
    assert did(2) == [("move", 0.02), ("grasp", 0.02)]


def test_what_is_asked_twice_is_done_once(fake: FrankaHand) -> None:
    fake.move(0.05)
    did(1)
    fake.move(0.0502)
    assert did(1) == [("move", 0.05)]


def test_the_newest_of_what_was_asked_meanwhile_is_done(fake: FrankaHand) -> None:
    FakeHand.newest.busy.clear()
    fake.move(0.05)
    did(1)
    for wanted in (0.052, 0.054, 0.056):
        fake.move(wanted)
    FakeHand.newest.busy.set()
    assert did(2) == [("move", 0.05), ("move", 0.056)]


def test_fingers_that_go_where_they_should_not_go_any_more_are_stopped_on_the_way(fake: FrankaHand) -> None:
    FakeHand.newest.busy.clear()
    fake.move(0.0)
    did(1)
    fake.move(STROKE)
    assert did(3) == [("grasp", 0.0), ("stop", STROKE), ("move", STROKE)]


def test_an_opening_that_cannot_be_is_brought_into_what_can(fake: FrankaHand) -> None:
    fake.move(1.0)
    assert did(1) == [("move", STROKE)]
    with pytest.raises(DeviceError, match="asked for an opening of nan m"):
        fake.move(float("nan"))


def test_a_hand_that_has_not_looked_for_its_stops_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "franky", SimpleNamespace(Gripper=FakeHand))
    monkeypatch.setattr(FakeHand, "max_width", 0.0)
    with pytest.raises(DeviceError, match=r"knows of 0 mm between its fingers.*gripper.homing=true"):
        FrankaHand("a-robot", "franky", 0.1, 20.0, homing=False).__enter__()


@pytest.mark.parametrize(("speed", "force"), [(0.0, 20.0), (0.2, 20.0), (0.1, 0.0), (0.1, 100.0)])
def test_a_speed_or_force_that_the_hand_has_not_is_refused(speed: float, force: float) -> None:
    with pytest.raises(ConfigError, match=r"expected up to 0.1 m/s, 70.0 N"):
        FrankaHand("a-robot", "franky", speed, force, homing=False)


def test_an_unknown_library_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no library 'frankx' for the Franka hand; there are: franky, panda_py"):
        FrankaHand("a-robot", "frankx", 0.1, 20.0, homing=False)
