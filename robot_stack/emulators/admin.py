"""The back door of an emulator: commands by name, from tests over a loopback port, from a person on standard input.

Over the port each line is a JSON object, `{"command": "push", "force": [0, 0, 10]}`, and is answered by one,
`{"ok": ...}` or `{"error": "..."}`. A person types the same as words: `push force=[0,0,10]`.
"""

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from robot_stack.emulators.loop import Loop
from robot_stack.emulators.wire import Connection, Link, Port
from robot_stack.types import ConfigError, RobotStackError

Command = Callable[..., Any]


class Admin:
    """The commands of one emulator. port: where programs reach it, on 127.0.0.1; typed: whether a person can type.

    owned: standard input is held by the program that started the emulator, and `orphaned` once it was closed.
    """

    def __init__(self, loop: Loop, owned: bool) -> None:
        self.orphaned = False
        self._loop, self._owned = loop, owned
        self._commands: dict[str, Command] = {}
        self._typed = bytearray()
        self.port = Port(Link(loop), "127.0.0.1", 0, self._welcome).number
        self.typed = _may_read_stdin()
        if owned or self.typed:
            loop.watch(0, self._read_stdin)

    def offer(self, *commands: Command) -> None:
        """Add commands, each under the name of its function; the first line of its docstring is its help."""
        for command in commands:
            self._commands[command.__name__.replace("_", "-")] = command

    def run(self, name: str, arguments: dict[str, Any]) -> Any:
        """Run one command; ConfigError says what is wrong with how it was asked for."""
        if name not in self._commands:
            raise ConfigError(f"no command {name!r}; there are: {', '.join(sorted(self._commands))}")
        command = self._commands[name]
        try:
            inspect.signature(command).bind(**arguments)
        except TypeError as error:
            raise ConfigError(f"{name}: {error}; expected {name}{inspect.signature(command)}") from error
        try:
            return command(**arguments)
        except (TypeError, ValueError, OSError) as error:  # a value of the wrong kind must not end the emulator
            raise ConfigError(f"{name}: {error}") from error

    def type(self, line: str) -> Any:
        """Run one command as a person types it: `push force=[0,0,10] seconds=2`."""
        name, *words = line.split()
        pairs = [word.partition("=") for word in words]
        return self.run(name, {key: _value(text) for key, _, text in pairs})

    def help(self) -> str:
        """One line a command."""
        return "\n".join(
            f"  {_usage(name, command):50} {_first_line(command)}" for name, command in self._commands.items()
        )

    def _welcome(self, connection: Connection) -> None:
        pending = bytearray()

        def received(data: bytes) -> None:
            pending.extend(data)
            while b"\n" in pending:
                line, _, rest = pending.partition(b"\n")
                pending[:] = rest
                connection.send(json.dumps(self._answer(line)).encode() + b"\n")

        connection.received = received

    def _answer(self, line: bytes | bytearray) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except ValueError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("command"), str):
            return {"error": f'expected {{"command": name, ...}} in JSON, got {bytes(line[:200])!r}'}
        try:
            return {"ok": self.run(request.pop("command"), request)}
        except RobotStackError as error:
            return {"error": str(error)}

    def _read_stdin(self) -> None:
        try:
            data = os.read(0, 4096)
        except OSError:  # of a terminal that belongs to another program now
            data = b""
        if not data:
            self._loop.forget(0)
            self.orphaned = self._owned
            return
        self._typed += data
        while b"\n" in self._typed:
            line, _, self._typed = self._typed.partition(b"\n")
            if line.strip():
                self._obey(line.decode(errors="replace").strip())

    def _obey(self, line: str) -> None:
        try:
            print(self.help() if line == "help" else json.dumps(self.type(line)), flush=True)
        except RobotStackError as error:
            print(error, file=sys.stderr, flush=True)


def _may_read_stdin() -> bool:
    """Whether standard input is ours: a program in the background that reads the terminal is stopped by the kernel."""
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _usage(name: str, command: Command) -> str:
    parameters = inspect.signature(command).parameters.values()
    return " ".join(
        [name, *(f"{p.name}=..." if p.default is p.empty else f"[{p.name}={p.default}]" for p in parameters)]
    )


def _first_line(command: Command) -> str:
    return (inspect.getdoc(command) or "").split("\n")[0]
