"""A Franka arm, whichever library carries it: what its driver measures, and what it is told.

The library's torque loop holds the joints at a reference with springs and dampers; `servo` moves the reference and
says how fast it moves, which takes nine tenths of the lag away. If this process dies, the robot hears no more: after 20
commands that did not come it stops by itself, with the error `communication_constraints_violation` (Franka control
interface documentation), and must be recovered.
"""

from math import isfinite
from types import TracebackType
from typing import ClassVar, Self

import numpy as np

from robot_stack import pose as se3
from robot_stack.arms.franka_attendant import Attendant
from robot_stack.arms.franka_link import JOINTS, Link, Reading, Setup, vector
from robot_stack.arms.timeline import Timeline
from robot_stack.clock import now
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot as find_robot
from robot_stack.types import ArmState, Array, ConfigError, DeviceError

LOST = 1.0
"""A robot that has sent nothing for so long is not there any more; so it is for libfranka [s]."""
MOVING = 0.02
"""An arm that is sent faster than this [rad/s] does not measure the same numbers twice, to the last bit."""
FROZEN = 0.3
"""An arm that is moved by springs which do not see where it is must not be moved for longer [s]."""


class FrankaArm:
    """See `configs/robot/fr3.yaml` for the arguments and their units.

    The wrench is what the environment exerts on the arm; the controller reports what the arm exerts on it. It is
    estimated from joint torques, 0 near singularities, and a load that was not declared is part of it.
    """

    model: ClassVar[str]  # of robot_stack.robots
    link: ClassVar[type[Link]]

    def __init__(
        self,
        robot: str,
        host: str,
        stiffness: list[float],
        damping: list[float],
        collision_torque: list[float],
        collision_force: list[float],
        load_mass: float,
        load_center: list[float],
        load_inertia: list[float],
        hand_from_tcp: list[float],
        realtime: bool,
    ) -> None:
        if robot != self.model:
            raise ConfigError(f"{type(self).__name__} drives a {self.model}, the robot of this station is a {robot}")
        known = find_robot(robot)
        setup = Setup(
            host=host,
            stiffness=vector("stiffness", stiffness, JOINTS, "Nm/rad"),
            damping=vector("damping", damping, JOINTS, "Nm s/rad"),
            collision_torque=vector("collision_torque", collision_torque, JOINTS, "Nm"),
            collision_force=vector("collision_force", collision_force, 6, "N, Nm"),
            load_mass=load_mass,
            load_center=vector("load_center", load_center, 3, "m"),
            load_inertia=vector("load_inertia", load_inertia, 9, "kg m^2"),
            hand_from_tcp=se3.to_matrix(se3.normalize(vector("hand_from_tcp", hand_from_tcp, 7, "m, 1"))),
            lower=known.lower,
            upper=known.upper,
            realtime=realtime,
        )
        self._host = host
        self._attendant = Attendant(self.link(setup), known, setup)
        self._kinematics, self._timeline = Kinematics(robot), Timeline()
        self._reading: Reading | None = None  # the newest
        self._measured: ArmState | None = None  # what it, or the last one that was not frozen, says
        self._fresh = 0.0  # when that came [s]
        self._frozen = False

    def __enter__(self) -> Self:
        self._attendant.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attendant.stop()

    def read(self) -> ArmState:
        """The newest measurement; DeviceError when the robot sends none any more."""
        state = self._measure(*self._attendant.newest())
        old = now() - self._fresh
        if old > LOST and not self._attendant.recovers:
            self._attendant.give_up(f"has sent nothing for {old:.1f} s: cable, or a controller that was switched off")
        if self._frozen and old > FROZEN:
            self._attendant.give_up(f"measures the same for {old:.1f} s, though it is moved: restart its controller")
        return ArmState(state.time, state.q, state.dq, state.base_from_tcp, state.wrench, self._attendant.fault)

    def servo(self, q: Array, dq: Array) -> None:
        """Move the reference to q (7,) [rad], on its way at dq (7,) [rad/s]; the first call takes control."""
        if q.shape != (JOINTS,) or dq.shape != (JOINTS,) or not isfinite(q.sum() + dq.sum()):
            raise DeviceError(f"joints {q} at {dq} were asked of the arm: expected {JOINTS} numbers each")
        self._attendant.follow(q, dq)

    def halt(self) -> None:
        """Stop the reference where it is: the springs bring the arm to rest there."""
        self._attendant.stand_still()

    def guide(self, on: bool) -> None:
        """Take the stiffness away and leave some damping; or hold the arm where it then is, without letting it go."""
        self._attendant.lead(on, self.read().q)

    def recover(self) -> None:
        """Have the robot clear its errors, at a person's word; if its user stop is pressed, it must be released."""
        self._attendant.recover()

    def _measure(self, reading: Reading, arrival: float) -> ArmState:
        """The newest reading in terms of this project; one that is frozen is old, however new it says it is."""
        last, measured = self._reading, self._measured
        if last is not None and measured is not None:
            if reading.stamp == last.stamp:
                return measured
            self._frozen = self._repeats(reading, last)
        time = self._timeline.add(reading.stamp, arrival)
        self._reading = reading
        if measured is None or not self._frozen:
            pose = self._kinematics.forward(reading.q)
            measured = ArmState(time, reading.q, reading.dq, pose, reading.force)
            self._measured, self._fresh = measured, arrival
        return measured

    def _repeats(self, reading: Reading, last: Reading) -> bool:
        """Whether an arm that is moved measures the same again, and goes on to when it is moved no more."""
        reference = self._attendant.reference
        moved = self._attendant.follows and reference is not None and np.abs(reference[1]).max() > MOVING
        return bool((self._frozen or moved) and (reading.q == last.q).all() and (reading.dq == last.dq).all())
