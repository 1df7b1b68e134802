"""Why a Franka arm does not follow, in words that say what to do.

The modes are those of its state message, the names of errors those of libfranka's `franka::Errors`; what they mean is
from its documentation and that of the Franka control interface.
"""

from collections.abc import Iterable
from enum import StrEnum


class Mode(StrEnum):
    """What the robot is doing, as its state says."""

    OTHER = "other"
    IDLE = "idle"
    MOVE = "move"
    GUIDING = "guiding"
    REFLEX = "reflex"
    USER_STOPPED = "user stopped"
    RECOVERY = "automatic error recovery"


MODES = {
    Mode.OTHER: "its joints are locked or it is not ready: unlock them in Desk, activate FCI, then recover",
    Mode.MOVE: "another program moves it: end that program, then recover",
    Mode.GUIDING: "it is led by hand at its own buttons: let go of them, then recover",
    Mode.USER_STOPPED: "its user stop is pressed: look at the arm, release the button, then recover",
    Mode.RECOVERY: "it recovers from an error: wait",
}
"""What to do about a mode in which it takes no commands. A reflex is explained by its errors."""

MEANINGS = {
    "joint_reflex": "a joint felt more torque than the collision threshold",
    "cartesian_reflex": "the hand felt more force than the collision threshold",
    "joint_position_limits_violation": "a joint is beyond its limit and must be led back by hand in Desk",
    "cartesian_position_limits_violation": "it is beyond a virtual wall",
    "self_collision_avoidance_violation": "it came too near to itself",
    "joint_velocity_violation": "a joint was too fast",
    "cartesian_velocity_violation": "the hand was too fast",
    "force_control_safety_violation": "it lost its contact and was too fast",
    "communication_constraints_violation": "our answers came too late: busy computer or bad cable",
    "power_limit_violation": "it would have needed too much power",
    "controller_torque_discontinuity": "the torques that were sent jumped",
    "tau_j_range_violation": "a torque sensor is out of its range: is the payload right?",
    "instability_detected": "it began to oscillate: lower stiffness, or more damping",
    "joint_move_in_wrong_direction": "it was led further beyond a joint limit",
}
"""What its controller complains of when joints are held by torques. Of the others the name must do."""

ADVICE = "look what it touched, clear it, then recover"


def explain(mode: Mode, errors: Iterable[str]) -> str:
    """Why a robot in this mode, with these errors, does not follow; empty when it only waits for commands."""
    complaints = [f"{name} ({MEANINGS[name]})" if name in MEANINGS else name for name in errors]
    if mode in MODES:
        return "; ".join([MODES[mode], *complaints])
    if complaints:
        return f"{', '.join(complaints)}: {ADVICE}"
    return f"{mode}, for no reason that it gives: {ADVICE}" if mode is Mode.REFLEX else ""
