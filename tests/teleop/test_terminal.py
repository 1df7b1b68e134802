"""Keys from a terminal: what is held, and a real pseudo-terminal that is left as it was."""

import os
import pty
import termios
import time

import pytest

from robot_stack.spec import Record
from teleop.keyboard import CODES
from teleop.terminal import HELD, Terminal, Typed


def down(keys: Record) -> set[str]:
    return {code for code, pressed in zip(CODES, keys["pressed"], strict=True) if pressed}


def test_key_is_held_a_moment_and_repetition_holds_it_on() -> None:
    typed = Typed()
    for k in range(10):
        typed.type("w", k * 0.033)
        assert down(typed.record(k * 0.033 + 0.03)) == {"KeyW"}
    assert down(typed.record(0.3 + HELD * 1.1)) == set()


@pytest.mark.parametrize(
    ("text", "code"), [("a", "KeyA"), ("\x1b[A", "ArrowUp"), ("\n", "Enter"), ("\x7f", "Backspace")]
)
def test_each_key_has_its_code(text: str, code: str) -> None:
    typed = Typed()
    typed.type(text, 0.0)
    assert down(typed.record(0.01)) == {code}


def test_capital_letter_is_slow() -> None:
    typed = Typed()
    typed.type("W", 0.0)
    assert down(typed.record(0.01)) == {"KeyW", "ShiftLeft"}


def test_space_switches_and_a_forgotten_terminal_keeps_the_arm() -> None:
    typed = Typed()
    typed.type(" ", 0.0)
    assert typed.record(1.0)["engage"]
    typed.type(" ", 2.0)
    assert not typed.record(2.1)["engage"]
    typed.type(" ", 3.0)
    assert typed.record(600.0)["engage"], "no policy may start while a person who took over only watches"


def test_terminal_speaks_while_something_is_held_and_is_left_as_it_was() -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    heard: list[Record] = []
    stops: list[bool] = []
    with Terminal(heard.append, lambda: stops.append(True), theirs):
        time.sleep(0.15)
        assert heard == []
        os.write(ours, b" \x1b[Aw")
        deadline = time.monotonic() + 5.0
        while len(heard) < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.write(ours, b" \x1b")
        while not stops and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(HELD + 0.2)
    assert down(heard[0]) == {"ArrowUp", "KeyW"}
    assert heard[0]["engage"]
    assert not heard[-1]["engage"]
    assert stops == [True]
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
