"""Keys from a page: checks what the browser says, and says it on the topic `keys`."""

import json
from collections.abc import Sequence

from robot_stack.spec import Record
from robot_stack.station import KEYS
from robot_stack.types import RobotStackError
from teleop.keyboard import CODES


class KeysError(RobotStackError):
    """A message of the page that is not understood."""


def parse(text: str, now: float) -> Record:
    """A record of KEYS from `{"pressed": ["KeyW", …], "engage": true}`; raises KeysError with what would be valid."""
    try:
        message = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise KeysError(f"not JSON: {error}") from error
    if not isinstance(message, dict) or set(message) != {"pressed", "engage"}:
        raise KeysError('expected {"pressed": [codes of keys], "engage": true or false}')
    pressed, engage = message["pressed"], message["engage"]
    if not isinstance(pressed, list) or not isinstance(engage, bool):
        raise KeysError("pressed must be a list, engage true or false")
    unknown = [code for code in pressed if code not in CODES]
    if unknown:
        raise KeysError(f"no key {unknown[0]!r}; there are: {', '.join(CODES)}")
    return record(now, pressed, engage)


def record(now: float, pressed: Sequence[str], engage: bool) -> Record:
    """A record of KEYS at `now` [s] with these keys down."""
    return KEYS.spec.record(time=now, pressed=[code in pressed for code in CODES], engage=engage)
