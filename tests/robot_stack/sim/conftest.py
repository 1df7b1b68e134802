"""A simulated world that runs in real time, in a thread."""

import threading
from collections.abc import Iterator

import pytest

from robot_stack.bus import Bus, LocalBus
from robot_stack.sim.server import WorldServer


@pytest.fixture(scope="module", params=["ur5e", "fr3"])
def cell(request: pytest.FixtureRequest) -> Iterator[tuple[Bus, str]]:
    """The bus on which a world runs, and the name of the robot in it."""
    bus, stop = LocalBus(), threading.Event()
    server = WorldServer(bus, request.param, "lift")
    thread = threading.Thread(target=server.run, args=(stop.is_set,))
    thread.start()
    yield bus, request.param
    stop.set()
    thread.join()
