"""The UR controller: power, safety, its program, its clock; a cycle of 2 ms moves the arm and measures it."""

from collections.abc import Callable
from math import sqrt
from typing import Protocol

import numpy as np

from robot_stack.emulators.body import Body
from robot_stack.emulators.journal import Events
from robot_stack.emulators.ur import kinematics
from robot_stack.emulators.ur.arm import PERIOD, CommandedArm
from robot_stack.emulators.ur.compliance import Compliance
from robot_stack.emulators.ur.faults import RuntimeFault
from robot_stack.emulators.ur.modes import RobotMode, Runtime, SafetyMode
from robot_stack.emulators.ur.registers import Io, Payload, Registers
from robot_stack.emulators.ur.sensing import Sensing

START = 50
"""Cycles from the arrival of a program until it runs: 0.1 s, modelled."""
STOPPING = 0.02
"""How much slower time passes for a motion with each cycle of a stop, or faster again: 0.1 s, on its path; modelled."""
DEVIATION = 0.1
"""Farthest that a joint may be from where it is commanded [rad]: modelled."""
FORCE = 250.0
"""Most that may act on the tool [N]: of the order of the factory settings; modelled."""
GRACE = 5.0
"""A protective stop cannot be unlocked earlier after it occurred [s]."""


class Program(Protocol):
    """Something that runs on the controller."""

    name: str

    def step(self) -> bool:
        """One cycle; whether it goes on."""
        ...


class Controller:
    """The state of the controller; the servers read and change it.

    remote: whether it takes programs and dashboard commands from the network. slider: the speed set, 0..1; scaling:
    what is made of it. tell: called with each text message of the controller.
    """

    def __init__(self, body: Body, events: Events, unlock_after: float = GRACE) -> None:
        self.body, self.events = body, events
        self.tell: Callable[[str], None] = lambda message: None
        self.sense = Sensing(body)
        self.arm = CommandedArm(self.sense.q, self.protective_stop)
        self.compliance = Compliance(self.sense)
        self.registers, self.io, self.payload = Registers(), Io(), Payload()
        self.tcp = [0.0] * 6
        self.mode, self.safety, self.runtime = RobotMode.RUNNING, SafetyMode.NORMAL, Runtime.STOPPED
        self.remote = True
        self.timestamp = 0.0
        self.slider, self.scaling = 1.0, 1.0
        self.program: Program | None = None
        self._next: tuple[int, Program] | None = None
        self._watchdog = (0.0, 0.0)  # period, and when it was fed last [s of timestamp]
        self._unlock_after, self._stopped_at = unlock_after, 0.0

    def cycle(self) -> None:
        """One period of the controller."""
        self.timestamp += PERIOD
        self.arm.begin()
        self._scale_time()
        self._start_next()
        self._run_program()
        self.compliance.move(self.arm)
        self.arm.finish()
        self.body.follow(np.array(self.arm.q), np.array(self.arm.qd))
        self.body.step()
        self.sense.measure()
        self._watch()

    def restart(self) -> None:
        """Powered and ready in remote control, without a program, where the arm is."""
        self.stop("restart")
        self.mode, self.safety, self.remote, self.slider = RobotMode.RUNNING, SafetyMode.NORMAL, True, 1.0
        self.payload = Payload()
        self.set_tcp([0.0] * 6)
        self.sense.measure()
        self.sense.zero()
        self.arm.reseed(self.sense.q)

    def skip(self, cycles: int) -> None:
        """Cycles that this machine had no time for: the robot's clock goes on, and nobody was silent in them."""
        self.timestamp += cycles * PERIOD
        self._watchdog = (self._watchdog[0], self._watchdog[1] + cycles * PERIOD)

    # --- programs ----------------------------------------------------------------------------------------------------

    def load(self, program: Program) -> None:
        """Take a program that came over a script port: it starts soon, or the reason why not is noted.

        A script that finds the last program paused only ends that (reported of robots, UR client library issue 123).
        """
        if self.mode is not RobotMode.RUNNING or self.safety is not SafetyMode.NORMAL:
            self.events.add("program-refused", name=program.name, reason=f"{self.mode.name}, {self.safety.name}")
        elif self.runtime is Runtime.PAUSED:
            self.stop("a script arrived while it was paused")
        else:
            self.stop("another script arrived")
            self._next = (START, program)

    def stop(self, reason: str) -> None:
        """End the program, if there is one; the arm brakes."""
        self._next = None
        if self.program is not None:
            self.events.add("program-stopped", name=self.program.name, reason=reason)
        self.program, self.runtime = None, Runtime.STOPPED
        self._watchdog = (0.0, 0.0)
        self.compliance.end()

    def pause(self) -> None:
        """Hold the program where it is."""
        if self.runtime is Runtime.PLAYING:
            self.runtime = Runtime.PAUSED
            self.events.add("program-paused")

    def resume(self) -> bool:
        """Go on with the paused program and its old motion; whether there was one and it may."""
        may = self.runtime is Runtime.PAUSED and self.safety is SafetyMode.NORMAL and self.mode is RobotMode.RUNNING
        if may:
            self.runtime = Runtime.PLAYING
            self._watchdog = (self._watchdog[0], self.timestamp)
            self.events.add("program-resumed")
        return may

    def set_watchdog(self, hertz: float) -> None:
        """End the program when `feed` was not called for a period [Hz]; 0 ends that."""
        self._watchdog = (1.0 / hertz if hertz > 0.0 else 0.0, self.timestamp)

    def feed(self) -> None:
        """The watched register was written."""
        self._watchdog = (self._watchdog[0], self.timestamp)

    # --- safety and power --------------------------------------------------------------------------------------------

    def protective_stop(self, reason: str) -> None:
        """Stop on the path and hold; the program is paused, not ended."""
        self._halt(SafetyMode.PROTECTIVE_STOP, "protective-stop", reason)

    def safeguard_stop(self, active: bool) -> None:
        """The safeguard input opens or closes; closing it resumes nothing."""
        if active:
            self._halt(SafetyMode.SAFEGUARD_STOP, "safeguard-stop", "safeguard input open")
        elif self.safety is SafetyMode.SAFEGUARD_STOP:
            self.safety = SafetyMode.NORMAL
            self.events.add("safeguard-closed")

    def unlock(self) -> bool:
        """Clear a protective stop; whether it may be cleared yet."""
        if self.timestamp - self._stopped_at < self._unlock_after:
            return False
        if self.safety is SafetyMode.PROTECTIVE_STOP:
            self.safety = SafetyMode.NORMAL
            self.arm.reseed(self.sense.q)
            self.events.add("unlocked")
        return True

    def emergency_stop(self, pressed: bool) -> None:
        """The button is pressed, or pulled out again: power is gone either way, and the program with it."""
        if pressed:
            self.stop("emergency stop")
            self.safety, self.mode = SafetyMode.ROBOT_EMERGENCY_STOP, RobotMode.POWER_OFF
            self._note("emergency-stop", "emergency stop button pressed")
        elif self.safety is SafetyMode.ROBOT_EMERGENCY_STOP:
            self.safety = SafetyMode.NORMAL
            self.events.add("emergency-stop-released")

    def restart_safety(self) -> None:
        """After a fault or violation: normal, without power."""
        self.stop("safety restarted")
        self.safety, self.mode = SafetyMode.NORMAL, RobotMode.POWER_OFF

    def power_on(self) -> None:
        """Power the arm, brakes closed."""
        if self.mode is RobotMode.POWER_OFF and self.safety is SafetyMode.NORMAL:
            self.mode = RobotMode.IDLE
            self.events.add("power-on")

    def power_off(self) -> None:
        """Close the brakes and take the power away."""
        self.stop("power off")
        self.mode = RobotMode.POWER_OFF
        self.events.add("power-off")

    def release_brakes(self) -> None:
        """Let the arm move."""
        if self.safety is SafetyMode.NORMAL:
            self.mode = RobotMode.RUNNING
            self.arm.reseed(self.sense.q)
            self.events.add("brakes-released")

    # --- the tool ----------------------------------------------------------------------------------------------------

    def set_tcp(self, offset: list[float]) -> None:
        """Where the tool centre point is on the flange: a UR pose."""
        self.sense.place_tcp(kinematics.pose_of(offset))
        self.tcp = list(offset)

    # --- one cycle ---------------------------------------------------------------------------------------------------

    def _scale_time(self) -> None:
        """For a motion: as fast as the slider says; a stop makes time itself slow down, so that the path is kept."""
        wanted = self.slider if self.runtime is Runtime.PLAYING and self.safety is SafetyMode.NORMAL else 0.0
        self.scaling += min(STOPPING, max(-STOPPING, wanted - self.scaling))
        self.arm.scale = self.scaling

    def _start_next(self) -> None:
        if self._next is None:
            return
        cycles, program = self._next
        self._next = (cycles - 1, program)
        if cycles == 0:
            self._next = None
            self.program, self.runtime = program, Runtime.PLAYING
            self.arm.scale = self.scaling = self.slider
            self.events.add("program-started", name=program.name)

    def _run_program(self) -> None:
        if self.program is None or (self.runtime is not Runtime.PLAYING and self.scaling == 0.0):
            return
        period, fed = self._watchdog
        if period and self.runtime is Runtime.PLAYING and self.timestamp - fed > period:
            self.events.add("watchdog-expired", silence=self.timestamp - fed)
            self.stop("watchdog")
            return
        try:
            if not self.program.step():
                self.stop("finished")
        except (RuntimeFault, ArithmeticError, ValueError) as fault:  # what it was given cannot be computed with
            self.tell(str(fault))
            self.stop(f"runtime exception: {fault}")

    def _watch(self) -> None:
        """What the safety system sees after a cycle."""
        if self.safety is not SafetyMode.NORMAL or self.mode is not RobotMode.RUNNING:
            return
        away = max(abs(a - b) for a, b in zip(self.arm.q, self.sense.q, strict=True))
        force = sqrt(sum(part * part for part in self.sense.wrench[:3]))
        if away > DEVIATION:
            self.protective_stop(f"C153: position deviates from path by {away:.2f} rad: is the arm blocked?")
        elif force > FORCE:
            self.protective_stop(f"C158: collision, {force:.0f} N at the tool")

    def _halt(self, safety: SafetyMode, event: str, reason: str) -> None:
        if self.safety is not SafetyMode.NORMAL:
            return
        self.safety, self._stopped_at = safety, self.timestamp
        self.pause()
        self.compliance.end()
        self._note(event, reason)

    def _note(self, event: str, reason: str) -> None:
        self.events.add(event, reason=reason, timestamp=self.timestamp)
        self.tell(reason)
