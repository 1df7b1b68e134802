"""How a simulated device finds its world."""

import time

from robot_stack.bus import Subscriber
from robot_stack.clock import now
from robot_stack.spec import Record
from robot_stack.types import DeviceError

PATIENCE = 20.0
"""The world may need this long to start: the first time it decimates the robot's meshes [s]."""


def first(subscriber: Subscriber, device: str, patience: float = PATIENCE) -> Record:
    """The newest record, waiting for one; DeviceError after `patience` [s]."""
    deadline = now() + patience
    while (record := subscriber.latest()) is None:
        if now() > deadline:
            raise DeviceError(f"{device}: no word from its world for {patience:.0f} s; does its process run?")
        time.sleep(0.005)
    return record
