"""Workers to be spawned by test_worker.py, one a kind of behaviour."""

import gc
import json
import os
import signal
import sys
import time
from pathlib import Path

from deploy.worker import Context
from robot_stack.clock import Rate
from robot_stack.realtime import real_time
from robot_stack.types import DeviceError


def turn(context: Context) -> None:
    """Turns at 100 Hz; says in `left` (config) that it left its loop."""
    rate = Rate(100.0)
    while not context.stop():
        late = rate.sleep()
        context.health.beat(0.002, late)
    Path(context.config["left"]).write_text(f"{os.getpid()} {time.monotonic()}")


def deaf(context: Context) -> None:
    """Never looks at `stop`."""
    context.health.beat(0.0)
    while True:
        time.sleep(0.01)


def stuck_in_c(context: Context) -> None:
    """Sits in one long call of C that releases the GIL, as a driver or a network does."""
    context.health.beat(0.0)
    time.sleep(60.0)


def break_down(context: Context) -> None:
    """Fails as a driver does that finds no device."""
    raise DeviceError("no camera 17; there are: 3, 4")


def surprise(context: Context) -> None:
    """Fails as nobody expected."""
    raise ZeroDivisionError("surprise")


def tell(context: Context) -> None:
    """Writes down what it was given."""
    granted = real_time(10)
    Path(context.config["out"]).write_text(
        json.dumps(
            {
                "config": context.config,
                "name": context.name,
                "session": context.session,
                "threads": os.environ["OMP_NUM_THREADS"],
                "interrupt_ignored": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
                "group": os.getpgid(0),
                "garbage_collected": gc.isenabled(),
                "scheduler": os.sched_getscheduler(0),
                "granted": granted,
                "heavy": sorted({"torch", "cv2", "zarr", "fastapi", "mujoco"} & set(sys.modules)),
            }
        )
    )
