"""The log of edits, `edits.jsonl`: one JSON object a line, only ever appended to, so that nothing done is forgotten.

{"edit": 3, "time": "2026-05-01T10:00:00.000+00:00", "by": "ada", "op": "trim", "episode": ["ep-000001", 0], …}
Whoever is killed while appending leaves a last line without its newline, or that is no JSON: readers pass over it,
the next writer cuts it off. Any other line that cannot be read is damage, and said so.
"""

import getpass
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robot_stack.store import disk
from robot_stack.store.edit_ops import Op, from_json, to_json
from robot_stack.types import StoreError

NAME = "edits.jsonl"
"""The file, in the root of a store."""


@dataclass(frozen=True)
class Edit:
    """One line: its number (they rise, and are never given twice), when (ISO 8601 UTC) and by whom, and what."""

    number: int
    time: str
    by: str
    op: Op

    def __str__(self) -> str:
        return f"edit {self.number} ({self.op})"


def parse(content: bytes) -> list[Edit]:
    """The edits in a log; a torn last line is passed over, StoreError for any other damage."""
    edits: list[Edit] = []
    for number, line in enumerate(content[: _whole(content)].split(b"\n")[:-1], 1):
        try:
            edit = _parse_line(line)
            if edits and edit.number <= edits[-1].number:
                raise StoreError(f"edit {edit.number} comes after edit {edits[-1].number}")
        except StoreError as error:
            raise StoreError(
                f"line {number} of {NAME} is damaged: {error}. Restore the file from a copy, or remove this line "
                "to go without this edit (recorded data is not touched by either)"
            ) from error
        edits.append(edit)
    return edits


def format_edit(edit: Edit) -> bytes:
    """The line of an edit, with its newline."""
    head = {"edit": edit.number, "time": edit.time, "by": edit.by}
    return json.dumps({**head, **to_json(edit.op)}).encode() + b"\n"


def sign(op: Op, before: Iterable[Edit]) -> Edit:
    """The next edit after those `before`: numbered, dated now, signed by whoever runs this process."""
    number = 1 + max((edit.number for edit in before), default=0)
    return Edit(number, datetime.now(UTC).isoformat(timespec="milliseconds"), _user(), op)


class EditLog:
    """The log in a file. Whoever appends holds the store's writer lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Edit]:
        """All edits, oldest first; none where there is no file."""
        return parse(self._content())

    def append(self, op: Op) -> Edit:
        """Add an edit, durably: when this returns, it is there after a power failure."""
        content = self._content()
        edit, size = sign(op, parse(content)), _whole(content)
        try:
            disk.append(self.path, format_edit(edit), size)
        except OSError as error:
            with suppress(OSError):  # as on a disk that cannot be written at all
                disk.append(self.path, b"", size)
            raise StoreError(
                f"cannot note the edit in {self.path}: {error.strerror}; nothing was changed. Make room or mend the "
                "disk, then edit again"
            ) from error
        return edit

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""


def _whole(content: bytes) -> int:
    """Bytes before a torn last line; all of them when there is none."""
    end = content.rfind(b"\n") + 1
    if end == 0 or end < len(content):
        return end
    last = content.rfind(b"\n", 0, end - 1) + 1
    return end if _is_json(content[last:end]) else last


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _parse_line(line: bytes) -> Edit:
    try:
        content: dict[str, Any] = dict(json.loads(line))
        head = content.pop("edit"), content.pop("time"), content.pop("by")
    except (ValueError, TypeError) as error:
        raise StoreError("it is no JSON object") from error
    except KeyError as error:
        raise StoreError(f"it has no {error}") from error
    if tuple(map(type, head)) != (int, str, str):
        raise StoreError(f"expected a number, a time and a name, not {head}")
    return Edit(*head, from_json(content))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return f"user {os.getuid()}"
