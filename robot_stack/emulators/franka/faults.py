"""What can be done to an emulated Franka arm while it runs, by tests and by whoever sits at its keyboard."""

from typing import Any

import numpy as np

from robot_stack.clock import now
from robot_stack.emulators.admin import Admin
from robot_stack.emulators.franka.emulator import FrankaEmulator
from robot_stack.emulators.wire import Link
from robot_stack.types import ConfigError


class Faults:
    """The commands of the back door; each method is one, its first line the help."""

    def __init__(self, emulator: FrankaEmulator) -> None:
        self._emulator = emulator

    def offer(self, admin: Admin) -> None:
        """Make them known."""
        admin.offer(
            self.state,
            self.events,
            self.save,
            self.reflex,
            self.user_stop,
            self.guiding,
            self.push,
            self.twist,
            self.block,
            self.place,
            self.reset,
            self.cut,
            self.silence,
            self.delay,
            self.freeze,
            self.fci,
            self.version,
            self.reboot,
        )

    def state(self) -> dict[str, Any]:
        """What the robot is doing: mode, errors, joints, forces, the hand, the objects."""
        return self._emulator.state()

    def events(self, since: float = 0.0) -> list[dict[str, Any]]:
        """What happened after a time of the system's monotonic clock [s]."""
        return self._emulator.events.since(since)

    def save(self, table: str, path: str) -> int:
        """Write the last minute of the table `cycles`, a row a millisecond, to a file (.npy)."""
        return self._emulator.save(table, path)

    def reflex(self, error: str = "cartesian_reflex") -> None:
        """Let the robot stop with an error, by libfranka's name."""
        self._emulator.controller.reflex([error])

    def user_stop(self, pressed: bool = True) -> None:
        """Press the user stop, or release it."""
        self._emulator.controller.user_stop(pressed)

    def guiding(self, on: bool = True) -> None:
        """Take the arm by hand, or let go of it."""
        self._emulator.controller.guide(on)

    def push(self, force: list[float], seconds: float = 0.5) -> None:
        """Push the hand: three forces [N], three torques [Nm] or none, in the base."""
        self._emulator.body.push(_numbers("force", force, (3, 6)), seconds)

    def twist(self, torque: list[float], seconds: float = 0.5) -> None:
        """Turn the joints from outside: seven torques [Nm]."""
        plant = self._emulator.plant
        plant.twist = np.array(_numbers("torque", torque, (7,)))

        def release() -> None:
            plant.twist = np.zeros(7)

        self._emulator.loop.call_at(now() + seconds, release)

    def block(self, on: bool = True) -> None:
        """Hold the hand where it is, as an obstacle would, or let go."""
        self._emulator.body.block(on)

    def place(self, q: list[float]) -> None:
        """Put the arm at these joints at once [rad], at rest; ends a motion."""
        self._emulator.plant.place(np.array(_numbers("q", q, (7,))))
        self._emulator.controller.boot()

    def reset(self) -> None:
        """All as at the start: the arm at home, objects and settings as they were, nothing wrong anywhere."""
        emulator = self._emulator
        for link in (emulator.link, emulator.hand_link):
            link.silent, link.delay, link.jitter = False, 0.0, 0.0
            link.accept()
        emulator.server.number = emulator.version.number
        emulator.statement.frozen = False
        emulator.body.restart()
        self.place(emulator.body.world.robot.home.tolist())

    def cut(self, reset: bool = False, part: str = "robot") -> None:
        """End the connection of the robot or the hand with FIN, or with RST."""
        self._link(part).cut(reset)

    def silence(self, on: bool = True, part: str = "robot") -> None:
        """Pull the cable of the robot or the hand, or plug it in again."""
        self._link(part).silent = on

    def delay(self, seconds: float = 0.0, jitter: float = 0.0) -> None:
        """Let the robot's states be late, and as much more as jitter says at random [s]."""
        link = self._emulator.link
        link.delay, link.jitter = seconds, jitter

    def freeze(self, on: bool = True) -> None:
        """Send the same measurements again and again under new numbers, while modes and arm go on."""
        self._emulator.statement.frozen = on

    def fci(self, active: bool = False) -> None:
        """Refuse connections, as a robot whose control interface is not activated, or accept them again."""
        link = self._emulator.link
        if active:
            link.accept()
        else:
            link.refuse()

    def version(self, number: int) -> None:
        """Claim to be a server of another version, from the next connection on."""
        self._emulator.server.number = number

    def reboot(self, seconds: float = 2.0) -> None:
        """Switch off, and be back after so many seconds, with nothing set."""
        emulator = self._emulator
        for link in (emulator.link, emulator.hand_link):
            link.refuse()
            emulator.loop.call_at(now() + seconds, link.accept)
        emulator.boot()
        emulator.events.add("reboot", seconds=seconds)

    def _link(self, part: str) -> Link:
        links = {"robot": self._emulator.link, "hand": self._emulator.hand_link}
        if part not in links:
            raise ConfigError(f"part={part}: expected robot or hand")
        return links[part]


def _numbers(name: str, given: Any, lengths: tuple[int, ...]) -> list[float]:
    if not isinstance(given, list) or len(given) not in lengths or not np.isfinite(given).all():
        expected = " or ".join(map(str, lengths))
        raise ConfigError(f"{name}={given}: expected {expected} numbers, as in {name}=[0,0,10]")
    return [float(number) for number in given]
