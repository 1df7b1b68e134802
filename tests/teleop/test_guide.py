"""Leading the arm by hand."""

import numpy as np

from robot_stack.station import Station
from robot_stack.types import TargetKind
from teleop import View
from teleop.browser import record
from teleop.guide import Guide

STATION = Station("test", 6)


def asked(keys: list[str], engage: bool, age: float = 0.0):
    control = STATION.control.spec.record(target__grip=0.04, target__pose=np.array([0, 0, 0, 0, 0, 0, 1.0]))
    return Guide("ur5e").read(5.0, View(control, keys=record(5.0 - age, keys, engage)))


def test_while_the_key_is_held_the_arm_is_led():
    led = asked([], engage=True)
    assert (led.engaged, led.kind, led.grip) == (True, TargetKind.GUIDE, 0.04)
    assert not asked([], engage=False).engaged


def test_keys_that_would_move_the_arm_do_not():
    assert asked(["KeyW"], engage=True).pose is None


def test_the_gripper_and_the_verdict_have_their_keys():
    assert asked(["KeyG"], engage=True).grip == 0.085
    assert asked(["Enter"], engage=False).verdict == 1


def test_a_hand_whose_key_fell_silent_has_not_handed_back_and_leads_no_more():
    silent = asked([], engage=True, age=1.0)
    assert (silent.engaged, silent.kind) == (True, TargetKind.NONE)
