"""Franka Research 3 (control interface version 10) on franky: its 1 kHz torque loop runs in C++, ours sends references.

Of franky's motions only the tracker of joints is used. It commands torques, so the limits of velocity and acceleration
that franky has built in do not count: in the wheel for the FR3 they are those of the Panda.
"""

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np

from robot_stack.arms.franka_arm import FrankaArm
from robot_stack.arms.franka_faults import Mode
from robot_stack.arms.franka_link import Reading, Setup
from robot_stack.arms.franka_refusals import in_words
from robot_stack.types import Array, DeviceError

STOPPING = 3.0
"""franky's stop brings the arm to rest in at most 2.2 s [s]."""

MODES = tuple(Mode)
"""By the number that the library gives them."""


class FrankyLink:
    """One `franky.Robot`."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._host = setup, setup.host
        self._robot: Any = None
        self._tracker: Any = None
        self._lost = ""

    def connect(self) -> None:
        try:
            import franky
        except ImportError as error:
            raise DeviceError(f"franky is missing ({error}): install the extra `franka` (Linux x86-64)") from error
        self._franky = franky
        realtime = franky.RealtimeConfig.Enforce if self._setup.realtime else franky.RealtimeConfig.Ignore
        with in_words(self._host):
            self._robot = franky.Robot(self._host, realtime_config=realtime)
        self._errors = [name for name in dir(franky.Errors) if not name.startswith("_")]

    def limits(self) -> tuple[Array, Array]:
        return joint_limits(self._robot.model_urdf)

    def configure(self) -> None:
        setup, robot = self._setup, self._robot
        with in_words(self._host):
            robot.set_collision_behavior(setup.collision_torque, setup.collision_force)
            robot.set_load(setup.load_mass, setup.load_center, setup.load_inertia)
            robot.set_ee(setup.hand_from_tcp.T.ravel())
            robot.set_k(np.eye(4).ravel())

    def take(self) -> None:
        setup, self._lost = self._setup, ""
        with in_words(self._host):
            self._tracker = self._franky.JointImpedanceTracker(
                self._robot,
                stiffness=setup.stiffness,
                damping=setup.damping,
                lower_joint_limits=setup.lower,
                upper_joint_limits=setup.upper,
            )

    def moves(self) -> bool:
        return self._tracker is not None and bool(self._robot.is_in_control)

    def why(self) -> str:
        try:
            self._robot.join_motion(0.0)
        except Exception as error:  # whatever ended the motion
            return str(error).split("\n")[0]
        return ""

    def read(self) -> Reading:
        with in_words(self._host):
            state = self._robot.state
        mode = MODES[int(state.robot_mode)]
        errors = state.current_errors
        return Reading(
            state.time.to_msec() * 1e-3,
            state.q,
            state.dq,
            state.O_T_EE.matrix,
            -state.O_F_ext_hat_K,
            mode,
            () if mode is Mode.MOVE else tuple(name for name in self._errors if getattr(errors, name)),
        )

    def follow(self, q: Array, dq: Array) -> None:
        self._tracker.set_target(q, dq)

    def hold(self, stiffness: Array, damping: Array) -> None:
        self._tracker.set_gains(stiffness=stiffness, damping=damping)

    def release(self) -> None:
        with in_words(self._host):
            self._robot.move(self._franky.TorqueStopMotion(), asynchronous=True)
            if not self._robot.join_motion(STOPPING):
                raise DeviceError(f"the robot at {self._host} did not end its motion within {STOPPING:.0f} s")

    def recover(self) -> str:
        try:
            self._robot.recover_from_errors()  # its answer is of a state from before, and not to be relied on
        except Exception as error:  # a refusal, most often
            return str(error).split("\n")[0]
        return ""

    def close(self) -> None:
        self._tracker = self._robot = None


def joint_limits(urdf: str) -> tuple[Array, Array]:
    """Least and greatest joints (7,) [rad] of a robot description."""
    ranges = {}
    for joint in ElementTree.fromstring(urdf).iter("joint"):
        limit, number = joint.find("limit"), re.search(r"joint([1-7])$", joint.get("name", ""))
        if limit is not None and number is not None:
            ranges[number[1]] = (float(limit.get("lower", "nan")), float(limit.get("upper", "nan")))
    lower, upper = np.array([ranges[number] for number in sorted(ranges)]).T
    return lower, upper


class Franka(FrankaArm):
    """A Franka Research 3."""

    model, link = "fr3", FrankyLink
