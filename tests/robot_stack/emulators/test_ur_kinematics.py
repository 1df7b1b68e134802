from math import pi

import numpy as np
import pytest

from robot_stack import pose as se3
from robot_stack.emulators.ur import kinematics
from robot_stack.kinematics import Kinematics


def test_the_flange_is_where_urs_own_figures_have_it() -> None:
    assert kinematics.ur_pose(kinematics.forward([0.0] * 6)) == pytest.approx([-0.8172, -0.2329, 0.0628, pi / 2, 0, 0])
    bent = [0.0, -pi / 2, pi / 2, -pi / 2, -pi / 2, 0.0]
    assert kinematics.ur_pose(kinematics.forward(bent)) == pytest.approx(
        [-0.4919, -0.1333, 0.4879, pi / 2**0.5, pi / 2**0.5, 0.0], abs=1e-9
    )


def test_the_scene_has_the_same_arm_to_within_two_millimetres() -> None:
    model, generator = Kinematics("ur5e"), np.random.default_rng(1)
    flange_from_tcp = kinematics.pose_of([0.0, 0.0, 0.1569, 0.0, 0.0, -pi / 2])
    for _ in range(50):
        q = generator.uniform(-2.0, 2.0, 6)
        metres, radians = se3.distance(model.forward(q), se3.compose(kinematics.forward(q.tolist()), flange_from_tcp))
        assert metres < 2e-3
        assert radians < 1e-6


def test_the_inverse_finds_the_joints_again_and_the_nearest_of_all() -> None:
    generator = np.random.default_rng(2)
    for _ in range(200):
        q = generator.uniform(-2 * pi, 2 * pi, 6).tolist()
        found = kinematics.inverse(kinematics.forward(q), q)
        assert found == pytest.approx(q, abs=1e-8)


def test_the_inverse_of_a_pose_out_of_reach_is_none() -> None:
    assert kinematics.inverse(kinematics.pose_of([1.2, 0.0, 0.3, 0.0, 0.0, 0.0]), [0.0] * 6) is None
    assert kinematics.inverse(kinematics.pose_of([0.01, 0.0, 0.3, pi, 0.0, 0.0]), [0.0] * 6) is None


def test_the_jacobian_is_the_derivative_of_the_pose() -> None:
    generator = np.random.default_rng(3)
    q = generator.uniform(-2.0, 2.0, 6).tolist()
    pose = kinematics.forward(q)
    jacobian = kinematics.jacobian(q, pose, pose[:3].tolist())
    for joint in range(6):
        moved = list(q)
        moved[joint] += 1e-6
        slope = np.array(se3.offset(pose.tolist(), kinematics.forward(moved).tolist())) / 1e-6
        assert slope == pytest.approx(jacobian[:, joint], abs=1e-5)
