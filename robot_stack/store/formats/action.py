"""Which fields make up the one array of actions that other formats want."""

from collections.abc import Iterable

from robot_stack.spec import Spec
from robot_stack.types import ConfigError

_SENT = ("target.pose", "target.grip")


def action_fields(spec: Spec, names: Iterable[str] | None, array: str, taken: Iterable[str]) -> list[str]:
    """Fields one after the other: `names`, or what was sent to arm and gripper; none when there is an array already.

    array: the name of the array of actions in the format. taken: names of arrays that there are without it.
    """
    if array in taken:
        if names is not None:
            raise ConfigError(f"there is an array {array}, so action={list(names)} cannot make one: leave it out")
        return []
    chosen = [name for name in _SENT if name in spec] if names is None else list(names)
    if unknown := [name for name in chosen if name not in spec]:
        raise ConfigError(f"action names no field {' and no '.join(unknown)}; there are: {', '.join(spec.fields)}")
    return chosen
