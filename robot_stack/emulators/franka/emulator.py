"""One emulated Franka arm with its hand: the robot's cycle, and everything that can be done to it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from robot_stack.clock import now
from robot_stack.emulators.admin import Admin
from robot_stack.emulators.body import Body, session
from robot_stack.emulators.franka.controller import Controller
from robot_stack.emulators.franka.datagrams import Datagrams
from robot_stack.emulators.franka.errors import ERRORS
from robot_stack.emulators.franka.hand import HandServer
from robot_stack.emulators.franka.limits import Limits
from robot_stack.emulators.franka.messages import command_layout
from robot_stack.emulators.franka.plant import STEP, Plant
from robot_stack.emulators.franka.protocol import Command, Version
from robot_stack.emulators.franka.server import RobotServer
from robot_stack.emulators.franka.statement import Statement
from robot_stack.emulators.journal import Events, Ring
from robot_stack.emulators.loop import Loop
from robot_stack.emulators.wire import Link
from robot_stack.spec import Field, Spec
from robot_stack.types import ConfigError

PATIENCE, IMPATIENCE = 0.25, 0.05
"""With clock `wait` and `lockstep` the robot's clock stands still so long for a client that owes a command, less if one
has just been missed [s]: who stalls is waited for, who hangs loses 20 commands in 1.2 s."""
BEGINNING = 0.005
"""… and this long for a motion's first command [s]: so both count from the same state, as if both were punctual."""
LOCKSTEP = 10
"""With clock `lockstep` a motion runs this many times as fast as the wall's clock, if the client can."""
CATCH_UP = 3
"""At most so many steps more are made in a cycle where the robot's clock is behind."""
REMEMBERED = 60_000
"""Steps in the table `cycles`: the last minute."""
CYCLE = Spec(
    [
        Field("time", unit="s"),  # when the state was sent
        Field("message_id", dtype="i8", unit="ms"),  # the robot's own clock
        Field("answered", dtype="u1"),  # 1: the client's command for this step had come in time
        Field("q_d", (7,), unit="rad"),
        Field("tau_d", (7,), unit="Nm"),
        Field("q", (7,), unit="rad"),
        Field("dq", (7,), unit="rad/s"),
    ]
)
CLOCKS = ("wait", "lockstep", "wall")


class FrankaEmulator:
    """Everything of one arm. Config: see configs/emulate_franka.yaml."""

    rate = 1.0 / STEP

    def __init__(
        self,
        loop: Loop,
        config: Mapping[str, Any],
        robot: str,
        version: Version,
        limits: Limits,
        model: Callable[[Plant], bytes],
    ) -> None:
        if config["clock"] not in CLOCKS:
            raise ConfigError(f"no clock {config['clock']!r}; there are: {', '.join(CLOCKS)}")
        self.clock, self.host, self.version = config["clock"], config["host"], version
        self.session = session(robot, self.host)
        self.loop, self.link, self.hand_link = loop, Link(loop), Link(loop)
        self.events, self.cycles = Events(), Ring(CYCLE, REMEMBERED)
        self.message = 0
        self._made_up = 0  # of the cycles that the loop had no time for
        self._began = 0  # first state of the newest motion
        self.body = Body(robot, config["task"], self.host, self.rate)
        self.plant = Plant(self.body, limits)
        self.datagrams = Datagrams(self.host, command_layout(version), self.link)
        self.server = RobotServer(
            version,
            self.link,
            self.host,
            self._handle,
            self._welcome,
            self._leave,
            lambda: model(self.plant),
        )
        strict = self.clock != "wall"
        self.controller = Controller(version, self.plant, limits, self.server.answer, self.events.add, strict)
        self.statement = Statement(version, self.controller)
        self._bytes = self.statement.fill(0)
        self.hand = HandServer(self.body.world, self.hand_link, self.host, self.events.add)

    def cycle(self, due: float) -> None:
        """One millisecond of the robot; a few where it is behind the wall's clock, or runs ahead of it in lockstep.

        A real robot's clock does not stop with this machine, so time that the loop gave up is made up for. Never by a
        leap: a client steps its motion by what has passed on the robot's clock.
        """
        self._tick()
        if self.clock == "lockstep":
            for _ in range(LOCKSTEP - 1):
                if self.controller.awaits_command:
                    self._tick()
            return
        for _ in range(min(self.loop.lost - self._made_up, CATCH_UP)):
            self._made_up += 1
            self._tick()

    def serves(self) -> str:
        """What it serves and how to connect to it."""
        return (
            f"Franka control interface, version {self.version.number}, on {self.host}: robot 1337, hand 1338.\n"
            f"Its scene is on the bus session {self.session}. Connect with the unmodified client library: "
            f"Robot('{self.host}')."
        )

    def offer(self, admin: Admin) -> None:
        """Add the commands that tests and a person may give."""
        from robot_stack.emulators.franka.faults import Faults

        Faults(self).offer(admin)

    def state(self) -> dict[str, Any]:
        """What the robot is doing."""
        controller, plant = self.controller, self.plant
        return {
            "time": now(),
            "message_id": self.message,
            "robot_mode": controller.robot_mode.name.lower(),
            "generator": controller.generator.name.lower(),
            "controller": controller.controller_mode.name.lower(),
            "errors": [name for name, set_ in zip(ERRORS, controller.errors, strict=True) if set_],
            "connected": self.server.connected,
            "q": plant.q.tolist(),
            "dq": plant.dq.tolist(),
            "external": plant.external.tolist(),
            "force": plant.force.tolist(),
            "width": self.hand.hand.width,
            "holds": self.hand.hand.holds,
            "lost": self.loop.lost,
            "objects": {name: pose.tolist() for name, pose in self.body.world.objects().items()},
            "success": self.body.world.success,
        }

    def save(self, table: str, path: str) -> int:
        """Write the table `cycles` to a file (.npy); how many rows were ever written."""
        if table != "cycles":
            raise ConfigError(f"no table {table!r}; there is: cycles")
        return self.cycles.save(Path(path))

    def boot(self) -> None:
        """Forget all settings and the time, as after switching on."""
        self.message = 0
        self.controller.boot()
        self.statement.settings()
        self.datagrams.forget()

    def close(self) -> None:
        """Leave nothing open."""
        self.link.refuse()
        self.hand_link.refuse()
        self.datagrams.close()
        self.hand.close()
        self.controller.close()
        self.body.close()

    def _tick(self) -> None:
        command = self._command()
        self.controller.tick(command)
        self.message += 1
        self._bytes = self.statement.fill(self.message)
        self.datagrams.send(self.message, self._bytes)
        self._remember(command is not None)
        self.hand.tick(self.message)

    def _command(self) -> Any:
        """The client's command for this step, None without."""
        if self.controller.asynchronous:
            return self.datagrams.newest()
        waits = self.clock != "wall" and self.controller.awaits_command and not (self.link.delay or self.link.jitter)
        if self.controller.heard:
            patience = IMPATIENCE if self.controller.misses else PATIENCE
            return self.datagrams.answer(self.message, patience if waits else 0.0)
        return self.datagrams.answer(self._began, BEGINNING if waits else 0.0)

    def _remember(self, answered: bool) -> None:
        controller, plant = self.controller, self.plant
        self.cycles.add((now(), self.message, answered, controller.joints[0], controller.torque, plant.q, plant.dq))

    def _handle(self, request: Any) -> None:
        if request.command is Command.MOVE:
            self.datagrams.forget()
            self._began = self.message + 1
        self.controller.handle(request)
        self.statement.settings()

    def _welcome(self, client: tuple[str, int]) -> None:
        self.events.add("connected", client=client[0])
        self.datagrams.connect(client)
        self.datagrams.send(self.message, self._bytes)

    def _leave(self) -> None:
        self.events.add("disconnected")
        self.datagrams.disconnect()
        self.controller.client_gone()
