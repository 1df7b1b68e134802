"""A process that publishes on `gripper` until it is killed: `python bus_sender.py SESSION`. opening: its process id."""

import itertools
import os
import sys
import time

from robot_stack.bus import SharedBus
from robot_stack.station import GRIPPER

if __name__ == "__main__":
    with SharedBus(sys.argv[1]) as bus:
        publisher = bus.publisher(GRIPPER)
        for count in itertools.count():
            publisher.send(GRIPPER.spec.record(time=float(count), opening=float(os.getpid())))
            time.sleep(0.001)
