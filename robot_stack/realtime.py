"""A process whose loop is punctual: no collections of garbage, no page faults, ahead of all ordinary processes."""

import ctypes
import gc
import logging
import os

log = logging.getLogger(__name__)

_MCL_CURRENT = 1


def real_time(priority: int) -> bool:
    """Make this process's loop punctual: no collections of garbage, no page faults, and ahead of all ordinary
    processes.

    priority: of SCHED_FIFO, 1 (low) to 99. What the system refuses is logged with what it costs; returns whether the
    priority was granted. Call it when everything is allocated, just before the loop.
    """
    gc.collect()
    gc.freeze()
    gc.disable()  # what is left is freed by reference counts; a loop must make no reference cycles
    if ctypes.CDLL(None, use_errno=True).mlockall(_MCL_CURRENT) != 0:
        log.warning("memory not locked (%s): a page that was swapped out costs milliseconds", _errno())
    try:
        for thread in os.listdir("/proc/self/task"):  # all: whichever holds the interpreter's lock holds up the loop
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        log.warning(
            "no real-time priority: under load the loop wakes milliseconds late. Allow it with a line "
            "'%s - rtprio %d' in /etc/security/limits.conf and a new login",
            os.environ.get("USER", "USER"),
            priority,
        )
        return False
    return True


def _errno() -> str:
    return os.strerror(ctypes.get_errno())
