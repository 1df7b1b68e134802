"""The clutch: bumpless, scaled, still under a trembling hand, and never wound up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robot_stack.pose import compose, distance, exp, inverse
from robot_stack.types import Array
from teleop.clutch import Clutch

ARM = np.array([0.45, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0])  # gripper straight down
TWISTS = arrays(float, 6, elements=st.floats(-1.0, 1.0))


def moved(hand: Array, *twist: float) -> Array:
    """The hand after v [m] and w [rad] about the base's axes."""
    turn = exp(np.array([0.0, 0.0, 0.0, *twist[3:]]))
    turned = compose(turn, np.append(np.zeros(3), hand[3:]))
    return np.append(hand[:3] + twist[:3], turned[3:])


@given(TWISTS)
def test_engaging_asks_for_exactly_where_the_arm_is_sent_wherever_the_hand_is(twist: Array) -> None:
    target = Clutch(scale=2.0).target(True, exp(twist), ARM)
    assert target is not None
    np.testing.assert_allclose(distance(target, ARM), 0.0, atol=1e-12)


@given(TWISTS, TWISTS)
def test_engaging_again_forgets_what_the_hand_did_in_between(before: Array, after: Array) -> None:
    clutch = Clutch()
    clutch.target(True, exp(before), ARM)
    assert clutch.target(False, exp(after), ARM) is None
    target = clutch.target(True, exp(after), ARM)
    assert target is not None
    np.testing.assert_allclose(distance(target, ARM), 0.0, atol=1e-12)


def test_hand_moves_the_arm_along_the_axes_of_the_base_times_the_scale() -> None:
    clutch = Clutch(scale=0.5)
    hand = exp(np.array([0.1, 0.2, 0.3, 0.4, -0.3, 0.2]))
    clutch.target(True, hand, ARM)
    target = clutch.target(True, moved(hand, 0.02, -0.04, 0.06, 0, 0, 0.1), ARM)
    assert target is not None
    np.testing.assert_allclose(target[:3], ARM[:3] + [0.01, -0.02, 0.03], atol=1e-12)
    turn = compose(np.append(np.zeros(3), target[3:]), inverse(np.append(np.zeros(3), ARM[3:])))
    np.testing.assert_allclose(turn[3:], exp(np.array([0, 0, 0, 0, 0, 0.1]))[3:], atol=1e-12)


def test_trembling_hand_is_a_resting_target() -> None:
    clutch = Clutch(dead_band=(0.002, 0.02))
    hand = exp(np.zeros(6))
    first = clutch.target(True, hand, ARM)
    rng = np.random.default_rng(0)
    for _ in range(100):
        trembling = moved(hand, *rng.uniform(-0.001, 0.001, 3), *rng.uniform(-0.01, 0.01, 3))
        np.testing.assert_array_equal(clutch.target(True, trembling, ARM), first)


def test_dead_band_is_a_play_and_never_a_jump() -> None:
    clutch = Clutch(dead_band=(0.002, 0.0))
    hand = exp(np.zeros(6))
    last = clutch.target(True, hand, ARM)
    assert last is not None
    for k in range(1, 200):
        target = clutch.target(True, moved(hand, k * 1e-4, 0, 0, 0, 0, 0), ARM)
        assert target is not None
        assert np.linalg.norm(target[:3] - last[:3]) < 1.001e-4
        last = target
    np.testing.assert_allclose(last[0], ARM[0] + 0.0199 - 0.002, atol=1e-9)


@pytest.mark.parametrize("axis", range(3))
def test_target_pushed_against_a_limit_comes_back_at_once(axis: int) -> None:
    clutch = Clutch(leash=(0.05, 0.5))
    hand = exp(np.zeros(6))
    clutch.target(True, hand, ARM)
    for _ in range(100):  # the arm stands at its limit, the hand goes on
        hand[axis] += 0.01
        target = clutch.target(True, hand, ARM)
        assert target is not None
        assert distance(target, ARM)[0] <= 0.05 + 1e-9
    hand[axis] -= 0.05
    target = clutch.target(True, hand, ARM)
    assert target is not None
    np.testing.assert_allclose(target[:3], ARM[:3], atol=1e-9)
