"""The shared object that a Panda hands to its client: kinematics and dynamics in C, compiled here once.

A client of server version 5 computes nothing itself: it asks the robot for a library and calls what is in there. So
this needs a C compiler, as `cc`; without one, clients that load the model are told that there is none.
"""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import mujoco
import numpy as np

from robot_stack.emulators.franka.frames import FLANGE
from robot_stack.emulators.franka.masses import links
from robot_stack.emulators.franka.urdf import CHAIN
from robot_stack.types import DeviceError

SOURCE = Path(__file__).with_name("model_library.c")
COMPILER = ("cc", "-O2", "-shared", "-fPIC", "-x", "c", "-")


def model_library(model: mujoco.MjModel) -> bytes:
    """The library for the scene's arm, from the user's cache if it is there; DeviceError where it cannot be made."""
    source = _tables(model) + SOURCE.read_text()
    path = _cache() / f"model-{hashlib.sha256(source.encode()).hexdigest()[:16]}.so"
    if not path.exists():
        _compile(source, path)
    return path.read_bytes()


def _tables(model: mujoco.MjModel) -> str:
    chain = [[joint.a, joint.d, joint.alpha] for joint in CHAIN]
    rows = [[link.mass, *link.center, *link.inertia[np.triu_indices(3)]] for link in links(model)]
    return f"""
static const double CHAIN[7][3] = {_rows(chain)};
static const double LINKS[7][10] = {_rows(rows)};
static const double FLANGE = {FLANGE!r};
"""


def _rows(rows: list[list[float]]) -> str:
    return "{" + ", ".join("{" + ", ".join(f"{value:.17g}" for value in row) + "}" for row in rows) + "}"


def _compile(source: str, path: Path) -> None:
    """Under a temporary name, then renamed: several emulators may start at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    try:
        subprocess.run([*COMPILER, "-o", temporary, "-lm"], input=source, text=True, check=True, capture_output=True)
        os.replace(temporary, path)
    except FileNotFoundError as error:
        raise DeviceError(
            "no C compiler (cc) on this machine: the Panda's model library cannot be made, and panda_py.Panda cannot "
            "connect; panda_py.libfranka.Robot can. Install gcc or clang"
        ) from error
    except subprocess.CalledProcessError as error:
        raise DeviceError(f"the Panda's model library does not compile:\n{error.stderr}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robot-stack" / "franka"
