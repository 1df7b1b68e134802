"""The states of a UR controller and their names (RTDE guide, "robot_mode", "safety_mode", "runtime_state")."""

from enum import IntEnum


class RobotMode(IntEnum):
    """Of the robot's power and brakes."""

    NO_CONTROLLER = -1
    DISCONNECTED = 0
    CONFIRM_SAFETY = 1
    BOOTING = 2
    POWER_OFF = 3
    POWER_ON = 4
    IDLE = 5
    BACKDRIVE = 6
    RUNNING = 7


class SafetyMode(IntEnum):
    """Of the safety system."""

    NORMAL = 1
    REDUCED = 2
    PROTECTIVE_STOP = 3
    RECOVERY = 4
    SAFEGUARD_STOP = 5
    SYSTEM_EMERGENCY_STOP = 6
    ROBOT_EMERGENCY_STOP = 7
    VIOLATION = 8
    FAULT = 9


class Runtime(IntEnum):
    """Of the program; pausing and resuming (3, 5) and stopping (0) pass within a cycle here: modelled."""

    STOPPED = 1
    PLAYING = 2
    PAUSED = 4


JOINT_RUNNING, JOINT_OFF = 253, 239
"""Joint modes."""

_SAFETY_BITS = {
    SafetyMode.NORMAL: (0,),
    SafetyMode.REDUCED: (1,),
    SafetyMode.PROTECTIVE_STOP: (2, 10),
    SafetyMode.RECOVERY: (3,),
    SafetyMode.SAFEGUARD_STOP: (4, 10),
    SafetyMode.SYSTEM_EMERGENCY_STOP: (5, 7, 10),
    SafetyMode.ROBOT_EMERGENCY_STOP: (6, 7, 10),
    SafetyMode.VIOLATION: (8, 10),
    SafetyMode.FAULT: (9, 10),
}


def safety_bits(mode: SafetyMode) -> int:
    """The RTDE word `safety_status_bits`."""
    return sum(1 << bit for bit in _SAFETY_BITS[mode])


def robot_bits(mode: RobotMode, runtime: Runtime) -> int:
    """The RTDE word `robot_status_bits`: 0 power on, 1 program running."""
    powered = mode >= RobotMode.POWER_ON
    return int(powered) | int(runtime is Runtime.PLAYING) << 1
