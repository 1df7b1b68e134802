"""`robot-stack emulate`: puts one emulator together, says what it serves, and runs it until it is told to end."""

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from robot_stack.emulators.admin import Admin
from robot_stack.emulators.loop import Loop
from robot_stack.realtime import real_time

PRIORITY = 70
"""Of the real controller's place: it waits for none of our processes."""


class Emulator(Protocol):
    """What a kind of emulator is made of. rate: of its cycle [Hz]; session: of the bus it shows its scene on, or ''."""

    rate: float
    session: str

    def cycle(self, due: float) -> None:
        """One cycle of the controller, which was due at `due` [s]."""
        ...

    def serves(self) -> str:
        """What it serves and how to connect to it, in plain words."""
        ...

    def offer(self, admin: Admin) -> None:
        """Add the commands that tests and a person may give."""
        ...

    def close(self) -> None:
        """Leave nothing open."""
        ...


def ur5e(config: Mapping[str, Any]) -> int:
    """A UR5e with its control box and a Robotiq 2F-85."""
    from robot_stack.emulators.ur.emulator import UrEmulator

    return run("ur5e", config, lambda loop: UrEmulator(loop, config))


def franka(config: Mapping[str, Any]) -> int:
    """A Franka Research 3 with its hand."""
    from robot_stack.emulators.franka.arms import fr3

    return run("franka", config, lambda loop: fr3(loop, config))


def panda(config: Mapping[str, Any]) -> int:
    """A Franka Emika Panda with its hand."""
    from robot_stack.emulators.franka.arms import panda as make

    return run("panda", config, lambda loop: make(loop, config))


def robotiq(config: Mapping[str, Any]) -> int:
    """A Robotiq 2F-85 alone."""
    from robot_stack.emulators.robotiq import RobotiqEmulator

    return run("robotiq", config, lambda loop: RobotiqEmulator(loop, config))


def run(kind: str, config: Mapping[str, Any], make: Callable[[Loop], Emulator]) -> int:
    """Run an emulator. Config of all kinds: host, faults (commands typed at the start), stdin_owner (see the YAML)."""
    logging.basicConfig(format=f"%(asctime)s {kind} %(levelname)s %(message)s", level=logging.INFO)
    loop = Loop()
    admin = Admin(loop, bool(config["stdin_owner"]))
    emulator = make(loop)
    try:
        emulator.offer(admin)
        for command in config["faults"]:
            admin.type(command)
        _announce(kind, config, emulator, admin)
        real_time(PRIORITY)
        loop.run(emulator.rate, emulator.cycle, lambda: admin.orphaned)
    finally:
        emulator.close()
    return 0


def _announce(kind: str, config: Mapping[str, Any], emulator: Emulator, admin: Admin) -> None:
    if config["stdin_owner"]:
        ready = {"ready": kind, "host": config["host"], "admin": admin.port, "session": emulator.session}
        print(json.dumps({**ready, "pid": os.getpid()}), flush=True)
        return
    print(emulator.serves())
    print(f"Programs give it faults as JSON lines on port {admin.port} of 127.0.0.1.", end=" ")
    if admin.typed:
        print("You can type:\n" + admin.help())
    print("Ctrl-C ends it.", flush=True)
