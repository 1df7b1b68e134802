import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from robot_stack import pose as se3
from robot_stack.kinematics import Kinematics, lean, stretch
from robot_stack.robots import ROBOTS, TCP, arm_spec

ARMS = {name: Kinematics(name) for name in ROBOTS}
arms = pytest.mark.parametrize("arm", ARMS.values(), ids=ARMS.keys())
seeds = st.integers(0, 2**32 - 1)
some = settings(deadline=None, derandomize=True, max_examples=30)


def joints_near_home(arm, seed, spread=0.6):
    home = arm.robot.home + np.random.default_rng(seed).uniform(-spread, spread, arm.joints)
    return np.clip(home, arm.robot.lower + 0.1, arm.robot.upper - 0.1)


@arms
def test_home_is_straight_down_over_the_table(arm):
    assert_allclose(arm.forward(arm.robot.home), [0.45, 0, 0.3, 1, 0, 0, 0], atol=1e-5)


@arms
def test_the_model_without_meshes_is_the_model_with_them(arm):
    import mujoco

    model = arm_spec(arm.robot.name).compile()
    data = mujoco.MjData(model)
    for seed in range(5):
        q = joints_near_home(arm, seed)
        for joint, angle in zip(arm.robot.joints, q, strict=True):
            data.joint(joint).qpos = angle
        mujoco.mj_kinematics(model, data)
        assert_allclose(arm.forward(q)[:3], data.site(TCP).xpos, atol=1e-12)
        assert_allclose(se3.to_matrix(arm.forward(q))[:3, :3].ravel(), data.site(TCP).xmat, atol=1e-9)
        assert_allclose(arm.position(q), arm.forward(q)[:3])


@arms
@some
@given(seed=seeds)
def test_the_jacobian_is_the_derivative_of_the_pose(arm, seed):
    q, step = joints_near_home(arm, seed), 1e-6
    jacobian = arm.jacobian(q)
    for joint in range(arm.joints):
        ahead, behind = q.copy(), q.copy()
        ahead[joint] += step
        behind[joint] -= step
        a, b = arm.forward(behind), arm.forward(ahead)
        turn = se3.rotation_vector(se3.compose(b, se3.inverse(a))[3:])
        assert_allclose(np.concatenate([b[:3] - a[:3], turn]) / (2 * step), jacobian[:, joint], atol=1e-6)


@arms
@some
@given(seed=seeds)
def test_a_radian_of_a_joint_moves_the_tcp_by_no_more_than_its_reach(arm, seed):
    q = np.random.default_rng(seed).uniform(arm.robot.lower, arm.robot.upper)
    assert (np.linalg.norm(arm.jacobian(q)[:3], axis=0) <= arm.reach).all()


@arms
@some
@given(seed=seeds)
def test_the_tool_leans_by_the_angle_between_its_z_axis_and_straight_down(arm, seed):
    q = np.random.default_rng(seed).uniform(arm.robot.lower, arm.robot.upper)
    pose = arm.forward(q)
    angle = np.arccos(np.clip(-se3.to_matrix(pose)[2, 2], -1, 1))
    assert_allclose(arm.lean(q), angle, atol=1e-6)
    assert_allclose(lean(pose[3:].tolist()), angle, atol=1e-6)


def test_straight_down_leans_by_nothing_and_straight_up_by_half_a_turn():
    assert lean([1.0, 0.0, 0.0, 0.0]) == lean([0.6, 0.8, 0.0, 0.0]) == lean([1.0 + 1e-9, 0.0, 0.0, 0.0]) == 0.0
    assert lean([0.0, 0.0, 0.6, 0.8]) == np.pi


def test_a_chain_is_as_long_as_its_links_and_a_joint_past_the_point_moves_it_by_nothing():
    import mujoco

    chain = """<mujoco><worldbody><body name="a" pos="0 0 5"><joint pos="0 3 4"/><geom size="1"/>
        <body name="b" pos="0 1 0"><joint/><geom size="1"/><body name="c" pos="2 0 0"><joint/><geom size="1"/></body>
        </body></body></worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(chain)
    assert_allclose(stretch(model, model.body("c").id, 0.5), [8.5, 2.5, 0.5])
    assert_allclose(stretch(model, model.body("b").id), [6.0, 0.0, 0.0])
    assert_allclose(stretch(model, 0, 0.5), 0.0)


@arms
@some
@given(seed=seeds)
def test_inverse_returns_to_the_pose_from_joints_nearby(arm, seed):
    q = joints_near_home(arm, seed)
    near = joints_near_home(arm, seed) + np.random.default_rng(seed).uniform(-0.05, 0.05, arm.joints)
    found = arm.inverse(arm.forward(q), near, iterations=20)
    metres, radians = se3.distance(arm.forward(found), arm.forward(q))
    assert metres < 2e-5
    assert radians < 2e-5


@arms
@some
@given(seed=seeds)
def test_inverse_follows_a_path_a_millimetre_a_call_and_stays_near(arm, seed):
    q = arm.robot.home
    start = arm.forward(q)
    end = se3.compose(start, se3.exp(np.random.default_rng(seed).uniform(-0.1, 0.1, 6)))
    for s in np.linspace(0, 1, 100):
        pose = se3.interpolate(start, end, s)
        following = arm.inverse(pose, q)
        assert np.abs(following - q).max() < 0.05
        q = following
        assert max(se3.distance(arm.forward(q), pose)) < 1e-4


@arms
@some
@given(seed=seeds)
def test_inverse_of_a_pose_out_of_reach_stays_finite_inside_the_joint_limits_and_comes_back(arm, seed):
    rng = np.random.default_rng(seed)
    far = se3.compose(arm.forward(arm.robot.home), se3.exp(rng.uniform(-2, 2, 6)))
    q = arm.robot.home
    for _ in range(200):
        q = arm.inverse(far, q)
        assert (q >= arm.robot.lower).all()
        assert (q <= arm.robot.upper).all()


def test_seven_joints_come_back_to_their_posture_while_the_tool_stays():
    arm = ARMS["fr3"]
    q = arm.robot.home + np.array([0.3, 0, -0.3, 0, 0.2, 0, 0])
    pose = arm.forward(q)
    before = np.abs(q - arm.robot.home).max()
    for _ in range(1000):
        q = arm.inverse(pose, q)
        assert max(se3.distance(arm.forward(q), pose)) < 1e-4
    assert np.abs(q - arm.robot.home).max() < before


@arms
def test_the_quaternion_does_not_change_sign_along_a_turn_about_the_vertical(arm):
    q = arm.robot.home.copy()
    turns = []
    for angle in np.linspace(-1.5, 1.5, 50):
        q[-1] = arm.robot.home[-1] + angle
        turns.append(arm.forward(q)[3:])
    assert (np.sum(np.diff(turns, axis=0) ** 2, axis=1) < 0.01).all()
