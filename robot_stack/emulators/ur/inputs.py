"""What the inputs of RTDE do to the controller."""

from typing import Any

from robot_stack.clock import now
from robot_stack.emulators.journal import Ring
from robot_stack.emulators.ur.controller import Controller
from robot_stack.spec import Field, Spec

COMMANDS = Spec(
    [
        Field("time", unit="s"),  # when the package arrived, of clock.now
        Field("timestamp", unit="s"),  # of the robot then
        Field("command", dtype="i4"),  # of ur_rtde's control script: 11 servoJ, 24 servoL, 9 speedJ, 10 speedL
        Field("values", (6,), unit="rad"),  # as received: joints, a pose or speeds, by the command
    ]
)
"""One row for each data package that commands continuous motion."""

CONTINUOUS = (9, 10, 11, 24)
_INT, _DOUBLE = "input_int_register_", "input_double_register_"


class Inputs:
    """Applies data packages as they arrive. offset: of the registers that the running control script reads."""

    def __init__(self, controller: Controller, commands: Ring) -> None:
        self.offset = 0
        self._controller, self._commands = controller, commands

    def apply(self, values: dict[str, Any]) -> None:
        """Take over the inputs of one package."""
        registers = self._controller.registers
        for name, value in values.items():
            if name.startswith(_DOUBLE):
                registers.input_doubles[int(name[len(_DOUBLE) :])] = value
            elif name.startswith(_INT):
                registers.input_ints[int(name[len(_INT) :])] = value
        self._set_outputs(values)
        command = values.get(f"{_INT}{self.offset}")
        if command is not None:
            self._controller.feed()
            if command in CONTINUOUS:
                first = self.offset
                received = registers.input_doubles[first : first + 6]
                self._commands.add((now(), self._controller.timestamp, command, received))

    def _set_outputs(self, values: dict[str, Any]) -> None:
        io = self._controller.io
        for group in ("standard", "configurable", "tool"):
            if mask := values.get(f"{group}_digital_output_mask"):
                io.set_digital(group, mask, values.get(f"{group}_digital_output", 0))
        if mask := values.get("standard_analog_output_mask"):
            io.set_analog(mask, [values.get(f"standard_analog_output_{index}", 0.0) for index in range(2)])
        if values.get("speed_slider_mask"):
            self._controller.slider = min(1.0, max(0.0, values.get("speed_slider_fraction", 0.0)))
