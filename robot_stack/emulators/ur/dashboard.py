"""The dashboard server, port 29999: a line asks, a line answers (UR dashboard server manual)."""

from collections.abc import Callable
from dataclasses import dataclass

from robot_stack.emulators.ur.controller import Controller
from robot_stack.emulators.ur.modes import RobotMode, Runtime, SafetyMode
from robot_stack.emulators.wire import Connection, Link, Port

PORT = 29999
GREETING = "Connected: Universal Robots Dashboard Server"
LOCAL = "Command is not allowed due to safety reasons: the robot is in local control"
"""The real wording was not seen: modelled."""


@dataclass
class Identity:
    """What the controller says it is. polyscope: its version; serial: digits."""

    polyscope: str
    model: str
    serial: str

    @property
    def version(self) -> list[int]:
        """Four numbers."""
        numbers = [int(part) for part in self.polyscope.split(".")]
        return (numbers + [0] * 4)[:4]


class Dashboard:
    """Answers for the controller."""

    def __init__(self, link: Link, host: str, controller: Controller, identity: Identity) -> None:
        self._controller, self._identity = controller, identity
        self._loaded = "unnamed.urp"
        self._role = "none"
        self._asks: dict[str, Callable[[], str]] = self._questions()
        self._acts: dict[str, Callable[[], str]] = self._commands()
        self._with_text: dict[str, Callable[[str], str]] = self._commands_with_text()
        self._port = Port(link, host, PORT, self._welcome)

    def answer(self, line: str) -> str:
        """The answer to one line."""
        words = line.strip()
        if words in self._asks:
            return self._asks[words]()
        for name, act in self._with_text.items():
            if words.startswith(name + " "):
                return act(words[len(name) + 1 :]) if self._controller.remote else LOCAL
        if words in self._acts:
            return self._acts[words]() if self._controller.remote else LOCAL
        return f"could not understand: '{words}'"

    def _welcome(self, connection: Connection) -> None:
        pending = bytearray()

        def received(data: bytes) -> None:
            pending.extend(data)
            while b"\n" in pending:
                line, _, rest = bytes(pending).partition(b"\n")
                pending[:] = rest
                words = line.decode(errors="replace").strip()
                connection.send((self.answer(words) + "\n").encode())
                if words == "quit":
                    connection.close()

        connection.received = received
        connection.send((GREETING + "\n").encode())

    # --- what it says ------------------------------------------------------------------------------------------------

    def _questions(self) -> dict[str, Callable[[], str]]:
        controller, identity = self._controller, self._identity
        table = {
            "PolyscopeVersion": lambda: f"URSoftware {identity.polyscope} (Nov 28 2026)",
            "version": lambda: identity.polyscope,
            "get serial number": lambda: identity.serial,
            "get robot model": lambda: identity.model,
            "robotmode": lambda: f"Robotmode: {controller.mode.name}",
            "safetymode": lambda: f"Safetymode: {controller.safety.name}",
            "safetystatus": lambda: f"Safetystatus: {controller.safety.name}",
            "programState": lambda: f"{controller.runtime.name} {self._loaded}",
            "running": lambda: f"Program running: {str(controller.runtime is Runtime.PLAYING).lower()}",
            "isProgramSaved": lambda: f"true {self._loaded}",
            "get loaded program": lambda: f"Loaded program: /programs/{self._loaded}",
            "get operational mode": lambda: "NONE",
            "getUserRole": lambda: self._role.upper(),
            "quit": lambda: "Disconnected",
        }
        if identity.version[:2] >= [5, 6]:
            table["is in remote control"] = lambda: str(controller.remote).lower()
        return table

    def _commands(self) -> dict[str, Callable[[], str]]:
        controller = self._controller
        return {
            "play": self._play,
            "stop": self._stop,
            "pause": self._pause,
            "power on": _does(controller.power_on, "Powering on"),
            "power off": _does(controller.power_off, "Powering off"),
            "brake release": self._brake_release,
            "unlock protective stop": self._unlock,
            "close safety popup": lambda: "closing safety popup",
            "close popup": lambda: "closing popup",
            "restart safety": _does(controller.restart_safety, "Restarting safety"),
            "clear operational mode": lambda: "operational mode is no longer controlled by Dashboard Server",
            "shutdown": _does(controller.power_off, "Shutting down"),
        }

    def _commands_with_text(self) -> dict[str, Callable[[str], str]]:
        return {
            "popup": lambda text: "showing popup",
            "addToLog": lambda text: "Added log message",
            "load": self._load,
            "load installation": lambda text: f"Loading installation: {text}",
            "setUserRole": self._set_role,
            "set operational mode": lambda text: f"Operational mode '{text}' is set",
        }

    # --- what it does ------------------------------------------------------------------------------------------------

    def _play(self) -> str:
        return "Starting program" if self._controller.resume() else "Failed to execute: play"

    def _stop(self) -> str:
        self._controller.stop("dashboard")
        return "Stopped"

    def _pause(self) -> str:
        if self._controller.runtime is not Runtime.PLAYING:
            return "Failed to execute: pause"
        self._controller.pause()
        return "Pausing program"

    def _brake_release(self) -> str:
        self._controller.power_on()
        if self._controller.mode is RobotMode.IDLE:
            self._controller.release_brakes()
        return "Brake releasing"

    def _unlock(self) -> str:
        if self._controller.safety is not SafetyMode.PROTECTIVE_STOP:
            return "Protective stop releasing"
        if not self._controller.unlock():
            return "Cannot unlock protective stop until 5s after occurrence. Always inspect cause of protective stop"
        return "Protective stop releasing"

    def _load(self, text: str) -> str:
        if not text.endswith(".urp") or text.startswith("no_"):
            return f"File not found: {text}"
        self._loaded = text
        return f"Loading program: {text}"

    def _set_role(self, text: str) -> str:
        self._role = text
        return f"Setting user role: {text.upper()}"


def _does(action: Callable[[], None], answer: str) -> Callable[[], str]:
    def act() -> str:
        action()
        return answer

    return act
