"""The emulated FR3 as the unmodified franky-control finds it."""

from collections.abc import Iterator

import numpy as np
import pytest

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.franka import Client, start_franka

pytest.importorskip("franky")

CONNECT = """
import json, time, franky
import sys
import numpy as np
def say(value): print(json.dumps(value), flush=True)
def caught(action):
    try: return [True, action()]
    except franky.Exception as error: return [False, str(error)]
robot = franky.Robot(sys.argv[1], relative_dynamics_factor=0.3, realtime_config=franky.RealtimeConfig.Ignore)
for limit, most in ((robot.joint_acceleration_limit, 10.0), (robot.joint_jerk_limit, 5000.0)):
    limit.set(np.minimum(limit.max, most))
start = np.array(robot.state.q)
"""


@pytest.fixture(scope="module")
def arm() -> Iterator[EmulatorProcess]:
    with start_franka() as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def fresh(arm: EmulatorProcess) -> None:
    arm.ask("place", q=[0.0, -0.26, 0.0, -2.43, 0.0, 2.17, 0.785])


def test_client_connects_and_reads_where_the_arm_is(arm: EmulatorProcess) -> None:
    with Client(
        arm.host,
        CONNECT + "say([start.tolist(), robot.state.robot_mode.name, robot.state.O_T_EE.translation.tolist()])",
    ) as client:
        q, mode, position = client.hear()
    assert mode == "Idle"
    np.testing.assert_allclose(q, arm.state()["q"], atol=1e-6)
    np.testing.assert_allclose(position, [0.45, 0.0, 0.3], atol=0.01)


def test_arm_tracks_references_streamed_to_the_impedance_controller(arm: EmulatorProcess) -> None:
    program = """
tracker = franky.JointImpedanceTracker(
    robot, stiffness=[600] * 4 + [250, 150, 50], damping=[50] * 4 + [30, 25, 15], period=0.004)
began, errors = time.monotonic(), []
while (t := time.monotonic() - began) < 1.0:
    assert tracker.tick() is not None, "control lost"
    way, speed = 0.1 * (1 - np.cos(2.5 * t)), 0.25 * np.sin(2.5 * t)
    tracker.set_target(start + way, np.full(7, speed))
    errors.append(float(np.abs(np.array(robot.state.q) - start - way).max()))
tracker.stop()
say([float(np.median(errors)), robot.state.robot_mode.name])
"""
    with Client(arm.host, CONNECT + program) as client:
        error, mode = client.hear()
    assert error < 0.02
    assert mode == "Idle"
    assert [event["status"] for event in arm.events() if event["event"] == "move ended"][-1] == "success"
