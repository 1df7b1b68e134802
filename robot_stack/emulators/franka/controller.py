"""The controller behind the wire: which mode it is in, whose motion it follows, and what makes it stop.

The sequences are those of libfranka's client: a request to move is answered twice, at its start and exactly once at its
end, however it ends; generator, controller and robot mode change together in one state. Assumed, because no document
says it: a client that goes away in a motion leaves a reflex behind, and a user stop leaves the errors as they were.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from robot_stack.emulators.franka.errors import bits
from robot_stack.emulators.franka.frames import Skeleton
from robot_stack.emulators.franka.generators import CartesianGenerator, JointGenerator, MotionGenerator
from robot_stack.emulators.franka.glide import Glide
from robot_stack.emulators.franka.limits import Limits
from robot_stack.emulators.franka.messages import ControllerMode, Generator, RobotMode
from robot_stack.emulators.franka.plant import Plant
from robot_stack.emulators.franka.protocol import Command, Request, Status, Version
from robot_stack.emulators.franka.settings import Settings
from robot_stack.emulators.franka.watch import Watch
from robot_stack.spec import Record
from robot_stack.types import Array

LOST = 20
"""So many commands in a row that did not come in time end a motion."""
UNANSWERED = 2
"""States of a motion that a client reads without an answer, to see that it began."""
UNHEARD = 500
"""A motion whose first command has not come after so many steps has failed as well (assumed)."""
RECOVERING = 50
"""How long a recovery takes (assumed) [steps]."""
RATED = 100
"""The success rate counts so many of the newest commands (assumed)."""
ACCELERATING = 0.1
"""Above this desired acceleration [rad/s^2] the thresholds of the acceleration phase count (assumed)."""
GUIDED_DAMPING = np.array([6.0, 6.0, 6.0, 6.0, 1.0, 1.0, 1.0])
"""Of joints led by hand [Nm s/rad]."""

TOUCHED = {"joint_reflex", "cartesian_reflex"}
"""The errors of an arm that ran into something."""

Answer = Callable[[Request, Status], None]


class Log(Protocol):
    """Where the controller tells what happens."""

    def __call__(self, event: str, **details: object) -> None: ...


class Controller:
    """One robot. answer: sends a response; log: notes an event; strict: also acceleration, jerk and torque rate count.

    robot_mode, generator, controller_mode, errors, reflex_reason (41,), motion, torque (7,) [Nm], success_rate: as in
    the state. heard: whether the client has sent a first command; misses: how many have not come since the last. `tick`
    once a millisecond, after the requests that came.
    """

    def __init__(
        self, version: Version, plant: Plant, limits: Limits, answer: Answer, log: Log, strict: bool = True
    ) -> None:
        self._version, self.plant, self._limits = version, plant, limits
        self._answer, self._log, self._strict = answer, log, strict
        self._skeleton = Skeleton(plant.model)
        self.settings = Settings(plant)
        self.watch = Watch(plant, limits)
        self._own = Glide(plant.q, limits)
        self.errors, self.reflex_reason = bits(()), bits(())
        self.robot_mode = RobotMode.IDLE
        self.torque: Array = np.zeros(7)
        self.motion: MotionGenerator | None = None
        self._move: Request | None = None
        self._recovery: Request | None = None
        self._recovered_in = self.misses = self._age = 0
        self._forget_motion()

    def close(self) -> None:
        """Give back what planning needed."""
        self._own.close()

    # --- what a client asks for ---------------------------------------------------------------------------------------

    def handle(self, request: Request) -> None:
        """Do what a request asks for, and answer it, now or when it is done."""
        match request.command:
            case Command.MOVE:
                self._start(request)
            case Command.STOP_MOVE:
                self._stop(request)
            case Command.AUTOMATIC_ERROR_RECOVERY:
                self._recover(request)
            case _:
                self._set(request)

    def client_gone(self) -> None:
        """Nobody is there any more who could be answered."""
        self._recovery = None
        if self._move is not None:
            self.reflex(["communication_constraints_violation"])

    def _set(self, request: Request) -> None:
        if self._move is not None or self.robot_mode is RobotMode.USER_STOPPED:
            self._answer(request, Status.NOT_POSSIBLE)
        else:
            self._answer(request, Status.SUCCESS if self.settings.apply(request) else Status.INVALID)

    def _start(self, request: Request) -> None:
        controller, generator = int(request.payload[0]), int(request.payload[1]) + 1
        if self.robot_mode is not RobotMode.IDLE or self._recovery is not None:
            self._answer(request, Status.NOT_POSSIBLE)
        elif not self._exists(controller, generator):
            self._answer(request, Status.INVALID)
        else:
            self._log("move", controller=ControllerMode(controller).name, generator=Generator(generator).name)
            self._move = request
            self.robot_mode = RobotMode.MOVE
            self.generator, self.controller_mode = Generator(generator), ControllerMode(controller)
            self.asynchronous = self._version.asynchronous and bool(request.payload[8])
            self.motion = self._motion_of(self.generator)
            self._answer(request, Status.STARTED)

    def _exists(self, controller: int, generator: int) -> bool:
        if controller > ControllerMode.EXTERNAL or generator > Generator.NONE:
            return False
        return generator != Generator.NONE or (self._version.torque_finished and controller == ControllerMode.EXTERNAL)

    def _motion_of(self, generator: Generator) -> MotionGenerator | None:
        q, limits, strict = self._own.joints.value.copy(), self._limits, self._strict
        if self.asynchronous or generator is Generator.NONE:
            return None
        if generator in (Generator.JOINT_POSITION, Generator.JOINT_VELOCITY):
            return JointGenerator(q, limits, strict, velocities=generator is Generator.JOINT_VELOCITY)
        velocities = generator is Generator.CARTESIAN_VELOCITY
        return CartesianGenerator(q, limits, strict, velocities, self._skeleton, self.plant.frames)

    def _stop(self, request: Request) -> None:
        refusals = {RobotMode.REFLEX: Status.REFLEX, RobotMode.USER_STOPPED: Status.EMERGENCY}
        self._finish(Status.PREEMPTED)
        self._answer(request, refusals.get(self.robot_mode, Status.SUCCESS))

    def _recover(self, request: Request) -> None:
        if self.robot_mode is RobotMode.USER_STOPPED or self.watch.outside():
            self._answer(request, Status.MANUAL)
        elif self.robot_mode in (RobotMode.MOVE, RobotMode.GUIDING) or self._recovery is not None:
            self._answer(request, Status.NOT_POSSIBLE)
        else:
            self._log("recovery")
            self.robot_mode, self._recovery, self._recovered_in = RobotMode.RECOVERY, request, RECOVERING

    # --- what happens to it -------------------------------------------------------------------------------------------

    def reflex(self, names: Iterable[str]) -> None:
        """Stop for these errors; they stay until a recovery."""
        names = list(names)
        flags = bits(names)
        if self.robot_mode is RobotMode.USER_STOPPED:
            return
        self._log("reflex", errors=names)
        self.errors = self.reflex_reason = flags
        self._abandon_recovery(Status.REFLEX)
        self._finish(Status.REFLEX)
        if TOUCHED.intersection(names):  # no way to brake over: back from what it ran into
            self._own.rest(self.plant.q, np.zeros(7))
        self.robot_mode = RobotMode.REFLEX

    def user_stop(self, pressed: bool) -> None:
        """The button is pressed, or released."""
        if pressed:
            self._log("user stop", pressed=True)
            self._abandon_recovery(Status.EMERGENCY)
            self._finish(Status.EMERGENCY)
            self.robot_mode = RobotMode.USER_STOPPED
        elif self.robot_mode is RobotMode.USER_STOPPED:
            self._log("user stop", pressed=False)
            self.robot_mode = RobotMode.REFLEX if self.errors.any() else RobotMode.IDLE

    def guide(self, on: bool) -> None:
        """A person takes the arm at its guiding button, or lets it go."""
        if on and self.robot_mode in (RobotMode.IDLE, RobotMode.MOVE):
            self._log("guiding", on=True)
            self._finish(Status.PREEMPTED)
            self.robot_mode = RobotMode.GUIDING
        elif not on and self.robot_mode is RobotMode.GUIDING:
            self._log("guiding", on=False)
            self._own.rest(self.plant.q, self.plant.dq)
            self.robot_mode = RobotMode.IDLE

    def boot(self) -> None:
        """As after switching on: nothing set, no errors, no motion, the arm where it is."""
        self._abandon_recovery(Status.ABORTED)
        self._finish(Status.ABORTED)
        self.settings = Settings(self.plant)
        self.errors, self.reflex_reason = bits(()), bits(())
        self.robot_mode = RobotMode.IDLE
        self._own.rest(self.plant.q, self.plant.dq)
        self._forget_motion()

    # --- time passes --------------------------------------------------------------------------------------------------

    @property
    def awaits_command(self) -> bool:
        """Whether the client must answer every state: in a motion of its own, once it can have seen that it began."""
        return self._move is not None and self._age >= UNANSWERED and not self.asynchronous

    @property
    def joints(self) -> tuple[Array, Array, Array]:
        """Desired positions, velocities, accelerations of the joints, (7,) each: q_d, dq_d, ddq_d."""
        if self.motion is not None:
            signal = self.motion.joints
        elif self.controller_mode is ControllerMode.EXTERNAL or self.robot_mode is RobotMode.GUIDING:
            return self.plant.q, self.plant.dq, np.zeros(7)
        else:
            signal = self._own.joints
        return signal.value, signal.rate, signal.change

    def tick(self, command: Record | None) -> None:
        """One millisecond. command: the client's answer to the newest state; None if it did not come in time."""
        if self._move is not None:
            self._obey(command)
        if self._recovery is not None:
            self._go_on_recovering()
        self._own.step()
        self.plant.step(self._torques())
        self.watch.look(self.settings, accelerating=bool(np.abs(self.joints[2]).max() > ACCELERATING))
        if self._move is not None and (errors := self.watch.errors()):
            self.reflex(errors)

    def _obey(self, command: Record | None) -> None:
        self._age += 1
        if command is None:
            errors = self._miss()
        elif not _finite(command):
            return self._finish(Status.INPUT_ERROR)
        else:
            self.heard, self.misses = True, 0
            self._rate_commands(1.0)
            if self._is_finished(command):
                return self._finish(Status.SUCCESS)
            errors = self._take(command)
        if errors:
            self.reflex(errors)
        return None

    def _miss(self) -> list[str]:
        if self.asynchronous:
            return []
        if not self.heard:
            return ["communication_constraints_violation"] if self._age > UNHEARD else []
        self.misses += 1
        self._rate_commands(0.0)
        if self.misses >= LOST:
            return ["communication_constraints_violation"]
        return self.motion.coast() if self.motion is not None else []

    def _is_finished(self, command: Record) -> bool:
        if self.generator is Generator.NONE:
            return bool(command["torque_command_finished"])
        return bool(command["motion_generation_finished"])

    def _take(self, command: Record) -> list[str]:
        if self.asynchronous:
            return self._take_goal(command)
        errors = self.motion.take(command) if self.motion is not None else []
        if self.controller_mode is ControllerMode.EXTERNAL:
            errors += self._take_torque(np.array(command["tau_J_d"]))
        return errors

    def _take_goal(self, command: Record) -> list[str]:
        assert self._move is not None
        goal = np.array(command["q_c"])
        if self._limits.outside(goal):
            return ["joint_motion_generator_position_limits_violation"]
        self._own.go(goal, np.array(self._move.payload[9:16]))
        return []

    def _take_torque(self, torque: Array) -> list[str]:
        errors = []
        if (np.abs(torque) > self._limits.torque).any():
            errors.append("tau_j_range_violation")
        if self._strict and (np.abs(torque - self.torque) > 1.05e-3 * self._limits.torque_rate).any():
            errors.append("controller_torque_discontinuity")
        if not errors:
            self.torque = torque
        return errors

    def _rate_commands(self, hit: float) -> None:
        self.success_rate += (hit - self.success_rate) / RATED

    def _go_on_recovering(self) -> None:
        self._recovered_in -= 1
        if self._recovered_in <= 0:
            request, self._recovery = self._recovery, None
            self.errors = bits(())
            self.robot_mode = RobotMode.IDLE
            self._log("recovered")
            if request is not None:
                self._answer(request, Status.SUCCESS)

    def _torques(self) -> Array:
        """What the controller in charge exerts (7,) [Nm]."""
        plant = self.plant
        if self.robot_mode is RobotMode.GUIDING:
            self.torque = -GUIDED_DAMPING * plant.dq
        elif self.controller_mode is not ControllerMode.EXTERNAL:
            q, dq, ddq = self.joints
            stiffness = self.settings.stiffness
            damping = 2.0 * np.sqrt(stiffness * plant.inertia())
            torque = plant.feed_forward(ddq) + stiffness * (q - plant.q) + damping * (dq - plant.dq)
            self.torque = np.clip(torque, -self._limits.torque, self._limits.torque)
        return self.torque

    # --- how it ends --------------------------------------------------------------------------------------------------

    def _finish(self, status: Status) -> None:
        """End the motion there is, if any: the arm brakes, the client hears it exactly once."""
        if self._move is None:
            return
        request, self._move = self._move, None
        self._log("move ended", status=status.value)
        if self.motion is not None and status is Status.SUCCESS and self.controller_mode is not ControllerMode.EXTERNAL:
            self._own.rest(self.motion.joints.value, self.motion.joints.rate)
        else:  # whatever was commanded, and whatever is in the way: from where it is
            self._own.rest(self.plant.q, self.plant.dq)
        self.robot_mode = RobotMode.IDLE
        self._forget_motion()
        self._answer(request, status)

    def _forget_motion(self) -> None:
        self.motion = None
        self.generator, self.controller_mode = Generator.IDLE, ControllerMode.OTHER
        self.asynchronous = False
        self.heard, self.misses, self._age = False, 0, 0
        self.success_rate = 0.0

    def _abandon_recovery(self, status: Status) -> None:
        if self._recovery is not None:
            request, self._recovery = self._recovery, None
            self._answer(request, status)


def _finite(command: Record) -> bool:
    """Whether every number is one: a client that sends others is told so, and stopped."""
    names = ("q_c", "dq_c", "O_T_EE_c", "O_dP_EE_c", "elbow_c", "tau_J_d")
    return all(np.isfinite(command[name]).all() for name in names)
