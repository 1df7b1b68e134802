"""What the emulated arm does is seen in a session, and the session's episodes reach its scene."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from robot_stack.bus import LocalBus
from robot_stack.cameras.sim import SimCamera
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.emulators.relay import Relay
from robot_stack.sim import station, wire
from robot_stack.spec import Record
from robot_stack.station import EPISODE
from robot_stack.types import DeviceError
from tests.robot_stack.emulators.ur_client import client


@pytest.fixture
def bus(ur: EmulatorProcess) -> Iterator[LocalBus]:
    """A session's bus to which the scene of the emulator is relayed."""
    bus, stop = LocalBus(), threading.Event()
    relay = Relay(bus, "ur5e", "lift", ur.host)
    thread = threading.Thread(target=relay.run, args=(stop.is_set,))
    thread.start()
    yield bus
    stop.set()
    thread.join()


def test_a_camera_sees_the_arm_move(bus: LocalBus, ur: EmulatorProcess) -> None:
    with SimCamera(bus, "ur5e", "lift", "front", 72, 96, 20.0) as camera:
        before = camera.read().image.astype(float)
        still = np.abs(camera.read().image - before).max()
        client(
            ur,
            """
            receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
            q = receive.getActualQ()
            control.moveJ([q[0] + 0.4, *q[1:]], 2.0, 8.0)
            """,
        )
        time.sleep(0.1)
        frame = camera.read()
    assert still < 3.0
    assert np.abs(frame.image - before).max() > 50.0
    assert now() - frame.time < 2.0


def test_an_episode_moves_the_objects_also_when_its_number_was_that_of_an_earlier_session(
    bus: LocalBus, ur: EmulatorProcess
) -> None:
    worlds, episodes = bus.subscriber(station("ur5e", "lift").world), bus.publisher(EPISODE)
    wire.first(worlds, "the world")
    episodes.send(EPISODE.spec.record(number=1, seed=5))
    first = _until(lambda: worlds.latest(), lambda world: world["number"] == 1)["objects.cube"].copy()
    stop = threading.Event()
    other = LocalBus()
    thread = threading.Thread(target=Relay(other, "ur5e", "lift", ur.host).run, args=(stop.is_set,))
    thread.start()
    again = other.subscriber(station("ur5e", "lift").world)
    _until(lambda: again.latest(), lambda world: world["number"] == -1)
    other.publisher(EPISODE).send(EPISODE.spec.record(number=1, seed=6))
    second = _until(lambda: again.latest(), lambda world: world["number"] == 1)["objects.cube"]
    stop.set()
    thread.join()
    assert np.linalg.norm(second - first) > 0.01


def test_a_relay_without_an_emulator_says_what_to_start() -> None:
    relay = Relay(LocalBus(), "ur5e", "lift", f"nobody-{os.getpid()}")
    with pytest.raises(DeviceError, match=r"scene of the emulated ur5e at nobody.*robot-stack emulate.*no word"):
        relay.run(lambda: False)


def _until(read: Callable[[], Record | None], true: Callable[[Record], bool]) -> Record:
    deadline = now() + 10.0
    while True:
        record = read()
        if record is not None and true(record):
            return record
        assert now() < deadline, f"not within 10 s: {record}"
        time.sleep(0.01)
