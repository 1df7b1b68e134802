"""Asking the person at the terminal before an arm moves."""

import sys

from robot_stack.terminal import console
from robot_stack.types import ConfigError

BEFORE = """\
Before you agree:
  - everybody, you too, stands out of the arm's reach, and so does everything that it must not touch;
  - somebody has a hand on the emergency stop and looks at the arm, not at this screen;
  - Ctrl-C here lets the arm come to rest too, but it is software: the emergency stop is not."""


def agree(what: str, yes: bool) -> bool:
    """Whether a person wants this motion, described in plain words. yes: it was said on the command line already."""
    console().print(f"{what}\n\n{BEFORE}\n")
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("nobody is at a terminal to agree to a motion: run it in one, or add yes=true")
    return input("Type yes to move the arm: ").strip().lower() == "yes"
