"""What a UR controller says of itself, in words, and what a person can do about it.

Numbers as in UR's Real-Time Data Exchange guide, names as the dashboard server writes them.
"""

from typing import NamedTuple

NORMAL, REDUCED, PROTECTIVE_STOP = 1, 2, 3
"""Safety modes."""

IDLE, RUNNING = 5, 7
"""Robot modes."""

STOPPED, PLAYING = 1, 2
"""Runtime states."""


class Words(NamedTuple):
    """A state: as the dashboard names it, as a person does, and what ends it."""

    name: str
    plain: str
    remedy: str


_BUTTON = "pull the button out when the cell is clear, power the arm on at the pendant, then clear it here"
_RESTART = "read the pendant's log, restart the safety system there, then clear it here"
_SAFEGUARD = "close the guard and reset it, then clear it here"
_ENABLE = "hold the enabling device in its middle position or switch it off, then clear it here"
_WAIT = "wait until it has started; see the pendant"
_POWER = "power the arm on and release the brakes at the pendant, then clear it here"

SAFETY = {
    NORMAL: Words("NORMAL", "normal", ""),
    REDUCED: Words("REDUCED", "reduced", ""),
    PROTECTIVE_STOP: Words("PROTECTIVE_STOP", "protective stop", "look what stopped it, free the arm, then clear it"),
    4: Words("RECOVERY", "recovery mode", "move the arm back inside its limits at the pendant, then clear it here"),
    5: Words("SAFEGUARD_STOP", "safeguard stop", _SAFEGUARD),
    6: Words("SYSTEM_EMERGENCY_STOP", "emergency stop of the system", _BUTTON),
    7: Words("ROBOT_EMERGENCY_STOP", "emergency stop", _BUTTON),
    8: Words("VIOLATION", "safety violation", _RESTART),
    9: Words("FAULT", "safety fault", _RESTART),
    10: Words("VALIDATE_JOINT_ID", "joint not validated", "validate it at the pendant"),
    11: Words("UNDEFINED_SAFETY_MODE", "undefined safety mode", _RESTART),
    12: Words("AUTOMATIC_MODE_SAFEGUARD_STOP", "safeguard stop of the automatic mode", _SAFEGUARD),
    13: Words("SYSTEM_THREE_POSITION_ENABLING_STOP", "enabling stop of the system", _ENABLE),
    14: Words("TP_THREE_POSITION_ENABLING_STOP", "enabling stop of the pendant", _ENABLE),
}

ROBOT = {
    -1: Words("NO_CONTROLLER", "no controller", _WAIT),
    0: Words("DISCONNECTED", "arm not connected", "see the pendant"),
    1: Words("CONFIRM_SAFETY", "safety configuration not confirmed", "confirm it at the pendant"),
    2: Words("BOOTING", "booting", _WAIT),
    3: Words("POWER_OFF", "arm powered off", _POWER),
    4: Words("POWER_ON", "arm powering on", _POWER),
    IDLE: Words("IDLE", "brakes on", "release the brakes at the pendant, then clear it here"),
    6: Words("BACKDRIVE", "backdrive", "leave it at the pendant"),
    RUNNING: Words("RUNNING", "running", ""),
    8: Words("UPDATING_FIRMWARE", "firmware being updated", _WAIT),
}

RUNTIME = {
    0: "stopping",
    STOPPED: "stopped",
    PLAYING: "playing",
    3: "pausing",
    4: "paused",
    5: "resuming",
}


def safety_fault(mode: int) -> str:
    """Why the arm does not move, by its safety mode; empty when it may. An unknown mode is a fault too."""
    words = SAFETY.get(mode, Words("", "unknown", "see the pendant"))
    return "" if mode in (NORMAL, REDUCED) else f"{words.plain} (safety mode {mode}): {words.remedy}"


def power_fault(mode: int) -> str:
    """Why the arm cannot move, by its robot mode; empty when it can."""
    words = ROBOT.get(mode, Words("", "unknown", "see the pendant"))
    return "" if mode == RUNNING else f"{words.plain} (robot mode {mode}): {words.remedy}"


def program_fault(runtime: int) -> str:
    """Why the arm does not listen to us, by the controller's runtime state; empty when it does."""
    if runtime == PLAYING:
        return ""
    state = RUNTIME.get(runtime, "in an unknown state")
    return (
        f"our program on the controller is {state} (runtime state {runtime}): if it is safe, clear it to start it anew"
    )


def fault(safety_mode: int, robot_mode: int, runtime: int) -> str:
    """What is wrong, the cause before its consequences; empty while the arm follows."""
    return safety_fault(safety_mode) or power_fault(robot_mode) or program_fault(runtime)


def number(table: dict[int, Words], name: str) -> int:
    """The number of a state that the dashboard calls `name`; -2 for a name that is not in the table."""
    return next((number for number, words in table.items() if words.name == name), -2)
