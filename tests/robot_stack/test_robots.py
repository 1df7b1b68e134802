import mujoco
import numpy as np
import pytest

from robot_stack import robots
from robot_stack.kinematics import Kinematics
from robot_stack.robots import ROBOTS, TCP, arm_spec, robot
from robot_stack.types import ConfigError


@pytest.fixture(params=list(ROBOTS))
def name(request):
    return request.param


def test_an_unknown_robot_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"no robot 'ur10'; there are: ur5e, fr3"):
        robot("ur10")


def test_a_missing_model_package_is_named(monkeypatch):
    monkeypatch.setattr(robots, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="package franky_sim with the robot's model files is not installed"):
        arm_spec("fr3")


def test_every_array_has_a_value_a_joint_and_is_read_only(name):
    known = robot(name)
    for array in (known.lower, known.upper, known.velocity, known.acceleration, known.jerk, known.home):
        assert array.shape == (len(known.joints),)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_home_is_inside_the_joint_limits_and_far_from_singularities(name):
    known = robot(name)
    assert (known.home - known.lower > 0.2).all()
    assert (known.upper - known.home > 0.2).all()
    assert np.linalg.svd(Kinematics(name).jacobian(known.home), compute_uv=False)[-1] > 0.2


def test_the_model_with_meshes_has_the_gripper_straight_down_at_home(name):
    model = arm_spec(name).compile()
    data = mujoco.MjData(model)
    for joint, angle in zip(robot(name).joints, robot(name).home, strict=True):
        data.joint(joint).qpos = angle
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.site(TCP).xpos, [0.45, 0.0, 0.3], atol=1e-5)
    np.testing.assert_allclose(data.site(TCP).xmat.reshape(3, 3), np.diag([1.0, -1.0, -1.0]), atol=1e-5)


def test_the_fingers_open_along_y_of_the_tcp_and_close_around_it(name):
    model = arm_spec(name).compile()
    data = mujoco.MjData(model)
    fingers = ("gripper_left_pad", "gripper_right_pad") if name == "ur5e" else ("left_finger", "right_finger")
    if name != "ur5e":
        data.joint("finger_joint1").qpos = data.joint("finger_joint2").qpos = 0.04
    mujoco.mj_forward(model, data)
    left, right = (data.body(finger).xpos for finger in fingers)
    across = data.site(TCP).xmat.reshape(3, 3).T @ (left - right)
    assert abs(across[1]) > robot(name).opening * 0.9
    assert abs(across[0]) < 1e-3
    middle = data.site(TCP).xmat.reshape(3, 3).T @ ((left + right) / 2 - data.site(TCP).xpos)
    np.testing.assert_allclose(middle[:2], 0.0, atol=1e-3)


def test_a_panda_moves_as_an_fr3_does_within_limits_of_its_own():
    fr3, panda, q = Kinematics("fr3"), Kinematics("panda"), robot("fr3").home + 0.1
    np.testing.assert_array_equal(fr3.forward(q), panda.forward(q))
    model = arm_spec("panda").compile()
    ranges = np.array([model.joint(name).range for name in robot("panda").joints])
    np.testing.assert_allclose(ranges.T, [robot("panda").lower, robot("panda").upper], atol=1e-6)
