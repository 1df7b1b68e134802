"""Franka Emika Panda, also called FER (control interface version 5), on panda-py: to its users the same as `franka`.

Three things of panda-py 1.1.1 shape this file. Beginning a motion has the robot recover from its errors unasked: so a
motion begins only where there are none. A controller says that it runs until it is stopped, also when its thread has
ended: so the thread's error is asked for. And some calls keep Python's lock while they wait for the robot: one without
an answer would stop the whole process, threads that watch over it included, so `_bounded` ends it then.
"""

import ctypes
import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from robot_stack.arms.franka_arm import FrankaArm
from robot_stack.arms.franka_faults import Mode
from robot_stack.arms.franka_link import Reading, Setup
from robot_stack.arms.franka_refusals import in_words
from robot_stack.clock import now
from robot_stack.types import Array, DeviceError

MODES = tuple(Mode)
"""By the number that the library gives them."""

ENDING = 2.0
"""libfranka gives a robot up that has been silent for 1 s [s]."""

HUNG = 5.0
"""A call that keeps Python's lock for so long never gives it back [s]."""


class PandaPyLink:
    """One `panda_py.Panda`."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._host = setup, setup.host
        self._panda: Any = None
        self._controller: Any = None  # the last one: references to one that has ended are lost, no more
        self._runs, self._lost = False, ""

    def connect(self) -> None:
        try:
            import panda_py
            from panda_py import controllers, libfranka
        except ImportError as error:
            raise DeviceError(
                f"panda_py is missing ({error}): install the extra `franka-panda` (Linux x86-64)"
            ) from error
        self._controllers = controllers
        config = libfranka.RealtimeConfig
        with in_words(self._host):
            self._panda = panda_py.Panda(
                self._host, realtime_config=config.kEnforce if self._setup.realtime else config.kIgnore
            )
        self._robot = self._panda.get_robot()
        self._errors = [name for name in dir(libfranka.Errors) if not name.startswith("_")]

    def limits(self) -> None:
        """Version 5 does not tell."""

    def configure(self) -> None:
        setup, robot = self._setup, self._robot
        torque, force = setup.collision_torque, setup.collision_force
        with in_words(self._host), _bounded():
            robot.set_collision_behavior(torque, torque, force, force)
            robot.set_load(setup.load_mass, setup.load_center, setup.load_inertia)
            robot.set_ee(setup.hand_from_tcp.T.ravel())
            robot.set_k(np.eye(4).ravel())

    def take(self) -> None:
        controller = self._controllers.JointPosition(self._setup.stiffness, self._setup.damping)
        with in_words(self._host):
            self._panda.start_controller(controller)
        self._controller, self._runs, self._lost = controller, True, ""

    def moves(self) -> bool:
        try:
            self._panda.raise_error()
        except RuntimeError as error:  # it is raised once
            self._runs, self._lost = False, str(error).split("\n")[0]
        return self._runs

    def why(self) -> str:
        self.release()  # or its states are those of the end for ever
        return self._lost

    def read(self) -> Reading:
        with in_words(self._host):
            state = self._panda.get_state()
        mode = MODES[int(state.robot_mode)]
        errors = state.current_errors
        return Reading(
            state.time.to_sec(),
            np.array(state.q),
            np.array(state.dq),
            np.array(state.O_T_EE).reshape(4, 4).T,
            -np.array(state.O_F_ext_hat_K),
            mode,
            () if mode is Mode.MOVE else tuple(name for name in self._errors if getattr(errors, name)),
        )

    def follow(self, q: Array, dq: Array) -> None:
        self._controller.set_control(q, dq)

    def hold(self, stiffness: Array, damping: Array) -> None:
        self._controller.set_stiffness(stiffness)
        self._controller.set_damping(damping)

    def release(self) -> None:
        self._runs = False  # nobody reads until its thread has ended: two readers are an error
        with _bounded():
            self._panda.stop_controller()

    def recover(self) -> str:
        try:
            with _bounded():
                self._robot.automatic_error_recovery()
        except RuntimeError as error:  # a refusal, most often
            return str(error).split("\n")[0]
        return ""

    def close(self) -> None:
        """Let go of the library's object, which disconnects; but it also reads, and where that fails it would abort."""
        if self._panda is None:
            return
        try:
            self._end()
            self._panda.get_state()
        except RuntimeError:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._panda))  # and so it is never deleted
        self._controller = self._robot = self._panda = None

    def _end(self) -> None:
        """End a motion that still goes on; one without a robot ends when no state has come for a second."""
        deadline = now() + ENDING
        while self.moves() and not self._hears():
            if now() > deadline:
                raise RuntimeError("a motion without a robot that does not end")
        if self._runs or self._lost:
            self.release()

    def _hears(self) -> bool:
        """Whether the robot still sends states."""
        before = self._panda.get_state().time.to_msec()
        time.sleep(0.02)
        return bool(self._panda.get_state().time.to_msec() != before)


@contextmanager
def _bounded() -> Iterator[None]:
    """A call that keeps Python's lock: where it never returns, the process ends, and with it the motion."""
    faulthandler.dump_traceback_later(HUNG, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class FrankaPanda(FrankaArm):
    """A Franka Emika Panda."""

    model, link = "panda", PandaPyLink
