"""What is compared: how the same kind of data are weighted. Everything else is the same for all arms."""

from collections.abc import Sequence
from dataclasses import dataclass

from robot_stack.types import ConfigError

UNIFORM = "uniform"
"""The arm that the others are compared with; the first policy, from demonstrations alone, is trained so too."""


@dataclass(frozen=True)
class Arm:
    """weights: a choice of `robot-stack train weights=`. looks_back: whether what came before a takeover is a class."""

    weights: str
    looks_back: bool = True


ARMS = {
    UNIFORM: Arm("uniform"),
    "iwr": Arm("iwr"),
    "sirius": Arm("sirius"),
    "sirius_without_pre": Arm("sirius", looks_back=False),
    "hg_dagger": Arm("hg_dagger"),
}


def chosen(names: Sequence[str]) -> dict[str, Arm]:
    """Arms by name, `uniform` first. Raises ConfigError."""
    if unknown := [name for name in names if name not in ARMS]:
        raise ConfigError(f"there is no arm {', '.join(unknown)}; there are: {', '.join(ARMS)}")
    return {name: ARMS[name] for name in dict.fromkeys([UNIFORM, *names])}
