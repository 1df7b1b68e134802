"""Who runs ahead of all others: a process whose loop is punctual, and nobody by accident."""

import ctypes
import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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


@contextmanager
def no_gain_of_priority() -> Iterator[None]:
    """Around what takes real-time priority unasked: this thread, and those it starts, run as it did before.

    SVT-AV1 raises the thread that opens an encoder to SCHED_FIFO 99 if it may (svt_av1_enc_init_handle), above the
    control loop, and leaves it there; all that the thread starts later inherits it.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = set(os.listdir("/proc/self/task"))
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy or os.sched_getparam(0) != parameters:
            os.sched_setscheduler(0, policy, parameters)
            for thread in set(os.listdir("/proc/self/task")) - before:
                with suppress(ProcessLookupError):
                    os.sched_setscheduler(int(thread), policy, parameters)


def _errno() -> str:
    return os.strerror(ctypes.get_errno())
