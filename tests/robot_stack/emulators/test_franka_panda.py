"""The emulated Panda as the unmodified panda-python finds it."""

import shutil
import time
from collections.abc import Iterator

import numpy as np
import pytest

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.franka import Client, start_panda

pytest.importorskip("panda_py")
pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None, reason="no C compiler: the robot's model library is compiled"
)

HOME = [0.0, -0.26, 0.0, -2.43, 0.0, 2.17, 0.785]
CONNECT = """
import json, sys, time, panda_py
import numpy as np
from panda_py import controllers, libfranka
def say(value): print(json.dumps(value), flush=True)
def caught(action, *arguments, **keys):
    try: return ["ok", action(*arguments, **keys)]
    except Exception as error: return [type(error).__name__, str(error)]
arm = panda_py.Panda(sys.argv[1])
start = arm.get_state().q
start = np.array(start)
"""


@pytest.fixture(scope="module")
def shared_arm() -> Iterator[EmulatorProcess]:
    with start_panda() as emulator:
        yield emulator


@pytest.fixture
def arm(shared_arm: EmulatorProcess) -> EmulatorProcess:
    shared_arm.ask("place", q=HOME)
    return shared_arm


def test_client_connects_loads_the_model_and_finds_the_arm_in_it(arm: EmulatorProcess) -> None:
    program = """
state = arm.get_state()
say([start.tolist(), arm.get_position().tolist(), panda_py.fk(start)[:3, 3].tolist()])
say([arm.get_model().gravity(state), (np.array(state.tau_J) - np.array(state.tau_J_d)).tolist()])
"""
    with Client(arm.host, CONNECT + program) as client:
        q, position, computed = client.hear()
        gravity, measured = client.hear()
    np.testing.assert_allclose(q, HOME, atol=1e-3)
    np.testing.assert_allclose(position, [0.45, 0.0, 0.3], atol=0.01)
    np.testing.assert_allclose(position, computed, atol=1e-3)
    np.testing.assert_allclose(gravity, measured, atol=1e-3)


def test_arm_follows_references_streamed_to_the_joint_controller(arm: EmulatorProcess) -> None:
    program = """
controller = controllers.JointPosition(
    stiffness=np.array([600.0] * 4 + [250.0, 150.0, 50.0]), damping=np.array([50.0] * 4 + [20.0, 15.0, 10.0]))
arm.start_controller(controller)
began, errors = time.monotonic(), []
while (t := time.monotonic() - began) < 1.0:
    way, speed = 0.1 * (1 - np.cos(2.5 * t)), 0.25 * np.sin(2.5 * t)
    controller.set_control(start + way, np.full(7, speed))
    time.sleep(0.004)
    errors.append(float(np.abs(np.array(arm.get_state().q) - start - way).max()))
arm.stop_controller()
say(float(np.median(errors)))
"""
    with Client(arm.host, CONNECT + program) as client:
        assert client.hear() < 0.02
    assert arm.state()["q"][0] > 0.1
    moves = [event for event in arm.events() if event["event"] == "move"]
    assert moves[-1]["controller"] == "EXTERNAL"
    assert moves[-1]["generator"] != "NONE", "this version knows no torques without a motion"


def test_arm_moves_to_joints_and_recovers_from_a_reflex(arm: EmulatorProcess) -> None:
    program = """
say(arm.move_to_joint_position(start + 0.1, speed_factor=0.3))
say(float(np.abs(np.array(arm.get_state().q) - start - 0.1).max()))
input()
say([arm.move_to_joint_position(start + 0.5, speed_factor=0.1), caught(arm.raise_error)[1]])
arm.recover()
time.sleep(0.2)
say(arm.move_to_joint_position(start, speed_factor=0.3))
"""
    with Client(arm.host, CONNECT + program) as client:
        assert client.hear() is True
        assert client.hear() < 5e-3
        client.tell()
        time.sleep(0.8)
        arm.ask("reflex", error="cartesian_reflex")
        arrived, words = client.hear()
        assert arrived is False
        assert "cartesian_reflex" in words
        assert client.hear() is True
    assert arm.state()["robot_mode"] == "idle"


def test_commands_that_libfranka_leaves_to_the_caller_reach_the_arm(arm: EmulatorProcess) -> None:
    """libfranka's own loop, in Python: joint velocities, ended by the client."""
    program = """
robot = arm.get_robot()
elapsed = [0.0]
def velocities(state, period):
    elapsed[0] += period.to_sec()
    t = elapsed[0]
    command = libfranka.JointVelocities([0.2 * np.sin(np.pi * min(t, 0.5) / 0.5) ** 2, 0, 0, 0, 0, 0, 0])
    command.motion_finished = t > 0.5
    return command
robot.control_joint_velocity(velocities)
say(float(robot.read_once().q[0] - start[0]))
"""
    with Client(arm.host, CONNECT + program) as client:
        assert client.hear() == pytest.approx(0.05, abs=5e-3)


def test_hand_moves_and_misses(arm: EmulatorProcess) -> None:
    program = """
hand = libfranka.Gripper(sys.argv[1])
say([hand.move(0.03, 0.1), hand.read_once().width])
say([hand.grasp(0.05, 0.1, 20.0), hand.read_once().is_grasped])
"""
    with Client(arm.host, CONNECT + program) as client:
        moved, width = client.hear()
        assert moved
        assert width == pytest.approx(0.03, abs=2e-3)
        assert client.hear() == [False, False]


def test_a_client_of_another_version_is_told(arm: EmulatorProcess) -> None:
    arm.ask("version", number=4)
    program = CONNECT.split("arm = ")[0] + "say(caught(lambda: str(panda_py.Panda(sys.argv[1]))))"
    with Client(arm.host, program) as client:
        _, words = client.hear()
    arm.ask("version", number=5)
    assert "The robot speaks protocol version 4" in words


def test_panda_has_its_own_limits(arm: EmulatorProcess) -> None:
    """Joint 4 may not be stretched as far as an FR3's, joint 6 not bent as far up; its recovery is a person's work."""
    arm.ask("place", q=[*HOME[:5], 3.9, HOME[6]])
    with Client(
        arm.host, CONNECT + "say(caught(arm.move_to_joint_position, start)); say(arm.get_state().robot_mode.name)"
    ) as client:
        client.hear()
        client.hear()
    assert arm.state()["errors"] == ["joint_position_limits_violation"]
