"""The machine behind a controller: the arm in its scene, seen by cameras, pushed and blocked by tests."""

from collections.abc import Callable

import mujoco
import numpy as np

from robot_stack.bus import SharedBus
from robot_stack.clock import now
from robot_stack.robots import TCP
from robot_stack.sim.scene import SERVO_LAG
from robot_stack.sim.stage import Stage
from robot_stack.sim.world import World
from robot_stack.types import ArmState, Array

PUBLISHED = 100.0
"""The bus hears of the scene this often [Hz]: cameras look at it, nobody controls by it."""
STIFFNESS, DAMPING = 5e4, 300.0
"""Of what blocks the arm [N/m, N s/m]: stiff, and stable with the lightest arm and the longest physics step."""


def session(robot: str, host: str) -> str:
    """The bus session on which the emulated robot at an address shows its scene."""
    return f"emulated-{robot}-{host.replace('.', '-').replace(':', '-')}"


class Body:
    """A robot at a task, stepped by the controller that it belongs to; everybody on its bus sees what it does.

    rate: physics steps a second [Hz]; steps: how many there were. arm: what it measured after the last one; `time`
    there is `clock.now`.
    """

    def __init__(self, robot: str, task: str, host: str, rate: float) -> None:
        self.world = World(robot, task, timestep=1.0 / rate)
        self.joints = self.world.station.joints
        self._bus = SharedBus(session(robot, host))
        self._stage = Stage(self._bus, self.world, 1.0 / PUBLISHED)
        self._steps_published = round(rate / PUBLISHED)
        self.steps = 0
        self._tcp = self.world.model.site(TCP).id
        self._hand = int(self.world.model.site_bodyid[self._tcp])
        self._pushed: Array = np.zeros(6)
        self._pushed_until = 0.0
        self._blocked: Array | None = None
        self._gains = [array[: self.joints].copy() for array in self._gain_arrays()]
        self._driven = False
        self.measure()

    def follow(self, q: Array, dq: Array) -> None:
        """Let the joints be held at q (n,) [rad] and moved with dq (n,) [rad/s], as stiffly as the drives can.

        The velocity is fed forward: the joints keep up with a motion, where the servo of `World` alone trails it.
        """
        self._hold_position(True)
        self.world.data.qfrc_applied[: self.joints] = 0.0
        self.world.servo(q + SERVO_LAG * dq)

    def drive(self, torque: Array) -> None:
        """Let the motors apply torques (n,) [Nm], on top of the arm's own weight, which is always carried."""
        self._hold_position(False)
        self.world.data.qfrc_applied[: self.joints] = torque

    def step(self) -> ArmState:
        """Let one physics step pass, publish it, and return what the arm measures after it."""
        data = self.world.data
        data.xfrc_applied[self._hand] = self._external_wrench()
        self.world.step(self.world.timestep)
        state = self.measure()
        self.steps += 1
        if self.steps % self._steps_published == 0:
            self._stage.publish(state, self.opening)
            self._stage.obey()
        return state

    def measure(self) -> ArmState:
        """What the arm measures now; also `arm` from now on."""
        self.arm = self.world.arm(now())
        return self.arm

    @property
    def opening(self) -> float:
        """The distance between the fingers [m]."""
        return self.world.gripper(0.0).opening

    def push(self, force: list[float], seconds: float) -> None:
        """Push or twist the TCP for a time of the scene [s]. force: three forces [N] and three torques [Nm] or none,
        in the base frame.
        """
        wrench = np.array(force, float)
        if len(wrench) not in (3, 6):
            raise ValueError(f"expected three or six numbers, got {force}")
        self._pushed = np.resize([*wrench, 0.0, 0.0, 0.0], 6)
        self._pushed_until = self.steps + seconds / self.world.timestep

    def block(self, blocked: bool) -> None:
        """Let something stiff hold the TCP where it is now, or let go of it."""
        self._blocked = self.world.data.site_xpos[self._tcp].copy() if blocked else None

    def touches(self, geom: Callable[[str], bool]) -> bool:
        """Whether one of the shapes whose name `geom` accepts touches something that it does not."""
        model, data = self.world.model, self.world.data
        for contact in data.contact[: data.ncon]:
            names = [model.geom(int(index)).name for index in contact.geom]
            if geom(names[0]) != geom(names[1]):
                return True
        return False

    def restart(self) -> None:
        """The arm at home, the objects where they were at first, and nobody touches them."""
        self._pushed_until, self._blocked = 0.0, None
        self.world.reset(0)
        self.measure()

    def close(self) -> None:
        """Leave the bus."""
        self._bus.close()
        self.world.close()

    def _external_wrench(self) -> Array:
        """Force and torque (6,) that act on the hand's centre of mass, for a force that acts at the TCP."""
        data = self.world.data
        wrench = self._pushed.copy() if self.steps < self._pushed_until else np.zeros(6)
        if self._blocked is not None:
            velocity = np.zeros(6)  # angular over linear
            mujoco.mj_objectVelocity(self.world.model, data, mujoco.mjtObj.mjOBJ_SITE, self._tcp, velocity, 0)
            wrench[:3] += STIFFNESS * (self._blocked - data.site_xpos[self._tcp]) - DAMPING * velocity[3:]
        if wrench.any():
            wrench[3:] += np.cross(data.site_xpos[self._tcp] - data.xipos[self._hand], wrench[:3])
        return wrench

    def _gain_arrays(self) -> list[Array]:
        return [self.world.model.actuator_gainprm, self.world.model.actuator_biasprm]

    def _hold_position(self, hold: bool) -> None:
        if hold is not self._driven:
            return
        for array, gains in zip(self._gain_arrays(), self._gains, strict=True):
            array[: self.joints] = gains if hold else 0.0
        self._driven = not hold
