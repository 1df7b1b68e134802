"""Whether a UR controller lets itself be controlled: everything that is to be asked before its arm may be moved.

Each answer that is not the right one is a DeviceError that says what to do at the pendant or in the configuration.
"""

import time
from collections.abc import Callable

from robot_stack.arms import ur_status
from robot_stack.arms.ur_dashboard import Dashboard
from robot_stack.arms.ur_version import controller_version
from robot_stack.clock import now
from robot_stack.tcp import connect
from robot_stack.types import DeviceError

SCRIPT_PORT = 30003
OLDEST = (5, 10)
"""PolyScope from here on can be asked for its model and for remote control (5.6), and frees single axes (5.10)."""

MODEL = "UR5"
"""What the dashboard of a UR5e says."""

LEFTOVER = 3.0
"""A program of a driver that died is ended by the controller's watchdog within this time [s]."""

POWERING = 30.0
"""Longest that powering on, and releasing the brakes, may take [s]."""


def admit(host: str, power_on: bool) -> None:
    """Return when the arm can be taken over: it is the right one, powered, in remote control, and nobody else's.

    power_on: power the arm on and release its brakes where that is all that is missing.
    """
    _check_software(host)
    connect(host, SCRIPT_PORT, "the script interface of the UR controller").close()
    with Dashboard(host) as dashboard:
        _check_model(dashboard)
        check_remote(dashboard)
        check_safety(dashboard)
        bring_power(dashboard, power_on, say=lambda step: None)
        _check_idle(dashboard)


def check_remote(dashboard: Dashboard) -> None:
    """In local control nothing that comes over the network is run."""
    if not dashboard.is_in_remote_control():
        raise DeviceError(
            "the robot is in local control: choose Remote Control in the upper right corner of the pendant (allowed "
            "under Settings, System, Remote Control)"
        )


def check_safety(dashboard: Dashboard) -> None:
    """No stop and no fault may be pending."""
    if wrong := ur_status.safety_fault(dashboard.safety_mode()):
        raise DeviceError(wrong)


def bring_power(dashboard: Dashboard, power_on: bool, say: Callable[[str], None]) -> None:
    """The arm must be powered and its brakes released: by a person, or with power_on by us, telling each step."""
    wrong = ur_status.power_fault(dashboard.robot_mode())
    if not wrong:
        return
    if not power_on:
        raise DeviceError(f"{wrong} (or let the driver do it: arm.power_on=true)")
    say("powering the arm on")
    dashboard.order("power on", "Powering on")
    _wait_for_mode(dashboard, (ur_status.IDLE, ur_status.RUNNING))
    say("releasing the brakes: the arm may move a little")
    dashboard.order("brake release", "Brake releasing")
    _wait_for_mode(dashboard, (ur_status.RUNNING,))


def _wait_for_mode(dashboard: Dashboard, wanted: tuple[int, ...]) -> None:
    deadline = now() + POWERING
    while (mode := dashboard.robot_mode()) not in wanted:
        check_safety(dashboard)
        if now() > deadline:
            raise DeviceError(f"after {POWERING:.0f} s still {ur_status.power_fault(mode)}")
        time.sleep(0.1)


def _check_software(host: str) -> None:
    version = controller_version(host)
    if version.major >= 10:
        raise DeviceError(
            f"the controller runs PolyScope X {version}, expected PolyScope 5: this driver recovers from stops over "
            "the dashboard server, which PolyScope X does not have"
        )
    if version[:2] < OLDEST:
        raise DeviceError(
            f"the controller runs PolyScope {version}, expected {OLDEST[0]}.{OLDEST[1]} or newer: update it at the "
            "pendant (an arm of the CB3 series, 3.x, is none that this driver knows)"
        )


def _check_model(dashboard: Dashboard) -> None:
    if (model := dashboard.model()) != MODEL:
        raise DeviceError(f"the robot is a {model}, expected a {MODEL} (UR5e): limits and kinematics would be wrong")


def _check_idle(dashboard: Dashboard) -> None:
    """Another's program is not ended by us; our own of a driver that died just now is by the controller."""
    deadline = now() + LEFTOVER
    while name := dashboard.playing():
        if now() > deadline:
            raise DeviceError(
                f"the controller runs a program already ({name}): end it at the pendant, or who started it"
            )
        time.sleep(0.05)
