"""URScript as it comes over a script port: where one program ends, and what is in those that we know.

A whole interpreter is not needed: the control script of ur_rtde is known by its text and emulated by what it does; of
others the few statements are understood that ur_rtde's users send (`sendCustomScript`, one-line commands).
"""

import json
import re
from dataclasses import dataclass, field

CONTROL = "RTDE Control script - Main loop"
"""Stands in the script that ur_rtde uploads."""
_END = re.compile(rb"^end[ \t]*\r?\n", re.MULTILINE)
_NAME = re.compile(r"^\s*(?:def|sec)\s+(\w+)")
_CALL = re.compile(r"^\s*(?:global\s+)?(\w+)\s*\((.*)\)\s*$")
_ARGUMENT = re.compile(r"\s*(?:(\w+)\s*=)?\s*(p?\[[^\]]*\]|\"[^\"]*\"|[^,\[]+)\s*(?:,|$)")

_SUM = re.compile(r"\d+(\s*\+\s*\d+)+")


@dataclass(frozen=True)
class Call:
    """One statement: a function with its arguments by place and by name. Poses are lists of six like joints."""

    name: str
    arguments: list[object] = field(default_factory=list)
    named: dict[str, object] = field(default_factory=dict)
    poses: frozenset[int] = frozenset()
    """Places of the arguments that are poses."""


class ScriptReader:
    """Puts the bytes of a connection together to whole scripts: `def ... end` or single lines."""

    def __init__(self) -> None:
        self._pending = b""

    def read(self, data: bytes) -> list[str]:
        """The scripts that are complete now."""
        self._pending += data
        scripts = []
        while (end := self._find_end()) is not None:
            text, self._pending = self._pending[:end].decode(errors="replace"), self._pending[end:]
            if text.strip():
                scripts.append(text)
        return scripts

    def _find_end(self) -> int | None:
        start = self._pending.lstrip()
        if start.startswith((b"def ", b"sec ", b"global ", b"#")):
            found = _END.search(self._pending)
            return found.end() if found else None
        line = self._pending.find(b"\n")
        return line + 1 if line >= 0 else None


def name_of(text: str) -> str:
    """The name of a program."""
    found = _NAME.search(text) or re.search(r"^\s*def\s+(\w+)", text, re.MULTILINE)
    return found[1] if found else text.split("(")[0].strip()


def is_control_script(text: str) -> bool:
    """Whether this is what ur_rtde uploads."""
    return CONTROL in text


def offset_of(text: str) -> int:
    """Where the control script's registers begin: 0, or 24 for the upper range."""
    found = re.search(r"# int register offset\s*\n?\s*(\d+)", text)
    return int(found[1]) if found else 0


def path_of(text: str) -> list[Call]:
    """The way that was put into the control script, waypoint by waypoint."""
    _, _, after = text.partition("# inject move path")
    calls = []
    for line in after.splitlines()[1:]:
        call = parse(line)
        if call is None or call.name not in ("movej", "movel", "movep", "movec", "signal_async_progress"):
            if line.strip() and not line.strip().startswith("#"):
                break
            continue
        calls.append(call)
    return calls


def calls_of(text: str) -> list[Call]:
    """The statements of a script that are plain calls, in order."""
    return [call for line in text.splitlines() if not _NAME.match(line) and (call := parse(line)) is not None]


def parse(line: str) -> Call | None:
    """One line of a script as a call with constant arguments, or None."""
    found = _CALL.match(line)
    if found is None:
        return None
    arguments: list[object] = []
    named: dict[str, object] = {}
    poses = set()
    for key, text in _ARGUMENT.findall(found[2]):
        value = _value(text.strip())
        if key:
            named[key] = value
        else:
            if text.startswith("p"):
                poses.add(len(arguments))
            arguments.append(value)
    return Call(found[1], arguments, named, frozenset(poses))


def _value(text: str) -> object:
    if _SUM.fullmatch(text):  # a register's number plus the offset of its range
        return sum(map(int, text.split("+")))
    try:
        return json.loads(text.removeprefix("p").replace("True", "true").replace("False", "false"))
    except ValueError:
        return text
