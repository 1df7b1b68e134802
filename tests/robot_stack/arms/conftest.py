"""The emulated arms that the drivers' tests share, and flights on the UR5e."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.arms.ur_dashboard import Dashboard
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.arms.ur5e_flight import Flight
from tests.robot_stack.emulators.emulator import next_host, start_ur
from tests.robot_stack.emulators.franka import start_franka, start_panda

ROBOTS = {"fr3": ("franky", start_franka), "panda": ("panda_py", start_panda)}


@pytest.fixture(scope="module", params=list(ROBOTS))
def franka(request: pytest.FixtureRequest) -> str:
    """Each robot whose library is installed, by its name."""
    name: str = request.param
    if importlib.util.find_spec(ROBOTS[name][0]) is None:
        pytest.skip(f"{ROBOTS[name][0]} is not installed")
    return name


@pytest.fixture(scope="module")
def there(franka: str) -> Iterator[EmulatorProcess]:
    """Its emulator."""
    with ROBOTS[franka][1](next_host()) as emulator:
        yield emulator


# --- UR5e -------------------------------------------------------------------------------------------------------------

SERVOJ = 11
LARGEST_STEP = 0.0079
"""What the driver lets through: 1.25 times what a joint does in 2 ms [rad]."""


@pytest.fixture(scope="module")
def controller() -> Iterator[EmulatorProcess]:
    process = start_ur(unlock_after=0.5)
    yield process
    process.stop()


@pytest.fixture
def ur(controller: EmulatorProcess, tmp_path: Path) -> Iterator[EmulatorProcess]:
    """Powered and nobody's, whatever the test before left; and nothing is sent to it that should not be."""
    began = now()
    make_ready(controller)
    yield controller
    commands = controller.log("commands", tmp_path / "commands.npy")
    commands = commands[(commands["time"] > began) & (commands["command"] == SERVOJ)]
    assert np.isfinite(commands["values"]).all()
    steps = np.abs(np.diff(commands["values"], axis=0)).max(axis=1, initial=0.0)
    beside = np.diff(commands["time"]) < 0.1  # not those of two flights
    assert (steps[beside] <= LARGEST_STEP).all()
    packages = controller.state()["packages"]
    assert (packages["malformed"], packages["too_short"], packages["too_long"]) == (0, 0, 0)


Fly = Callable[..., Flight]
"""Makes flights that have entered the driver; its arguments are the driver's."""


@pytest.fixture
def fly(ur: EmulatorProcess) -> Iterator[Fly]:
    """Makes flights that have entered the driver; what is left of them afterwards is killed."""
    flights: list[Flight] = []

    def begin(**arguments: Any) -> Flight:
        flight = Flight(ur.host, **arguments)
        flights.append(flight)
        flight.hear("entered")
        return flight

    yield begin
    for flight in flights:
        flight.kill()


def until(true: Callable[[], bool], patience: float = 10.0) -> None:
    deadline = now() + patience
    while not true():
        assert now() < deadline, f"not within {patience:.0f} s"
        time.sleep(0.02)


def is_at_rest(ur: EmulatorProcess) -> bool:
    return max(map(abs, ur.state()["qd"])) < 1e-3


def make_ready(ur: EmulatorProcess) -> None:
    """End whatever the controller is in, the harsh way: it has power and no program afterwards."""
    ur.ask("silence", on=False)
    ur.ask("freeze", on=False)
    ur.ask("remote")
    ur.ask("estop")
    ur.ask("estop", pressed=False)
    with Dashboard(ur.host) as pendant:
        pendant.order("power on", "Powering on")
        pendant.order("brake release", "Brake releasing")
