import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from robot_stack import pose as se3
from robot_stack.kinematics import Kinematics
from robot_stack.safety import Limits, Safety
from robot_stack.trajectory import Target
from robot_stack.types import ArmState, ConfigError, TargetKind

KINEMATICS = Kinematics("ur5e")
HOME = KINEMATICS.robot.home
POSE = KINEMATICS.forward(HOME)


@pytest.fixture
def safety():
    return Safety(KINEMATICS, Limits(), 0.002)


def state(time=10.0, **changes):
    values = {"q": HOME, "dq": np.zeros(6), "base_from_tcp": POSE, "wrench": np.zeros(6)}
    return ArmState(time, **{**values, **changes})


def at(x=POSE[0], y=POSE[1], z=POSE[2]):
    pose = POSE.copy()
    pose[:3] = x, y, z
    return pose


# --- what is asked


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_target_that_is_not_finite_is_refused_in_the_kind_that_counts(safety, broken):
    bad_pose, bad_q = at(x=broken), HOME + broken
    assert "not finite" in safety.refuse(Target(TargetKind.POSE, bad_pose, HOME, 0.0))
    assert "not finite" in safety.refuse(Target(TargetKind.JOINTS, POSE, bad_q, 0.0))
    assert "not finite" in safety.refuse(Target(TargetKind.JOINTS, POSE, HOME, broken))
    assert safety.refuse(Target(TargetKind.JOINTS, bad_pose, HOME, 0.0)) == ""
    assert safety.refuse(Target(TargetKind.POSE, POSE, bad_q, 0.0)) == ""


def test_a_quaternion_that_is_no_rotation_is_refused_and_says_its_length(safety):
    pose = POSE.copy()
    pose[3:] *= 0.02
    assert safety.refuse(Target(TargetKind.POSE, pose, HOME, 0.0)) == "a quaternion of length 0.020, expected 1"


def test_a_target_of_an_unknown_kind_is_refused(safety):
    assert safety.refuse(Target(7, POSE, HOME, 0.0)) == "a target of kind 7, expected 1 (pose) or 2 (joints)"


def test_a_pose_outside_the_box_becomes_the_nearest_inside_and_names_the_axis(safety):
    pose, reason = safety.clamp_pose(at(x=0.3, y=0.7, z=-1.0))
    assert_allclose(pose[:3], [0.3, 0.495, 0.01])
    assert reason == "box: z -1.000 m asked, limit 0.010 m"


def test_a_pose_inside_the_box_stays_and_its_quaternion_is_mended(safety):
    long = POSE.copy()
    long[3:] *= 1.05
    pose, reason = safety.clamp_pose(long)
    assert reason == ""
    assert_allclose(pose, POSE, atol=1e-12)


def test_joints_beyond_their_limits_are_clamped_and_the_joint_is_named(safety):
    q, reason = safety.clamp_joints(HOME + [0, 0, 9, 0, 0, 0])
    assert_allclose(q[2], np.pi - 0.01)
    assert reason == "elbow_joint 10.787 rad asked, limit 3.132 rad"
    assert safety.clamp_joints(HOME)[1] == ""


def test_a_reference_moves_straight_and_no_faster_than_the_tcp_may(safety):
    far = se3.compose(POSE, se3.exp(np.array([0.1, 0.2, 0.05, 0, 0, 0.1])))
    reference, reason = safety.advance_pose(POSE, far, speed=0.5)
    assert_allclose(np.linalg.norm(reference[:3] - POSE[:3]), 0.9 * 0.5 * 0.5 * 0.002)
    assert_allclose(np.cross(reference[:3] - POSE[:3], far[:3] - POSE[:3]), 0.0, atol=1e-9)
    assert reason.startswith("speed: asked for is 1.0")


def test_a_reference_turns_no_faster_than_the_tcp_may(safety):
    turned = se3.compose(POSE, se3.exp(np.array([0, 0, 0, 0, 0, 1.0])))
    reference, _ = safety.advance_pose(POSE, turned, speed=1.0)
    assert_allclose(se3.distance(POSE, reference)[1], 0.9 * 2.0 * 0.002)


def test_a_reference_that_is_nearly_there_arrives_and_is_not_called_limited(safety):
    near = at(x=POSE[0] + 0.0005)
    assert_allclose(safety.advance_pose(POSE, near, 1.0)[0], near)
    assert safety.advance_pose(POSE, at(x=POSE[0] + 0.01), 1.0)[1] == ""


def test_joints_advance_no_faster_than_the_tcp_and_no_joint_faster_than_it_may(safety):
    pan, wrist = HOME.copy(), HOME.copy()
    pan[0] += 1.0
    wrist[5] += 1.0
    moved, reason = safety.advance_joints(HOME, pan, 1.0)
    assert_allclose(np.linalg.norm(KINEMATICS.position(moved) - POSE[:3]), 0.9 * 0.5 * 0.002, rtol=1e-3)
    assert reason.startswith("speed")
    moved, _ = safety.advance_joints(HOME, wrist, 1.0)
    assert_allclose(moved[5] - HOME[5], 0.9 * 0.5 * np.pi * 0.002, rtol=1e-6)
    assert_allclose(safety.advance_joints(HOME, HOME + 1e-5, 1.0)[0], HOME + 1e-5)


# --- what would follow


def flown(safety, goal, ticks, speed=1.0, start=HOME):
    follower = safety.follower()
    follower.seed(start)
    reasons = [safety.limit(follower, goal, speed) for _ in range(ticks)]
    return follower.motion.q, {reason.split(":")[0] for reason in reasons if reason}


def test_a_goal_inside_every_limit_is_reached_without_a_word(safety):
    goal = HOME + 0.05
    q, reasons = flown(safety, goal, 500)
    assert_allclose(q, goal, atol=1e-4)
    assert reasons == set()


def test_the_arm_brakes_inside_the_box_when_the_goal_lies_outside(safety):
    goal = HOME + [0, 0.9, 0, 0, 0, 0]
    q, reasons = flown(safety, goal, 1000)
    assert KINEMATICS.position(q)[2] > 0.005
    assert "box" in reasons


def test_an_arm_that_starts_outside_the_box_may_come_in_but_not_go_further_out():
    safety = Safety(KINEMATICS, Limits(box_max=(0.85, 0.5, 0.25)), 0.002)
    below = KINEMATICS.inverse(at(z=0.2), HOME, iterations=20)
    inward, _ = flown(safety, below, 2000)
    assert_allclose(inward, below, atol=1e-3)
    outward, reasons = flown(safety, KINEMATICS.inverse(at(z=0.4), HOME, iterations=20), 500)
    assert KINEMATICS.position(outward)[2] < 0.3 + 1e-6
    assert reasons == {"box"}


def test_an_arm_beyond_a_joint_limit_may_come_back_but_not_go_further():
    limits = Limits(box_min=(-2, -2, -2), box_max=(2, 2, 2))
    safety = Safety(KINEMATICS, limits, 0.002)
    for side in (-1, 1):
        beyond = HOME.copy()
        beyond[2] = side * (np.pi + 0.1)
        back, _ = flown(safety, beyond - [0, 0, side * 0.3, 0, 0, 0], 2000, start=beyond)
        assert_allclose(back[2], side * (np.pi - 0.2), atol=1e-3)
        further, reasons = flown(safety, beyond + [0, 0, side * 0.3, 0, 0, 0], 200, start=beyond)
        assert abs(further[2]) < np.pi + 0.1 + 1e-6
        assert reasons == {"elbow_joint"}


def moving(safety, dq, ddq=0.0):
    follower = safety.follower()
    follower.seed(HOME)
    follower.motion = follower.motion._replace(dq=np.asarray(dq, float), ddq=np.zeros(6) + ddq)
    return follower


def test_a_motion_above_a_speed_limit_brakes_and_says_which(safety):
    assert safety.limit(moving(safety, [1.2, 0, 0, 0, 0, 0]), HOME, 1.0).startswith("TCP speed: ")
    assert safety.limit(moving(safety, [0, 0, 0, 0, 0, 3.0]), HOME, 1.0).startswith("wrist_3_joint: 2.9")
    wide = Safety(KINEMATICS, Limits(joint_velocity=1.0), 0.002)
    assert wide.limit(moving(wide, [0, 0, 0, 0, 0, 2.5]), HOME, 1.0).startswith("TCP rotation: ")


# --- what is measured


def test_a_good_measurement_passes(safety):
    assert safety.check(10.0, state(), HOME) == ""
    assert safety.check(10.002, state(10.002), HOME) == ""


@pytest.mark.parametrize(
    ("field", "size"), [("q", 6), ("dq", 6), ("base_from_tcp", 7), ("wrench", 6)], ids=lambda value: str(value)
)
def test_a_measurement_of_another_shape_or_not_finite_stops_and_names_the_field(safety, field, size):
    assert safety.check(10.0, state(**{field: np.zeros(5)}), HOME) == (
        f"arm: {field} has shape (5,), expected ({size},)"
    )
    broken = np.zeros(size)
    broken[2] = np.nan
    assert safety.check(10.0, state(**{field: broken}), HOME).startswith(f"arm: {field} is not finite")


@pytest.mark.parametrize("time", [9.7, 10.3, np.nan])
def test_a_measurement_that_is_old_or_of_the_future_stops(safety, time):
    assert "limit 0.200 s" in safety.check(10.0, state(time), HOME)


def test_a_joint_that_jumps_stops_and_is_named(safety):
    safety.check(10.0, state(), HOME)
    q = HOME + [0, 0.3, 0, 0, 0, 0]
    assert safety.check(10.002, state(10.002, q=q), q) == "arm: shoulder_lift_joint jumped from -1.716 to -1.416 rad"


def test_after_forgetting_the_next_measurement_may_be_anywhere(safety):
    safety.check(10.0, state(), HOME)
    safety.forget()
    q = HOME + [0, 0.3, 0, 0, 0, 0]
    assert safety.check(10.002, state(10.002, q=q), q) == ""


def test_a_joint_may_move_as_fast_as_the_robot_can(safety):
    safety.check(10.0, state(), HOME)
    q = HOME + 0.1 * KINEMATICS.robot.velocity
    assert safety.check(10.1, state(10.1, q=q), q) == ""


def test_a_joint_away_from_its_setpoint_stops_and_is_named(safety):
    reason = safety.check(10.0, state(), HOME + [0, 0, 0, 0.5, 0, 0])
    assert reason == "arm: wrist_1_joint is 0.500 rad from its setpoint, limit 0.400 rad"


def test_limits_are_frozen_and_have_defaults_that_hold_the_home_pose():
    limits = Limits()
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.tcp_speed = 9.0
    assert (np.array(limits.box_min) < POSE[:3]).all()
    assert (np.array(limits.box_max) > POSE[:3]).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"box_max": (0.85, -0.495, 0.7)}, "the box has no room along y: -0.5 to -0.495 m, less 0.005 m each side"),
        ({"joint_jerk": 1.5}, "joint_jerk is 1.5, expected a part of the robot's own limit, 0..1"),
        ({"joint_velocity": 0.0}, "joint_velocity is 0.0"),
        ({"tcp_speed": -1.0}, "tcp_speed is -1.0, expected more than 0"),
        ({"tcp_speed": np.inf}, "tcp_speed is inf, expected more than 0, and a limit"),
        ({"state_age": np.inf}, "state_age is inf, expected more than 0, and a limit"),
        ({"margin": -0.1}, "margin is -0.1, expected 0 or more"),
        ({"chunk_age": float("nan")}, "chunk_age is nan"),
    ],
)
def test_limits_that_make_no_sense_are_refused_with_what_would(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Limits(**wrong)
