"""Makes the class behind a format's name; only that format's module is imported."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from robot_stack.types import ConfigError


def construct(where: str, arguments: tuple[Any, ...], options: Mapping[str, Any], what: str) -> Any:
    """`Class(*arguments, **options)` of where = "module:Class"; ConfigError for an option that it does not take.

    An option that is None is left at its default.
    """
    module, name = where.split(":")
    made = getattr(import_module(module), name)
    known = list(inspect.signature(made).parameters)[len(arguments) :]
    given = {key: value for key, value in options.items() if value is not None}
    if strange := [key for key in given if key not in known]:
        raise ConfigError(f"{what} takes no {' and no '.join(strange)}; its options: {', '.join(known) or 'none'}")
    return made(*arguments, **given)
