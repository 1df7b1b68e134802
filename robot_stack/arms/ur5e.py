"""A UR5e through ur_rtde: joints servoed at 500 Hz, hand guiding, and recovery from a stop on a person's word.

The process that owns one of these is a supervised child of its own: a lost link ends it (see `ur_library`).
"""

import logging
import time
from collections.abc import Sequence
from enum import Enum
from math import copysign, cos, hypot, isfinite, sin, sumprod
from operator import le, sub
from types import TracebackType
from typing import Self

import numpy as np

from robot_stack import pose as se3
from robot_stack.arms import ur_status
from robot_stack.arms.timeline import Timeline
from robot_stack.arms.ur_admission import admit
from robot_stack.arms.ur_dashboard import Dashboard
from robot_stack.arms.ur_library import RATE, Library
from robot_stack.arms.ur_recovery import Recovery
from robot_stack.clock import now
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot as robot_named
from robot_stack.types import ArmState, Array, ConfigError, DeviceError

PERIOD = 1.0 / RATE

STEP = 1.25
"""A command may lie this many times as far from the last as the joints come in one period."""

UNTOUCHED = 0.5
"""Of the watchdog while nothing was commanded yet, and the loop that will read the arm is being set up [Hz]."""

START = 0.03
"""The first command after a rest may be this far from where the arm is measured [rad]."""

DECELERATION = 5.0
"""Of the joints in a halt [rad/s^2]; half of what `robots` says that they can do."""

STILL = 0.02
"""An arm at rest moves no faster [rad/s]."""

ASTRAY = (0.01, 0.05)
"""The controller's kinematics, calibrated in the factory, may differ by this from ours [m, rad]: UR speaks of
millimetres to a centimetre. A wrong tool differs by more."""

PROMPT, UNHURRIED = 1.0, 3.0
"""Longest that settings [s], and ends of motions [s], may take."""

log = logging.getLogger(__name__)


class Doing(Enum):
    """What the program on the controller is busy with."""

    RESTING = 0
    SERVOING = 1
    GUIDING = 2


class UR5e:
    """The arm at `host`.

    flange_from_tcp: the tool (7,) [m, 1]; the controller's frame of the flange. payload: mass of the tool and what it
    holds [kg]. payload_center: its center of mass from the flange (3,) [m]. lookahead: time constant of servoj's
    smoothing, and about the lag of the arm behind its targets, 0.03..0.2 [s]. gain: of servoj, 100..2000. watchdog:
    the controller stops the arm when it hears less often than this from us [Hz]. power_on: whether to power the arm on
    and release its brakes, at the start and after an emergency stop.

    From the first command on the arm is stopped, and must be recovered, if it is neither read nor servoed for one
    period of the watchdog; before, for two seconds.
    """

    def __init__(
        self,
        host: str,
        flange_from_tcp: Sequence[float],
        payload: float,
        payload_center: Sequence[float],
        lookahead: float = 0.1,
        gain: float = 300.0,
        watchdog: float = 10.0,
        power_on: bool = False,
    ) -> None:
        self._host, self._power_on = host, power_on
        self._tool = np.array(flange_from_tcp, dtype=float)
        self._payload, self._center = payload, [float(value) for value in payload_center]
        self._lookahead, self._gain, self._watchdog = lookahead, gain, watchdog
        self._check_arguments()
        self._kinematics = Kinematics("ur5e")
        self._robot = robot_named("ur5e")
        self._hemisphere: list[float] = self._kinematics.forward(self._robot.home)[3:].tolist()
        self._lower, self._upper = self._robot.lower.tolist(), self._robot.upper.tolist()
        self._largest_step: list[float] = (STEP * PERIOD * self._robot.velocity).tolist()
        self._largest_start = [START] * len(self._robot.joints)

    def _check_arguments(self) -> None:
        if not (self._tool.shape == (7,) and isfinite(self._tool.sum()) and abs(hypot(*self._tool[3:]) - 1.0) < 1e-3):
            raise ConfigError(f"flange_from_tcp is {self._tool}, expected x y z [m] and a unit quaternion qx qy qz qw")
        if not (len(self._center) == 3 and isfinite(sum(self._center)) and 0.0 <= self._payload <= 5.0):
            raise ConfigError(f"payload is {self._payload} kg at {self._center}, expected 0..5 kg (UR5e) at x y z [m]")
        for name, value, low, high in (
            ("lookahead", self._lookahead, 0.03, 0.2),
            ("gain", self._gain, 100.0, 2000.0),
            ("watchdog", self._watchdog, 2.0, 50.0),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}, expected {low}..{high}")

    # --- beginning and end --------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        admit(self._host, self._power_on)
        self._timeline = Timeline()
        self._doing, self._watched = Doing.RESTING, 0.0
        self._command: list[float] | None = None  # the last one; None: the arm is where it is
        self._fault = ""
        self._recovery: Recovery | None = None
        self._library = Library(self._host)
        self._receive = self._library.receive
        try:
            self._check_rest()
            self._prepare()
            self._zero_wrench()
            self._check_kinematics()
            self._check_home()
        except BaseException:
            self._close()
            raise
        self._warn_of_slider()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
        self.halt()
        self._close()

    def _close(self) -> None:
        self._library.check_link()
        runtime = self._receive.getRuntimeState()
        if runtime == ur_status.PLAYING:
            with self._library.patience(UNHURRIED) as control:
                control.stopScript()
        elif runtime != ur_status.STOPPED:
            self._end_paused_program()
        del self._receive
        self._library.close()

    def _end_paused_program(self) -> None:
        """Whoever resumed it at the pendant would let the arm go on with its old motion."""
        try:
            with Dashboard(self._host) as dashboard:
                dashboard.order("stop", "Stopped")
        except DeviceError as error:
            log.warning("our program is paused and could not be ended (%s): end it at the pendant", error)

    def _prepare(self) -> None:
        """Tell a program that has just been started what tool the arm carries."""
        tool = [*self._tool[:3].tolist(), *se3.rotation_vector(self._tool[3:])]
        with self._library.patience(PROMPT) as control:
            done = control.setPayload(self._payload, self._center) and control.setTcp(tool)
        if not done:
            raise DeviceError(f"the controller did not take the tool: {self._stated() or 'see the log of the pendant'}")
        self._watch(UNTOUCHED)

    def _zero_wrench(self) -> None:
        with self._library.patience(PROMPT) as control:
            control.zeroFtSensor()

    def _check_rest(self) -> None:
        fastest = float(np.abs(self._receive.getActualQd()).max())
        if fastest > STILL:
            raise DeviceError(
                f"the arm moves, {fastest:.3f} rad/s, before anything was asked: wait until it is at rest"
            )

    def _check_kinematics(self) -> None:
        """That the arm is where the limits and targets of this software think that it is."""
        deadline = now() + PROMPT
        while True:
            ours = self._kinematics.forward(np.array(self._receive.getActualQ()))
            theirs = self._pose(self._receive.getActualTCPPose())
            metres, radians = se3.distance(ours, theirs)
            if metres < ASTRAY[0] and radians < ASTRAY[1]:
                return
            if now() > deadline:
                raise DeviceError(
                    f"the controller has the tool at {theirs.round(3)}, our model of the arm at {ours.round(3)}: "
                    f"{1e3 * metres:.1f} mm and {radians:.3f} rad apart, limit {1e3 * ASTRAY[0]:.0f} mm and "
                    f"{ASTRAY[1]} rad. Is flange_from_tcp that of the gripper in the model?"
                )
            time.sleep(0.01)

    def _check_home(self) -> None:
        with self._library.patience(PROMPT) as control:
            inside = control.isJointsWithinSafetyLimits(self._robot.home.tolist())
        if not inside:
            raise DeviceError(
                "the home of this arm is outside the safety limits of the controller: compare its safety planes and "
                f"joint limits with home {self._robot.home.round(3)} rad and with `limits` of this installation"
            )

    def _warn_of_slider(self) -> None:
        fraction = self._receive.getTargetSpeedFraction()
        if fraction < 1.0:
            log.warning(
                "the pendant's speed slider is at %.0f %%: the arm trails its targets. Set it to 100 %%", 1e2 * fraction
            )

    # --- measuring ----------------------------------------------------------------------------------------------------

    def read(self) -> ArmState:
        """The newest measurement. Does not return, but ends the process, if the link to the controller is lost."""
        receive = self._receive
        stamp = self._library.check_link()
        while True:
            q, dq = receive.getActualQ(), receive.getActualQd()
            pose, wrench = receive.getActualTCPPose(), receive.getActualTCPForce()
            before, stamp = stamp, receive.getTimestamp()
            if before == stamp:  # all of one measurement
                break
        time = self._timeline.add(stamp, now())
        self._notice_fault()
        if self._doing is not Doing.SERVOING and not self._fault:
            self._feed()
        return ArmState(time, np.array(q), np.array(dq), self._pose(pose), np.array(wrench), self._fault)

    def _pose(self, pose: list[float]) -> Array:
        """base_from_tcp (7,) of the controller's x y z and rotation vector, in the hemisphere of home."""
        x, y, z, i, j, k = pose
        angle = hypot(i, j, k)
        w, part = cos(0.5 * angle), sin(0.5 * angle) / angle if angle > 0.0 else 0.5
        quaternion = [part * i, part * j, part * k, w]
        sign = copysign(1.0, sumprod(quaternion, self._hemisphere))
        return np.array([x, y, z, *[sign * value for value in quaternion]])

    def _stated(self) -> str:
        """What the controller says is wrong now."""
        receive = self._receive
        return ur_status.fault(receive.getSafetyMode(), receive.getRobotMode(), receive.getRuntimeState())

    def _notice_fault(self) -> None:
        """Keep `_fault`. Once there is one, only a recovery ends it: a program that runs again is not ours."""
        stated = self._stated()
        recovery = self._recovery
        if recovery is None:
            if stated:
                self._fault, self._doing, self._command = stated, Doing.RESTING, None
        elif recovery.words or recovery.under_way:
            self._fault = recovery.words or self._fault
        else:
            self._fault, self._recovery = stated, None

    def _feed(self) -> None:
        with self._library.patience(PROMPT) as control:
            control.kickWatchdog()

    # --- moving -------------------------------------------------------------------------------------------------------

    def servo(self, q: Array, dq: Array) -> None:
        """Command the joints (6,) [rad] for the next 2 ms; their speed `dq` is not needed.

        DeviceError for what is no command or further from the last than the joints come in that time: whoever sends it
        is broken. Nothing is sent while the controller has a fault.
        """
        self._library.check_link()
        self._notice_fault()
        if self._fault:
            return
        if self._doing is Doing.GUIDING:
            raise DeviceError("the arm is led by hand: guide(False) before it is servoed")
        command = q.tolist()
        self._check_command(command, dq.tolist())
        if self._watched < self._watchdog:
            self._watch(self._watchdog)
        self._library.servo(command, PERIOD, self._lookahead, self._gain)
        self._doing, self._command = Doing.SERVOING, command

    def _check_command(self, q: list[float], dq: list[float]) -> None:
        if not len(q) == len(dq) == 6:
            raise DeviceError(f"a command of {len(q)} joints at {len(dq)} velocities, expected 6: nothing was sent")
        if not isfinite(sum(q) + sum(dq)):
            raise DeviceError(f"a command that is not finite: {q} rad at {dq} rad/s: nothing was sent")
        if not all(map(le, self._lower, q)) or not all(map(le, q, self._upper)):
            raise DeviceError(f"a command past the joint limits: {np.round(q, 3)} rad: nothing was sent")
        rests = self._command is None
        before = self._receive.getActualQ() if self._command is None else self._command
        limits = self._largest_start if rests else self._largest_step
        steps = list(map(abs, map(sub, q, before)))
        if not all(map(le, steps, limits)):
            joint = int(np.argmax(steps))
            raise DeviceError(
                f"a command {steps[joint]:.4f} rad away from {'the arm' if rests else 'the one before'} in "
                f"{self._robot.joints[joint]}, limit {limits[joint]:.4f} rad: nothing was sent"
            )

    def _watch(self, hertz: float) -> None:
        """From now on the controller ends our program if it hears from us less often than this [Hz]."""
        with self._library.patience(PROMPT) as control:
            taken = control.setWatchdog(hertz)
            control.kickWatchdog()  # returns when the program is ready for the next command
        if not taken:
            raise DeviceError(f"the controller did not take the watchdog: {self._stated() or 'no answer'}")
        self._watched = hertz

    def halt(self) -> None:
        """Brake and hold. With a lost link the process ends instead, and the controller's watchdog stops the arm."""
        self._library.check_link()
        self._notice_fault()
        if self._fault:
            return
        with self._library.patience(UNHURRIED) as control:
            if self._doing is Doing.SERVOING:
                control.servoStop(DECELERATION)
            elif self._doing is Doing.GUIDING:
                control.endFreedriveMode()
        self._doing, self._command = Doing.RESTING, None

    def guide(self, on: bool) -> None:
        """Freedrive on or off; takes some periods of control, while nothing moves or a hand leads."""
        if on is (self._doing is Doing.GUIDING):
            return
        self.halt()
        if on and not self._fault:
            self._watch(self._watchdog)
            with self._library.patience(PROMPT) as control:
                free = control.freedriveMode([1] * 6, [0.0] * 6)
            if not free:
                raise DeviceError(f"the controller does not free the arm: {self._stated() or 'see its log'}")
            self._doing = Doing.GUIDING

    def recover(self) -> None:
        """Begin to clear the fault; see `ur_recovery` for the order. The arm is left where it is."""
        if self._fault and (self._recovery is None or not self._recovery.under_way):
            self._doing, self._command = Doing.RESTING, None
            self._recovery = Recovery(self._host, self._library, self._power_on, self._prepare)
