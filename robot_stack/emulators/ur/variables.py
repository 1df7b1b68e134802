"""The variables of RTDE: their types on the wire, and where the controller has their values (RTDE guide, tables).

All numbers are big-endian and packed without padding.
"""

from collections.abc import Callable, Iterable
from struct import Struct
from typing import TYPE_CHECKING, Any

from robot_stack.emulators.ur.kinematics import ur_pose
from robot_stack.emulators.ur.modes import JOINT_OFF, JOINT_RUNNING, RobotMode, robot_bits, safety_bits
from robot_stack.emulators.ur.registers import COUNT

if TYPE_CHECKING:
    from robot_stack.emulators.ur.controller import Controller

CODES = {
    "VECTOR6D": "6d",
    "VECTOR3D": "3d",
    "VECTOR6INT32": "6i",
    "VECTOR6UINT32": "6I",
    "DOUBLE": "d",
    "UINT64": "Q",
    "UINT32": "I",
    "INT32": "i",
    "UINT8": "B",
    "BOOL": "?",
}
"""Of `struct`, by RTDE type."""

Getter = Callable[["Controller"], Any]

_WARM, _SUPPLIED = (32.0,) * 6, (48.0,) * 6
_VECTORS: dict[str, Getter] = {
    "target_q": lambda c: c.arm.q,
    "target_qd": lambda c: c.arm.qd,
    "target_qdd": lambda c: c.arm.qdd,
    "target_current": lambda c: c.sense.currents(),
    "target_moment": lambda c: c.sense.torques(),
    "actual_q": lambda c: c.sense.q,
    "actual_qd": lambda c: c.sense.qd,
    "actual_current": lambda c: c.sense.currents(),
    "actual_current_as_torque": lambda c: c.sense.torques(),
    "joint_control_output": lambda c: c.sense.currents(),
    "actual_TCP_pose": lambda c: c.sense.tcp_pose(),
    "actual_TCP_speed": lambda c: c.sense.tcp_speed(c.sense.qd),
    "actual_TCP_force": lambda c: c.sense.wrench,
    "target_TCP_pose": lambda c: ur_pose(c.sense.commanded_tcp(c.arm.q)),
    "target_TCP_speed": lambda c: c.sense.tcp_speed(c.arm.qd),
    "joint_temperatures": lambda c: _WARM,
    "actual_joint_voltage": lambda c: _SUPPLIED,
    "ft_raw_wrench": lambda c: c.sense.raw_wrench,
    "payload_inertia": lambda c: c.payload.inertia,
}
_DOUBLES: dict[str, Getter] = {
    "timestamp": lambda c: c.timestamp,
    "actual_execution_time": lambda c: 0.0,
    "speed_scaling": lambda c: c.scaling,
    "target_speed_fraction": lambda c: c.slider,
    "actual_momentum": lambda c: 0.0,
    "actual_main_voltage": lambda c: 48.0,
    "actual_robot_voltage": lambda c: 48.0 if c.mode >= RobotMode.POWER_ON else 0.0,
    "actual_robot_current": lambda c: 0.6 if c.mode >= RobotMode.IDLE else 0.0,
    "standard_analog_input0": lambda c: c.io.analog_inputs[0],
    "standard_analog_input1": lambda c: c.io.analog_inputs[1],
    "standard_analog_output0": lambda c: c.io.analog_outputs[0],
    "standard_analog_output1": lambda c: c.io.analog_outputs[1],
    "payload": lambda c: c.payload.mass,
}


def _joint_modes(controller: "Controller") -> tuple[int, ...]:
    return (JOINT_RUNNING if controller.mode >= RobotMode.POWER_ON else JOINT_OFF,) * 6


def _register(bank: str, index: int) -> Getter:
    return lambda controller: getattr(controller.registers, bank)[index]


def _outputs() -> dict[str, tuple[str, Getter]]:
    table = {name: ("VECTOR6D", getter) for name, getter in _VECTORS.items()}
    table |= {name: ("DOUBLE", getter) for name, getter in _DOUBLES.items()}
    table |= {
        "actual_tool_accelerometer": ("VECTOR3D", lambda c: (0.0, 0.0, 9.81)),
        "payload_cog": ("VECTOR3D", lambda c: c.payload.centre),
        "elbow_position": ("VECTOR3D", lambda c: c.sense.elbow()),
        "elbow_velocity": ("VECTOR3D", lambda c: (0.0, 0.0, 0.0)),
        "tcp_offset": ("VECTOR6D", lambda c: c.tcp),
        "joint_mode": ("VECTOR6INT32", _joint_modes),
        "robot_mode": ("INT32", lambda c: c.mode),
        "safety_mode": ("INT32", lambda c: c.safety),
        "safety_status": ("INT32", lambda c: c.safety),
        "runtime_state": ("UINT32", lambda c: c.runtime),
        "robot_status_bits": ("UINT32", lambda c: robot_bits(c.mode, c.runtime)),
        "safety_status_bits": ("UINT32", lambda c: safety_bits(c.safety)),
        "output_bit_registers0_to_31": ("UINT32", lambda c: 0),
        "output_bit_registers32_to_63": ("UINT32", lambda c: 0),
        "actual_digital_input_bits": ("UINT64", lambda c: c.io.digital_inputs),
        "actual_digital_output_bits": ("UINT64", lambda c: c.io.digital_outputs),
    }
    for index in range(COUNT):
        table[f"output_int_register_{index}"] = ("INT32", _register("output_ints", index))
        table[f"output_double_register_{index}"] = ("DOUBLE", _register("output_doubles", index))
    return table


def _inputs() -> dict[str, str]:
    table = {"speed_slider_mask": "UINT32", "speed_slider_fraction": "DOUBLE", "external_force_torque": "VECTOR6D"}
    for kind in ("standard", "configurable", "tool"):
        table[f"{kind}_digital_output_mask"] = table[f"{kind}_digital_output"] = "UINT8"
    table |= {"standard_analog_output_mask": "UINT8", "standard_analog_output_type": "UINT8"}
    table |= {"standard_analog_output_0": "DOUBLE", "standard_analog_output_1": "DOUBLE"}
    for index in range(COUNT):
        table[f"input_int_register_{index}"] = "INT32"
        table[f"input_double_register_{index}"] = "DOUBLE"
    return table


OUTPUTS = _outputs()
"""Name -> type, and how to ask the controller for it."""
INPUTS = _inputs()
"""Name -> type."""


def layout(types: Iterable[str]) -> Struct:
    """How values of these RTDE types lie one after the other."""
    return Struct(">" + "".join(CODES[kind] for kind in types))


def width(kind: str) -> int:
    """How many numbers a value of this RTDE type is."""
    return int(CODES[kind][:-1] or 1)
