"""Keys from the terminal that the service was started in: for flying without a browser.

A terminal says when a key is typed, not when it goes up: a key counts as held for `HELD` after each time that it
comes, which the terminal's own repetition makes continuous. The space bar therefore switches between engaged and not.
Engaged it stays until the next one: the arm rests while no key comes, and no policy starts by itself.
"""

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Self

from robot_stack.clock import now
from robot_stack.spec import Record
from teleop.browser import record

HELD = 0.12  # [s]
CONFIRM = 0.05
"""Between two records while something is held [s]."""

CODES = {f"{letter.lower()}": f"Key{letter}" for letter in "WSADRFQEG"} | {
    "\x1b[A": "ArrowUp",
    "\x1b[B": "ArrowDown",
    "\x1b[C": "ArrowRight",
    "\x1b[D": "ArrowLeft",
    "\r": "Enter",
    "\n": "Enter",
    "\x7f": "Backspace",
}
"""What a terminal sends -> the code of the key. A capital letter is the key with shift."""

HELP = "space: take over or let go, wasd rf: move, qe arrows: turn, capitals: slowly, g: gripper, esc: STOP"


class Typed:
    """What is held, from what was typed. Pure."""

    def __init__(self) -> None:
        self.engaged = False
        self._until: dict[str, float] = {}

    def type(self, text: str, now: float) -> None:
        """One key, as the terminal sends it, came at `now` [s]."""
        code = CODES.get(text.lower() if len(text) == 1 else text)
        if text == " ":
            self.engaged = not self.engaged
        elif code is not None:
            self._until[code] = now + HELD
            if text.isupper() and len(text) == 1:
                self._until["ShiftLeft"] = now + HELD

    def record(self, now: float) -> Record:
        """What is held at `now` [s], for the topic `keys`."""
        return record(now, [code for code, until in self._until.items() if now < until], self.engaged)


class Terminal:
    """Reads a terminal in a thread while entered. send: takes records of KEYS. stop: called for the escape key."""

    def __init__(self, send: Callable[[Record], None], stop: Callable[[], None], file: int | None = None) -> None:
        self._send, self._stop = send, stop
        self._file = sys.stdin.fileno() if file is None else file
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)  # Ctrl-C still interrupts
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def _run(self) -> None:
        typed, idle = Typed(), True
        while not self._closing.is_set():
            if select.select([self._file], [], [], CONFIRM)[0]:
                for key in _keys(os.read(self._file, 1024).decode(errors="ignore")):
                    typed.type(key, now())
                    if key == "\x1b":
                        self._stop()
            keys = typed.record(now())
            held = bool(keys["engage"] or keys["pressed"].any())
            if held or not idle:
                self._send(keys)
            idle = not held


def available() -> bool:
    """Whether this process is in the foreground of a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


def _keys(text: str) -> list[str]:
    """Split what came at once into keys; an escape sequence is one key."""
    keys = []
    while text:
        size = 3 if text[:3] in CODES else 1
        keys.append(text[:size])
        text = text[size:]
    return keys
