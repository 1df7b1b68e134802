import numpy as np
import pytest
from numpy.testing import assert_allclose

from robot_stack import pose as se3
from robot_stack.kinematics import Kinematics
from robot_stack.limits import Limits, Neighbour
from robot_stack.robots import robot
from robot_stack.safety import Safety
from robot_stack.trajectory import Target
from robot_stack.types import TargetKind

KINEMATICS = Kinematics("ur5e")
HOME = KINEMATICS.robot.home
POSE = KINEMATICS.forward(HOME)


@pytest.fixture
def safety():
    return Safety(KINEMATICS, Limits(), 0.002)


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


def test_a_pose_outside_the_box_becomes_the_nearest_inside_and_names_the_axis():
    safety = Safety(KINEMATICS, Limits(table=-0.1), 0.002)
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
    assert safety.advance_joints(HOME, HOME + 1e-5, 1.0)[1] == ""
    slower, _ = safety.advance_joints(HOME, wrist, 0.5)
    assert_allclose(slower[5] - HOME[5], 0.5 * 0.9 * 0.5 * np.pi * 0.002, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "pose", "q", "words"),
    [
        (TargetKind.POSE, np.zeros(6), HOME, "a target of shape (6,), expected (7,)"),
        (TargetKind.POSE, np.zeros((2, 7)), HOME, "a target of shape (2, 7), expected (7,)"),
        (TargetKind.JOINTS, POSE, np.zeros(7), "a target of shape (7,), expected (6,)"),
        (TargetKind.JOINTS, POSE, np.zeros(0), "a target of shape (0,), expected (6,)"),
    ],
)
def test_a_target_of_the_wrong_length_is_refused_with_the_right_one(safety, kind, pose, q, words):
    assert safety.refuse(Target(kind, pose, q, 0.0)) == words


def test_led_by_hand_only_the_grip_is_looked_at_and_only_a_person_may_lead(safety):
    led = Target(TargetKind.GUIDE, POSE * np.nan, HOME[:2], 0.0)
    assert safety.refuse(led, by_hand=True) == ""
    assert safety.refuse(led) == "a target of kind 3, expected 1 (pose) or 2 (joints)"
    assert safety.refuse(led._replace(grip=np.nan), by_hand=True) == "a target that is not finite: grip nan"


def test_a_quaternion_is_a_rotation_as_long_as_its_length_is_nearly_one(safety):
    for length, good in ((0.91, True), (1.09, True), (0.89, False), (1.11, False)):
        pose = POSE.copy()
        pose[3:] *= length
        assert (safety.refuse(Target(TargetKind.POSE, pose, HOME, 0.0)) == "") is good


def tilted(angle, about=(1.0, 0.0, 0.0), pose=POSE):
    turn = np.array([0, 0, 0, *(np.sin(angle / 2) * np.array(about)), np.cos(angle / 2)])
    return np.concatenate([pose[:3], se3.compose(turn, pose)[3:]])


def tilt(pose):
    return np.arccos(np.clip(-se3.to_matrix(pose)[2, 2], -1, 1))


@pytest.mark.parametrize("angle", [0.6, -0.9, 2.5, np.pi])
@pytest.mark.parametrize("about", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.6, -0.8, 0.0)])
@pytest.mark.parametrize("yaw", [0.0, 1.0])
def test_a_pose_that_leans_too_far_is_turned_upright_the_shortest_way_and_says_so(angle, about, yaw):
    safety = Safety(KINEMATICS, Limits(tilt=0.5), 0.002)
    asked = tilted(angle, about, tilted(yaw, (0.0, 0.0, 1.0)))
    pose, reason = safety.clamp_pose(asked)
    assert_allclose(tilt(pose), 0.48, atol=1e-6)
    assert_allclose(se3.distance(pose, asked), [0, abs(angle) - 0.48], atol=1e-6)
    assert reason == f"tilt: {abs(angle):.3f} rad asked, limit 0.500 rad"


def test_a_tool_that_points_straight_up_is_turned_upright_about_some_axis():
    safety = Safety(KINEMATICS, Limits(tilt=0.5), 0.002)
    pose, reason = safety.clamp_pose(np.array([*POSE[:3], 0.0, 0.0, 0.0, 1.0]))
    assert_allclose([tilt(pose), np.linalg.norm(pose[3:])], [0.48, 1.0], atol=1e-6)
    assert reason == "tilt: 3.142 rad asked, limit 0.500 rad"


def test_a_pose_that_leans_a_little_is_left_alone_and_without_a_limit_any_pose_is(safety):
    upright = Safety(KINEMATICS, Limits(tilt=0.5), 0.002)
    assert upright.clamp_pose(tilted(0.47))[1] == ""
    assert safety.clamp_pose(tilted(3.0))[1] == ""


def test_on_its_way_a_reference_leans_no_more_than_it_may():
    safety = Safety(KINEMATICS, Limits(tilt=0.5), 0.002)
    start, end = tilted(0.47), tilted(0.47, (-1.0, 0.0, 0.0), tilted(2.0, (0.0, 0.0, 1.0)))
    reference = start
    for _ in range(2000):
        reference, _ = safety.advance_pose(reference, end, 1.0)
        assert tilt(reference) <= 0.48 + 1e-6
    assert_allclose(se3.distance(reference, end), 0.0, atol=1e-6)


def lowest(pose):
    """Of the corners of the box around a 2F-85's fingers."""
    corners = np.array([[x, y, z] for x in (-0.02, 0.02) for y in (-0.075, 0.075) for z in (-0.101, 0.018)])
    return (pose[:3] + corners @ se3.to_matrix(pose)[:3, :3].T)[:, 2].min()


@pytest.mark.parametrize("lean", [0.0, 0.3, -1.2, 1.9, 3.0])
@pytest.mark.parametrize("about", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.6, -0.8, 0.0)])
def test_a_pose_with_the_fingers_in_the_table_is_raised_until_they_are_off_it(lean, about):
    safety = Safety(KINEMATICS, Limits(table=0.05), 0.002)
    asked = tilted(lean, about, at(z=0.04))
    pose, reason = safety.clamp_pose(asked)
    assert_allclose(lowest(pose), 0.053)
    assert_allclose(np.delete(pose, 2), np.delete(asked, 2), atol=1e-9)
    assert reason == f"table: z 0.040 m asked, limit {pose[2]:.3f} m"
    assert safety.clamp_pose(pose + [0, 0, 1e-6, 0, 0, 0, 0])[1] == ""


def test_the_box_has_the_first_word_the_table_the_next_and_the_tilt_the_last():
    safety = Safety(KINEMATICS, Limits(table=0.05, tilt=0.5), 0.002)
    pose, reason = safety.clamp_pose(tilted(0.9, pose=at(z=-1.0)))
    assert reason.startswith("box: z -1.000 m asked")
    assert_allclose([lowest(pose), tilt(pose)], [0.053, 0.48], atol=1e-6)
    assert safety.clamp_pose(tilted(0.9, pose=at(z=0.04)))[1].startswith("table")


def test_on_its_way_a_reference_keeps_the_fingers_off_the_table(safety):
    start, end = at(z=0.0212), safety.clamp_pose(tilted(2.6, pose=at(z=0.01)))[0]
    reference, words = start, set()
    for _ in range(2000):
        reference, reason = safety.advance_pose(reference, end, 1.0)
        words.add(reason.split(":")[0])
        assert lowest(reference) >= 0.003 - 1e-9
    assert_allclose(se3.distance(reference, end), 0.0, atol=1e-6)
    assert "table" in words


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


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [-1, 1])
def test_the_arm_brakes_half_a_margin_before_each_wall_when_the_goal_lies_outside(axis, side):
    walls = np.array([[-2.0, -2.0, -2.0], [2.0, 2.0, 2.0]])
    walls[(side + 1) // 2, axis] = POSE[axis] + side * 0.05
    safety = Safety(KINEMATICS, Limits(*walls.tolist(), table=-9.0), 0.002)
    beyond = POSE.copy()
    beyond[axis] += side * 0.15
    q, reasons = flown(safety, KINEMATICS.inverse(beyond, HOME, iterations=30), 1000)
    wall = walls[(side + 1) // 2, axis]
    assert_allclose(KINEMATICS.position(q)[axis], wall - side * 0.0025, atol=1e-3)
    assert reasons == {"box"}


def test_a_wall_is_a_wall_in_a_box_that_lies_on_one_side_of_the_base_too():
    start = KINEMATICS.inverse(at(y=0.25), HOME, iterations=30)
    safety = Safety(KINEMATICS, Limits((0.2, 0.15, 0.1), (2.0, 2.0, 2.0), table=-9.0), 0.002)
    q, reasons = flown(safety, KINEMATICS.inverse(at(y=0.05), start, iterations=30), 1000, start=start)
    assert_allclose(KINEMATICS.position(q)[1], 0.1525, atol=1e-3)
    assert reasons == {"box"}


def test_the_wall_is_named_with_where_the_tool_would_be_and_where_it_may(safety):
    follower = safety.follower()
    follower.seed(HOME + [0, 0, 0, 0, 0, 0])
    reasons = [safety.limit(follower, HOME + [1.5, 0, 0, 0, 0, 0], 1.0) for _ in range(1000)]
    assert next(filter(None, reasons)) == "box: x 0.152 m ahead, limit 0.150 m"
    below = Safety(KINEMATICS, Limits(box_max=(0.85, 0.1, 0.7)), 0.002)
    follower.seed(HOME)
    reasons = [below.limit(follower, HOME + [0.5, 0, 0, 0, 0, 0], 1.0) for _ in range(1000)]
    assert next(filter(None, reasons)) == "box: y 0.098 m ahead, limit 0.100 m"


def test_an_arm_that_starts_outside_the_box_may_come_in_but_not_go_further_out():
    safety = Safety(KINEMATICS, Limits(box_max=(0.85, 0.5, 0.25)), 0.002)
    below = KINEMATICS.inverse(at(z=0.2), HOME, iterations=20)
    inward, _ = flown(safety, below, 2000)
    assert_allclose(inward, below, atol=1e-3)
    outward, reasons = flown(safety, KINEMATICS.inverse(at(z=0.4), HOME, iterations=20), 500)
    assert KINEMATICS.position(outward)[2] < 0.3 + 1e-6
    assert reasons == {"box"}


def test_an_arm_beyond_a_joint_limit_may_come_back_but_not_go_further(safety):
    for side in (-1, 1):
        beyond = HOME.copy()
        beyond[5] = side * (2 * np.pi + 0.1)
        back, _ = flown(safety, beyond - [0, 0, 0, 0, 0, side * 0.3], 2000, start=beyond)
        assert_allclose(back[5], side * (2 * np.pi - 0.2), atol=1e-3)
        further, reasons = flown(safety, beyond + [0, 0, 0, 0, 0, side * 0.3], 200, start=beyond)
        assert abs(further[5]) < 2 * np.pi + 0.1 + 1e-6
        assert reasons == {"wrist_3_joint"}


def moving(safety, dq, ddq=0.0):
    follower = safety.follower()
    follower.seed(HOME)
    follower.motion = follower.motion._replace(dq=np.asarray(dq, float), ddq=np.zeros(6) + ddq)
    return follower


def test_a_motion_above_a_speed_limit_brakes_and_says_which(safety):
    assert (
        safety.limit(moving(safety, [1.2, 0, 0, 0, 0, 0]), HOME, 1.0) == "TCP speed: 0.540 m/s ahead, limit 0.500 m/s"
    )
    assert safety.limit(moving(safety, [0, 0, 0, 0, 0, 3.0]), HOME, 1.0).startswith("wrist_3_joint: 2.9")
    wide = Safety(KINEMATICS, Limits(joint_velocity=1.0), 0.002)
    assert wide.limit(moving(wide, [0, 0, 0, 0, 0, 2.5]), HOME, 1.0).startswith("TCP rotation: ")


def test_what_follows_is_limited_by_the_override_in_joints_and_tool(safety):
    assert safety.limit(moving(safety, [0, 0, 0, 0, 0, 1.4]), HOME, 1.0) == ""
    words = "wrist_3_joint: 0.799 rad/s ahead, limit 0.628 rad/s"
    assert safety.limit(moving(safety, [0, 0, 0, 0, 0, 0.8]), HOME, 0.4) == words
    assert safety.limit(moving(safety, [0.45, 0, 0, 0, 0, 0]), HOME, 0.4).endswith("limit 0.200 m/s")
    wide = Safety(KINEMATICS, Limits(joint_velocity=1.0), 0.002)
    assert wide.limit(moving(wide, [0, 0, 0, 0, 0, 1.2]), HOME, 0.5).endswith("limit 1.000 rad/s")


def test_when_the_override_is_lowered_in_full_flight_the_arm_slows_smoothly_to_the_new_speed():
    safety = Safety(KINEMATICS, Limits(box_min=(-2, -2, -2), box_max=(2, 2, 2), tcp_speed=2.0), 0.002)
    follower = safety.follower()
    follower.seed(HOME)
    goal = HOME + [2.0, 0, 0, 0, 0, 0]
    dq = []
    for tick in range(400):
        safety.limit(follower, goal, 1.0 if tick < 200 else 0.2)
        dq.append(follower.motion.dq)
    dq = np.array(dq)[:, 0]
    ddq = np.diff(dq) / 0.002
    assert dq[199] > 1.3
    assert dq[-1] == pytest.approx(0.2 * 0.9 * np.pi / 2, rel=0.02)
    assert np.abs(ddq).max() <= 10.0 * (1 + 1e-6)
    assert np.abs(np.diff(ddq)).max() <= 400.0 * 0.002 * (1 + 1e-6)
    assert (dq[200 + 100 :] <= 0.2 * np.pi / 2).all()
    assert dq[200:].min() > 0.1, "it slows down; it does not stop and start"


def test_joints_that_would_lean_the_tool_too_far_are_braked_before_they_do():
    safety = Safety(KINEMATICS, Limits(tilt=0.5), 0.002)
    q, reasons = flown(safety, HOME + [0, 0, 0, 1.0, 0, 0], 500)
    assert_allclose(KINEMATICS.lean(q), 0.49, atol=2e-3)
    assert reasons == {"tilt"}


def test_a_tool_that_leans_too_far_already_may_come_back_but_not_lean_further():
    safety = Safety(KINEMATICS, Limits(tilt=0.5), 0.002)
    leaning = HOME + [0, 0, 0, 0.7, 0, 0]
    back, _ = flown(safety, leaning - [0, 0, 0, 0.4, 0, 0], 1500, start=leaning)
    assert_allclose(back, leaning - [0, 0, 0, 0.4, 0, 0], atol=1e-3)
    further, reasons = flown(safety, leaning + [0, 0, 0, 0.4, 0, 0], 300, start=leaning)
    assert_allclose(further, leaning, atol=1e-6)
    assert reasons == {"tilt"}


def test_the_arm_brakes_before_its_fingers_touch_the_table_and_may_rise_again(safety):
    goal = KINEMATICS.inverse(at(z=0.0), HOME, iterations=30)
    low, reasons = flown(safety, goal, 1500)
    assert 0.001 < lowest(KINEMATICS.forward(low)) < 0.004
    assert reasons == {"table"}
    risen, reasons = flown(safety, HOME, 1500, start=np.array(low))
    assert_allclose(risen, HOME, atol=1e-3)
    assert reasons == set()


def test_a_neighbour_that_is_not_seen_lets_nothing_move():
    limits = Limits(neighbours={"left": Neighbour("fr3", [0, 1.2, 0, 0, 0, 0, 1])})
    safety = Safety(KINEMATICS, limits, 0.002)
    assert flown(safety, HOME + 0.1, 10)[1] == {"neighbour left"}
    safety.see_neighbour("left", robot("fr3").home, 0.01)
    assert flown(safety, HOME + 0.1, 10)[1] == set()
