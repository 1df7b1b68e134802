"""What numbers the keys of a config may have."""

import math
from collections.abc import Mapping
from typing import Any

from robot_stack.types import ConfigError

Ranges = Mapping[str, tuple[float, float]]
"""Key -> its smallest and its largest number."""


def check(config: Mapping[str, Any], ranges: Ranges) -> None:
    """Raise ConfigError for a number out of its range. Keys that are not there or null are left alone."""
    for key, (low, high) in ranges.items():
        number = config.get(key)
        if number is not None and not low <= number <= high:
            most = f" to {high:g}" if high < math.inf else " or more"
            raise ConfigError(f"{key}={number}: expected {low:g}{most}")
