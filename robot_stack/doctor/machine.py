"""Checks of the machine: processors, real time, memory, disk, network."""

import os
import platform
import resource
import shutil
import socket
import subprocess
from pathlib import Path

import psutil

from robot_stack.doctor.finding import Finding, fail, ok, warn

MEMORY = 8.0
"""What the service with two cameras, and a training, need at least [GB]."""

SHARED_MEMORY = 0.5
"""What the topics of a station with two 640 x 480 cameras need, with slack [GB]."""

DISK = 2 * (320 * 240 * 3) * 10 * 3600 / 1e9
"""An hour of demonstrations with two 320 x 240 cameras at 10 rows a second, not compressed [GB]."""

PRIORITY = 80
"""What the control process asks for: below the kernel's own threads, above everything else."""


def gpu() -> Finding:
    """Any NVIDIA GPU."""
    if shutil.which("nvidia-smi"):
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], capture_output=True, text=True
        )
        if listing.returncode == 0 and listing.stdout.strip():
            return ok("GPU", "; ".join(listing.stdout.strip().splitlines()))
    return warn(
        "GPU",
        "none",
        "state policies train in minutes all the same; image policies take hours",
        "train them on a machine with an NVIDIA GPU; flying them needs none",
    )


def kernel() -> Finding:
    """A kernel that keeps deadlines."""
    real_time = Path("/sys/kernel/realtime")
    if (real_time.exists() and real_time.read_text().strip() == "1") or "PREEMPT_RT" in platform.version():
        return ok("kernel", f"{platform.release()}, real-time")
    return warn(
        "kernel",
        f"{platform.release()}, not real-time",
        "a control tick is late now and then, by milliseconds when the machine is busy",
        "fine for simulation and UR; for Franka at 1 kHz boot a PREEMPT_RT kernel (linux-image-rt on Debian)",
    )


def priority() -> Finding:
    """Whether the control process may go before all others."""
    if os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[0] >= PRIORITY:
        if _may_run_first():
            return ok("priority", "real-time priority is permitted")
        remedy = "give the container the capability SYS_NICE, or run outside of one"
    else:
        remedy = f"add '{os.environ.get('USER', 'you')} - rtprio 99' to /etc/security/limits.conf and log in again"
    cost = "the control process competes with all others: late ticks under load (it says so and goes on)"
    return warn("priority", "real-time priority is refused", cost, remedy)


def _may_run_first() -> bool:
    """Try it on this thread only, and give it back at once."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def processors() -> Finding:
    """How many cores this process may use, and whether they run at full speed."""
    cores = len(os.sched_getaffinity(0))
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    speed = governor.read_text().strip() if governor.exists() else ""
    found = f"{cores} cores" + (f", governor {speed}" if speed else "")
    if cores < 4:
        cost = "enough for the demo; a real cell with two cameras and an image policy wants four"
        return warn("processors", found, cost, "use a machine with more cores for a real cell")
    if speed in ("powersave", "ondemand", "conservative", "schedutil"):
        cost = "the clock rises only after a tick has begun: late ticks"
        return warn("processors", found, cost, "sudo cpupower frequency-set -g performance")
    return ok("processors", found)


def memory() -> Finding:
    """Memory that can be had now."""
    available = psutil.virtual_memory().available / 1e9
    found = f"{available:.1f} GB free of {psutil.virtual_memory().total / 1e9:.1f}"
    if available >= MEMORY:
        return ok("memory", found)
    return warn("memory", found, f"training and service together want {MEMORY:.0f} GB", "close other programs")


def shared_memory() -> Finding:
    """Where the topics live."""
    usage = shutil.disk_usage("/dev/shm")
    found = f"{usage.free / 1e9:.2f} GB free of {usage.total / 1e9:.2f} in /dev/shm"
    if usage.free / 1e9 >= SHARED_MEMORY:
        return ok("shared memory", found)
    cost = "camera pictures do not fit: the service's processes die with a bus error"
    return fail("shared memory", found, cost, "docker run --shm-size=1g, or mount -o remount,size=1g /dev/shm")


def disk(store: str) -> Finding:
    """Room for episodes."""
    folder = next(path for path in [Path(store).resolve(), *Path(store).resolve().parents] if path.exists())
    free = shutil.disk_usage(folder).free / 1e9
    found = f"{free:.0f} GB free for {folder}"
    if not os.access(folder, os.W_OK):
        return fail(
            "disk", f"no permission to write in {folder}", "nothing can be recorded", "choose another store=..."
        )
    if free >= DISK:
        return ok("disk", found)
    return warn(
        "disk",
        found,
        f"an hour of demonstrations with two cameras takes up to {DISK:.0f} GB",
        "make room, or choose another store=...",
    )


def port(host: str, number: int) -> Finding:
    """The service's page."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            cost = "the service's page cannot be opened there"
            remedy = f"end what listens there (ss -ltnp | grep {number}), or choose another port=..."
            return warn("port", f"{host}:{number}: {error.strerror}", cost, remedy)
    return ok("port", f"{host}:{number} is free")
