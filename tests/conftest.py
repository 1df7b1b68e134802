"""What holds for every test: no screen, no sound, few threads, nothing fetched from anywhere."""

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores; threads that spin between calls starve the other processes
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def nobody_stays_in_real_time() -> Iterator[None]:
    """A test that leaves its process at real-time priority is refused.

    Whatever it starts later inherits that: a browser or torch's threads at priority 99 stop the machine.
    """
    yield
    priority = os.sched_getparam(0).sched_priority
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    assert priority == 0, f"left at real-time priority {priority}"
