"""The controller's memory that clients read and write: registers, inputs and outputs, payload."""

from dataclasses import dataclass, field

COUNT = 48
"""Registers of each kind."""


@dataclass
class Registers:
    """The general purpose registers of RTDE."""

    input_ints: list[int] = field(default_factory=lambda: [0] * COUNT)
    input_doubles: list[float] = field(default_factory=lambda: [0.0] * COUNT)
    output_ints: list[int] = field(default_factory=lambda: [0] * COUNT)
    output_doubles: list[float] = field(default_factory=lambda: [0.0] * COUNT)


_FIRST_BIT = {"standard": 0, "configurable": 8, "tool": 16}
"""Where a group of digital outputs begins in RTDE's word of them."""


@dataclass
class Io:
    """Inputs and outputs of the control box. Digital ones are words as in RTDE; analog ones [V] or [A]."""

    digital_inputs: int = 0
    digital_outputs: int = 0
    analog_inputs: list[float] = field(default_factory=lambda: [0.0, 0.0])
    analog_outputs: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def set_digital(self, group: str, mask: int, value: int) -> None:
        """Set those of eight outputs that `mask` names, of the group standard, configurable or tool."""
        first = _FIRST_BIT[group]
        self.digital_outputs = (self.digital_outputs & ~(mask << first)) | ((mask & value) << first)

    def set_analog(self, mask: int, values: list[float]) -> None:
        """Set those of two outputs that `mask` names, each as a share 0..1 of its range: 10 V here."""
        for index in range(2):
            if mask & 1 << index:
                self.analog_outputs[index] = 10.0 * min(1.0, max(0.0, values[index]))


@dataclass
class Payload:
    """What the arm believes it carries: mass [kg], centre [m] and inertia [kg m^2] in the flange's frame."""

    mass: float = 0.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    inertia: tuple[float, ...] = (0.0,) * 6
