"""The two datagrams of the 1 kHz loop: the robot's state, and the client's command, as numpy layouts without padding.

Matrices are of 16 numbers, column by column. `elbow` is the angle of joint 3 [rad] and the sign of joint 4. The state
has 1377 bytes in version 10, 2373 in version 5, the command 371 and 370. A client that gets fewer refuses them.
"""

from enum import IntEnum

import numpy as np

from robot_stack.emulators.franka.protocol import Version

REALS = (
    ("O_T_EE", 16),  # measured pose of the end effector in the base
    ("O_T_EE_d", 16),  # last desired pose of a Cartesian motion
    ("F_T_EE", 16),
    ("EE_T_K", 16),  # K: the frame of stiffness, and of forces
    ("F_T_NE", 16),  # NE: what the hand brings by itself
    ("NE_T_EE", 16),
    ("m_ee", 1),  # [kg]
    ("I_ee", 9),
    ("F_x_Cee", 3),
    ("m_load", 1),  # [kg]
    ("I_load", 9),
    ("F_x_Cload", 3),
    ("elbow", 2),
    ("elbow_d", 2),
    ("tau_J", 7),  # measured torque, gravity and all [Nm]
    ("tau_J_d", 7),  # commanded torque, without gravity [Nm]
    ("dtau_J", 7),
    ("q", 7),
    ("q_d", 7),
    ("dq", 7),
    ("dq_d", 7),
    ("ddq_d", 7),
    ("joint_contact", 7),
    ("cartesian_contact", 6),
    ("joint_collision", 7),
    ("cartesian_collision", 6),
    ("tau_ext_hat_filtered", 7),
    ("O_F_ext_hat_K", 6),
    ("K_F_ext_hat_K", 6),
    ("O_dP_EE_d", 6),
    ("O_ddP_O", 3),  # acceleration of the base, gravity in it [m/s^2]
    ("elbow_c", 2),
    ("delbow_c", 2),
    ("ddelbow_c", 2),
    ("O_T_EE_c", 16),  # last commanded pose
    ("O_dP_EE_c", 6),
    ("O_ddP_EE_c", 6),
    ("theta", 7),  # of the motors
    ("dtheta", 7),
)
ACCELEROMETERS = (("accelerometer_top", 18), ("accelerometer_bottom", 18))
ERROR_COUNT = 41


class RobotMode(IntEnum):
    """What the robot is doing, as its state says."""

    OTHER = 0
    IDLE = 1
    MOVE = 2
    GUIDING = 3
    REFLEX = 4
    USER_STOPPED = 5
    RECOVERY = 6


class Generator(IntEnum):
    """Where the motion comes from, as the state says; a request to move says one less."""

    IDLE = 0
    JOINT_POSITION = 1
    JOINT_VELOCITY = 2
    CARTESIAN_POSITION = 3
    CARTESIAN_VELOCITY = 4
    NONE = 5  # torques alone; since version 7


class ControllerMode(IntEnum):
    """What turns the motion into torques. The state and a request to move say the same numbers."""

    JOINT_IMPEDANCE = 0
    CARTESIAN_IMPEDANCE = 1
    EXTERNAL = 2  # the client's own torques
    OTHER = 3


def reals(version: Version) -> tuple[tuple[str, int], ...]:
    """Names and lengths of the real numbers of a state, in their order."""
    return REALS + ACCELEROMETERS if version.acceleration else REALS


def state_layout(version: Version) -> np.dtype[np.void]:
    """The state that the robot sends every millisecond."""
    fields: list[tuple[str, str] | tuple[str, str, int]] = [
        ("message_id", "<u8"),  # milliseconds of the robot's own clock
        *((name, version.real, count) for name, count in reals(version)),
        ("motion_generator_mode", "u1"),
        ("controller_mode", "u1"),
        ("errors", "?", ERROR_COUNT),
        ("reflex_reason", "?", ERROR_COUNT),
        ("robot_mode", "u1"),
        ("control_command_success_rate", version.real),
    ]
    return np.dtype(fields)


def command_layout(version: Version) -> np.dtype[np.void]:
    """What a client answers to a state; message_id: of the state that it answers."""
    fields: list[tuple[str, str] | tuple[str, str, int]] = [
        ("message_id", "<u8"),
        ("q_c", "<f8", 7),
        ("dq_c", "<f8", 7),
        ("O_T_EE_c", "<f8", 16),
        ("O_dP_EE_c", "<f8", 6),
        ("elbow_c", "<f8", 2),
        ("valid_elbow", "?"),
        ("motion_generation_finished", "?"),
        ("tau_J_d", "<f8", 7),
    ]
    if version.torque_finished:
        fields.append(("torque_command_finished", "?"))
    return np.dtype(fields)
