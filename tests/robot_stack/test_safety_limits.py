import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.testing import assert_allclose

from robot_stack.kinematics import Kinematics
from robot_stack.limits import Limits, Neighbour
from robot_stack.robots import robot
from robot_stack.types import ConfigError

POSE = Kinematics("ur5e").forward(robot("ur5e").home)


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
        (
            {"box_min": (0, 0, 0), "box_max": (0.5, 1, 1), "margin": 0.25},
            "the box has no room along x: 0 to 0.5 m, less",
        ),
        ({"box_min": (0, 0)}, r"the box is \(0, 0\) to \(0.85, 0.5, 0.7\) m, expected two corners: \[x, y, z\]"),
        ({"box_max": (1, 1, 1, 1)}, "the box is"),
        ({"keep_out": {"post": ([0, 0, 0, 0], [1, 1, 1])}}, "keep-out post is"),
        ({"keep_out": {"post": ([0, 0, 0], [1, 1, 1, 1])}}, "keep-out post is"),
        ({"margin": -0.1}, "margin is -0.1, expected 0 or more"),
        ({"chunk_age": float("nan")}, "chunk_age is nan"),
        ({"clearance": 0.0}, "clearance is 0.0, expected more than 0, and a limit"),
        ({"self_distance": -0.1}, "self_distance is -0.1"),
        ({"neighbour_distance": np.inf}, "neighbour_distance is inf"),
        ({"tilt": 0.0}, "tilt is 0.0"),
        ({"force": np.inf}, "force is inf, expected more than 0, and a limit"),
        ({"torque": 0.0}, "torque is 0.0"),
        ({"table": np.nan}, r"table is nan, expected its height in the base frame \[m\]"),
        (
            {"keep_out": {"post": ([0, 0, 0], [1, 1])}},
            r"keep-out post is \[0, 0, 0\] to \[1, 1\] m, expected two corners",
        ),
        ({"keep_out": {"post": ([0, 0], [1, 1, 1])}}, "keep-out post is"),
        ({"keep_out": {"post": ([0, 0, 1], [1, 1, 1])}}, "keep-out post is"),
    ],
)
def test_limits_that_make_no_sense_are_refused_with_what_would(wrong, message):
    with pytest.raises(ConfigError, match="^" + message):
        Limits(**wrong)


def test_margins_of_nothing_and_a_box_with_hardly_any_room_are_limits():
    assert Limits(margin=0.0).margin == 0.0
    assert Limits(box_min=(0, 0, 0), box_max=(0.51, 0.51, 0.51), margin=0.25).margin == 0.25
    assert Limits(joint_velocity=1.0).joint_velocity == 1.0


@pytest.mark.parametrize("name", ["sim_ur5e", "sim_fr3"])
def test_the_configuration_of_the_simulated_robots_lists_every_limit_and_says_what_is_the_default(name):
    path = Path(__file__).parents[2] / "configs" / "robot" / f"{name}.yaml"
    written, default = yaml.safe_load(path.read_text())["limits"], Limits()
    assert written.pop("_target_") == "robot_stack.safety.Limits"
    assert list(written) == [field.name for field in dataclasses.fields(Limits)]
    for field, value in written.items():
        if field in ("keep_out", "neighbours"):
            assert value == getattr(default, field) == {}
        else:
            assert_allclose(value, getattr(default, field), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"base": [0, 1, 0]}, "a neighbour's base is .* expected x y z .* and a unit quaternion"),
        ({"base": [0, 1, 0, 0, 0, 0, 2]}, "a neighbour's base is"),
        ({"base": [0, 1, 0, 0, 0, 0, 0.9]}, "a neighbour's base is"),
        ({"base": [0, 1, 0, 0, 0, 0, 1.006]}, "a neighbour's base is"),
        ({"base": [0, 1, 0, 0, 0, 0, np.nan]}, "a neighbour's base is"),
        ({"q": [0, 0]}, "a neighbour stands at 2 joints, expected the 7 of a fr3"),
        ({"robot": "fr4"}, "no robot 'fr4'"),
    ],
)
def test_a_neighbour_that_makes_no_sense_is_refused_with_what_would(wrong, message):
    with pytest.raises(ConfigError, match="^" + message):
        Neighbour(**{"robot": "fr3", "base": [0, 1, 0, 0, 0, 0, 1], **wrong})


def test_a_neighbour_may_stand_still_or_be_seen():
    assert Neighbour("ur5e", [0, 1, 0, 0, 0, 0, 1], q=[0] * 6).q is not None
    stands = Neighbour("ur5e", [0, 1, 0, 0, 0, 0, 1.004])
    assert stands.q is None
    assert Neighbour("ur5e", [0, 1, 0, 1, 0, 0, 0]).q is None  # its x axis is ours
    with pytest.raises(dataclasses.FrozenInstanceError):
        stands.robot = "fr3"
