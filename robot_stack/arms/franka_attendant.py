"""The thread that attends to a Franka robot: all that can take time, so that the control loop never waits for it.

It connects, begins and ends a motion, recovers. It is also the watchdog that the libraries do not have: a loop that
falls silent leaves a velocity behind, so the thread takes it away, and later ends the motion. A motion begins with the
first reference: who only reads never takes control of the robot. When one ends that was not asked to end, the reason is
the fault, and it stays until a person has it recovered from, even if the robot itself could go on.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np

from robot_stack import pose as se3
from robot_stack.arms.franka_faults import Mode, explain
from robot_stack.arms.franka_link import JOINTS, Link, Reading, Setup
from robot_stack.clock import now
from robot_stack.kinematics import Kinematics
from robot_stack.robots import Robot
from robot_stack.types import Array, DeviceError, RobotStackError

PAUSE = 0.002
"""The robot is looked after once in so long [s]."""
CONNECTING = 10.0
"""libfranka itself would wait a minute for a robot that is not there [s]."""
LEAVING = 5.0
"""A library that has not let go by then never will: libfranka waits for some answers without end [s]."""
STALE = 0.05
"""A loop that has said nothing for so long has stalled: the reference stands still [s]."""
SILENT = 1.0
"""... and for so long, is not there any more: the motion ends [s]."""
APART = 0.05
"""A motion begins where the arm is; a reference further away would be a blow [rad]."""
ASTRAY = (0.002, 0.01)
"""Most that the controller's TCP and ours may differ [m, rad]: the same numbers describe both."""
ATTEMPTS = 3
SETTLING = 1.0
"""A recovery that was granted shows in the state by then [s]."""
UP_TO_A_PERSON = (Mode.USER_STOPPED, Mode.GUIDING, Mode.MOVE)
"""In these modes no recovery is possible, and none is needed once they are over."""
LED = np.array([2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.5])
"""Damping of joints that are led by hand [Nm s/rad]."""

log = logging.getLogger(__name__)


class Attendant:
    """Of one robot on one link.

    For the control loop. fault: why the robot does not follow; empty while it does, or would. broken: why there is no
    robot any more. recovers: it may be a while without news. follows: a motion goes on. reference: joints (7,) [rad]
    and their velocities [rad/s], as last asked for; None before.
    """

    def __init__(self, link: Link, robot: Robot, setup: Setup) -> None:
        self.fault = self.broken = ""
        self.follows = self.recovers = False
        self.reference: tuple[Array, Array] | None = None
        self._link, self._robot, self._setup, self._host = link, robot, setup, setup.host
        self._newest: tuple[Reading, float] | None = None
        self._moves = False  # `follows`, and on until the motion has ended: it is read in the loop's thread, at once
        self._led = self._asked = False
        self._heard = 0.0  # when the loop last gave a sign of life [s]
        self._priority = 0  # of the library's threads
        self._ready, self._leaves = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._attend, name="franka", daemon=True)

    # --- for the control loop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect; DeviceError says why not."""
        self._thread.start()
        if not self._ready.wait(CONNECTING):
            self._leaves.set()
            raise DeviceError(
                f"no answer from {self._host} within {CONNECTING:.0f} s: is the robot on, is the cable in its control "
                "box and not in the arm, is the address right?"
            )
        if self.broken:
            raise DeviceError(self.broken)

    def stop(self) -> None:
        """Leave the arm at rest and disconnect, within a few seconds whatever the library does."""
        self._leaves.set()
        self._thread.join(LEAVING)
        if self._thread.is_alive():  # a daemon: it does not keep the process from ending
            log.error("the connection to %s did not end within %.0f s: left as it is", self._host, LEAVING)

    def newest(self) -> tuple[Reading, float]:
        """The newest state, and when it came [s]."""
        if self._led:
            self._heard = now()
        if self._moves and self._link.moves():
            self._look()
        if self.broken:
            raise DeviceError(self.broken)
        assert self._newest is not None, "the robot is looked at before it is ready"
        return self._newest

    def give_up(self, words: str) -> NoReturn:
        """There is no robot any more that could be trusted."""
        self.broken = f"the robot at {self._host} {words}"
        raise DeviceError(self.broken)

    def follow(self, q: Array, dq: Array) -> None:
        """Move the reference; the first one begins a motion."""
        self.reference, self._heard = (q.copy(), dq.copy()), now()
        if self.follows:
            self._link.follow(q, dq)

    def stand_still(self) -> None:
        """Hold the reference where it is."""
        self._heard = now()
        if self.follows and self.reference is not None:
            self._link.follow(self.reference[0], np.zeros(JOINTS))

    def lead(self, on: bool, q: Array) -> None:
        """Let the arm, which is at q (7,) [rad], be led by hand, or hold it there; the motion goes on."""
        self._led = on
        self.follow(q, np.zeros(JOINTS))
        if self.follows:
            self._set_gains()

    def recover(self) -> None:
        """Have the robot clear its errors."""
        self._asked = True

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _attend(self) -> None:
        try:
            self._arrive()
            self._ready.set()
            while not self._leaves.wait(PAUSE) and not self.broken:
                self._turn()
        except RobotStackError as error:
            self.broken = str(error)
        except Exception as error:
            log.exception("the thread of %s failed", self._host)
            self.broken = f"the driver of {self._host} failed: {error!r}"
        self._ready.set()
        self._depart()

    def _arrive(self) -> None:
        """Connect, and see that it is the robot that the configuration means."""
        self._kinematics = Kinematics(self._robot.name)  # of this thread
        ours = os.sched_getscheduler(0), os.sched_getparam(0)
        self._link.connect()  # libfranka gives this thread, and all that it starts from now on, priority 99 if it may
        self._priority = os.sched_getparam(0).sched_priority
        os.sched_setscheduler(0, *ours)
        self._check_limits()
        reading = self._look()
        if reading.mode is Mode.MOVE:
            raise DeviceError(f"the robot at {self._host} is moved by another program: end that program first")
        if not explain(reading.mode, reading.errors):
            self._prepare()
        self._judge(reading)

    def _turn(self) -> None:
        if self._moves:
            self._asked = False
            self._watch()
            return
        self._judge(self._look())
        if self._asked:
            self._recover()
        elif self.reference is not None and not self.fault and now() - self._heard < STALE:
            self._begin(self.reference[0])

    def _look(self) -> Reading:
        reading = self._link.read()
        self._newest = (reading, now())
        return reading

    def _judge(self, reading: Reading) -> None:
        """A fault stays until it is recovered from, whatever the robot does meanwhile."""
        self.fault = explain(reading.mode, reading.errors) or self.fault

    def _begin(self, q: Array) -> None:
        """Take control, unless the reference q (7,) [rad] is away from the arm."""
        away = float(np.abs(q - self._prepare().q).max())
        if away > APART:
            self.fault = f"asked for joints {away:.2f} rad from where the arm is, limit {APART} rad: recover"
            return
        with self._ahead_of_all():
            self._link.take()
        self._set_gains()
        self._moves = self.follows = True

    @contextmanager
    def _ahead_of_all(self) -> Iterator[None]:
        """With the priority that libfranka asked for: the library's torque loop is a thread that inherits it."""
        policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
        if self._priority > parameters.sched_priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(self._priority))
        try:
            yield
        finally:
            os.sched_setscheduler(0, policy, parameters)

    def _watch(self) -> None:
        """Over a motion: that it goes on, and that the loop does."""
        if not self._link.moves():
            self._moves = self.follows = self._led = False
            words = self._link.why()
            self._judge(self._look())
            self.fault = self.fault or f"the robot ended the motion ({words}): look at the arm, then recover"
            return
        silence = now() - self._heard
        if silence > SILENT:
            self._release()
        elif silence > STALE and not self._led and self.reference is not None:
            self._link.follow(self.reference[0], np.zeros(JOINTS))

    def _set_gains(self) -> None:
        if self._led:
            self._link.hold(np.zeros(JOINTS), LED)
        else:
            self._link.hold(self._setup.stiffness, self._setup.damping)

    def _release(self) -> None:
        self.follows = self._led = False
        self._link.release()
        self._moves = False

    def _recover(self) -> None:
        self._asked, self.recovers = False, True
        reading, refusal = self._look(), ""
        for _ in range(ATTEMPTS):
            if reading.mode in UP_TO_A_PERSON or refusal or not explain(reading.mode, reading.errors):
                break
            self.fault = "recovering"
            refusal = self._link.recover()
            reading = self._settled()
        words = explain(reading.mode, reading.errors)
        self.reference = self.reference if words else None  # it was asked for before
        self.fault = f"{words} ({refusal})" if refusal and words else words
        self.recovers = False

    def _settled(self) -> Reading:
        """The state once it shows no error, or after a while: the first after a recovery may still show it."""
        deadline = now() + SETTLING
        reading = self._look()
        while explain(reading.mode, reading.errors) and now() < deadline:
            reading = self._look()
        return reading

    def _prepare(self) -> Reading:
        """Set what is configured, and see that the controller then has the TCP where we have it."""
        self._link.configure()
        for _ in range(3):  # what was on its way shows the end effector from before
            reading = self._look()
        ours, theirs = self._kinematics.forward(reading.q), se3.from_matrix(reading.base_from_ee)
        metres, radians = se3.distance(ours, theirs)
        if metres > ASTRAY[0] or radians > ASTRAY[1]:
            raise DeviceError(
                f"the robot at {self._host} has its end effector at {np.round(theirs[:3], 3)} m, a {self._robot.name} "
                f"with these joints has its TCP at {np.round(ours[:3], 3)} m: {1e3 * metres:.1f} mm and {radians:.3f} "
                "rad apart. Is the Franka hand chosen as end effector in Desk, is hand_from_tcp right?"
            )
        return reading

    def _check_limits(self) -> None:
        limits = self._link.limits()
        if limits is None:
            return
        outside = np.maximum(limits[0] - self._robot.lower, self._robot.upper - limits[1])
        joint = int(outside.argmax())
        if not outside[joint] <= 0.0:
            raise DeviceError(
                f"joint {joint + 1} of the robot at {self._host} turns from {limits[0][joint]:.3f} to "
                f"{limits[1][joint]:.3f} rad, that of a {self._robot.name} from {self._robot.lower[joint]:.3f} to "
                f"{self._robot.upper[joint]:.3f} rad: it is another robot"
            )

    def _depart(self) -> None:
        """Leave the arm at rest, and disconnect."""
        try:
            if self._moves and not self.broken:
                self.stand_still()
                self._release()
        except DeviceError as error:
            log.warning("the arm was not released: %s", error)
        self._moves = self.follows = False
        self._link.close()
