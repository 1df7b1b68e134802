"""The emulated FR3 as the unmodified franky-control finds it."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from robot_stack.bus import SharedBus
from robot_stack.clock import now
from robot_stack.emulators.franka.arms import fr3
from robot_stack.emulators.loop import Loop
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot
from robot_stack.sim import topics
from robot_stack.sim.wire import first
from robot_stack.sim.world import World
from robot_stack.types import Array, ConfigError, DeviceError
from tests.robot_stack.emulators.franka import Client, start_franka

pytest.importorskip("franky")

HOME = [0.0, -0.26, 0.0, -2.43, 0.0, 2.17, 0.785]
LIBRARY = """
import json, sys, time, franky
import numpy as np
def say(value): print(json.dumps(value), flush=True)
def caught(action, *arguments, **keys):
    try: return ["ok", action(*arguments, **keys)]
    except Exception as error: return [type(error).__name__, str(error)]
def connect(host=sys.argv[1]):
    robot = franky.Robot(host, relative_dynamics_factor=0.3, realtime_config=franky.RealtimeConfig.Ignore)
    for limit, most in ((robot.joint_acceleration_limit, 10.0), (robot.joint_jerk_limit, 5000.0)):
        limit.set(np.minimum(limit.max, most))
    return robot
"""
CONNECT = (
    LIBRARY
    + """
robot = connect()
start = np.array(robot.state.q)
def joints(way): return franky.JointMotion((start + way).tolist())
def relative(x, y, z): return franky.CartesianMotion(franky.Affine([x, y, z]), franky.ReferenceType.Relative)
def recovered():
    robot.recover_from_errors()
    while robot.state.robot_mode != franky.RobotMode.Idle: time.sleep(0.01)
def track(way, stiffness=(600, 600, 600, 600, 250, 150, 50), damping=(50, 50, 50, 50, 30, 25, 15)):
    tracker = franky.JointImpedanceTracker(robot, stiffness=stiffness, damping=damping, period=0.004)
    began = time.monotonic()
    while (t := time.monotonic() - began) < way.seconds and tracker.tick() is not None:
        tracker.set_target(start + way.position(t), np.full(7, way.velocity(t)))
    return tracker
class Wave:
    seconds = 1.0
    def position(self, t): return 0.1 * (1 - np.cos(2.5 * t))
    def velocity(self, t): return 0.25 * np.sin(2.5 * t)
"""
)


@pytest.fixture(scope="module")
def shared_arm() -> Iterator[EmulatorProcess]:
    with start_franka() as emulator:
        yield emulator


@pytest.fixture
def arm(shared_arm: EmulatorProcess) -> EmulatorProcess:
    shared_arm.ask("place", q=HOME)
    return shared_arm


def wait_for(true: Callable[[], bool], what: str, patience: float = 20.0) -> None:
    deadline = now() + patience
    while not true():
        assert now() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)


def mode(arm: EmulatorProcess) -> str:
    return str(arm.state()["robot_mode"])


def is_at_rest(arm: EmulatorProcess) -> bool:
    return float(np.abs(arm.state()["dq"]).max()) < 0.01


def test_client_connects_and_reads_where_the_arm_is(arm: EmulatorProcess) -> None:
    program = CONNECT + "say([start.tolist(), robot.state.robot_mode.name, robot.state.O_T_EE.translation.tolist()])"
    with Client(arm.host, program) as client:
        q, name, position = client.hear()
    assert name == "Idle"
    np.testing.assert_allclose(q, HOME, atol=1e-3)
    np.testing.assert_allclose(position, [0.45, 0.0, 0.3], atol=0.01)


def test_arm_tracks_references_streamed_to_the_impedance_controller(arm: EmulatorProcess, tmp_path: Path) -> None:
    began = now()
    with Client(arm.host, CONNECT + "track(Wave()).stop(); say(robot.state.robot_mode.name)") as client:
        assert client.hear() == "Idle"
    rows = arm.log("cycles", tmp_path / "cycles.npy")
    rows = rows[rows["time"] > began]
    assert (np.diff(rows["message_id"]) == 1).all(), "every millisecond of the robot is there"
    assert rows["q"][:, 0].max() > 0.1
    assert rows["answered"].sum() > 500
    commanded = rows["tau_d"][rows["answered"] == 1]
    assert np.abs(np.diff(commanded[:-1], axis=0)).max() <= 1.05, "Nm in a millisecond; the last is the robot's own"
    statuses = [event["status"] for event in arm.events(began) if event["event"] == "move ended"]
    assert statuses == ["success"]


def test_a_stale_reference_is_held_but_its_stale_velocity_pushes_on(arm: EmulatorProcess) -> None:
    """What a driver must know of the library: it keeps the last velocity for ever."""
    program = """
tracker = franky.JointImpedanceTracker(robot, stiffness=[600] * 7, damping=[50] * 7, period=0.01)
tracker.set_target(start, np.full(7, 0.25))
def settle():
    for _ in range(80): tracker.tick()
    return [float(robot.state.q[0] - start[0]), float(np.abs(robot.state.dq).max())]
stale = settle()
tracker.set_target(start, np.zeros(7))
say([stale, settle()])
tracker.stop()
"""
    with Client(arm.host, CONNECT + program) as client:
        (stale, speed), (held, _) = client.hear()
    assert speed < 0.02
    assert 0.015 < stale < 0.03, "damping x velocity / stiffness, and friction"
    assert abs(held) < 0.006


def test_motions_in_joints_and_of_the_end_effector_arrive(arm: EmulatorProcess) -> None:
    program = """
robot.move(joints(0.2))
there = float(np.abs(np.array(robot.state.q) - start - 0.2).max())
before = robot.current_pose.end_effector_pose.translation
robot.move(franky.CartesianMotion(franky.Affine([0.0, 0.0, -0.05]), franky.ReferenceType.Relative))
robot.move(franky.JointVelocityMotion([0.2, 0, 0, 0, 0, 0, 0], duration=franky.Duration(200)))
robot.move(franky.JointVelocityStopMotion())
say([there, float(np.linalg.norm(robot.current_pose.end_effector_pose.translation - before))])
"""
    with Client(arm.host, CONNECT + program) as client:
        joint_error, way = client.hear()
    assert joint_error < 3e-3
    assert way > 0.04
    assert mode(arm) == "idle"


def test_a_motion_is_preempted_by_a_stop(arm: EmulatorProcess) -> None:
    program = """
robot.move(joints(0.4), asynchronous=True)
time.sleep(0.3)
robot.stop()
say(caught(robot.join_motion))
"""
    with Client(arm.host, CONNECT + program) as client:
        kind, words = client.hear()
    assert kind == "ControlException"
    assert "preempted" in words
    assert mode(arm) == "idle"


def test_a_reflex_has_its_name_at_the_client_and_is_recovered_from(arm: EmulatorProcess) -> None:
    program = """
robot.move(joints(0.4), asynchronous=True)
say("moving")
say(caught(robot.join_motion))
say(str(robot.state.current_errors))
recovered()
robot.move(joints(0.0))
say(float(np.abs(np.array(robot.state.q) - start).max()))
"""
    with Client(arm.host, CONNECT + program) as client:
        assert client.hear() == "moving"
        time.sleep(0.2)
        arm.ask("reflex", error="joint_reflex")
        kind, words = client.hear()
        assert kind == "ControlException"
        assert "joint_reflex" in words
        assert "joint_reflex" in client.hear()
        assert client.hear() < 3e-3


def test_after_a_user_stop_nothing_works_before_it_is_released(arm: EmulatorProcess) -> None:
    program = """
robot.move(joints(0.4), asynchronous=True)
say("moving")
say(caught(robot.join_motion))
say(caught(robot.recover_from_errors))
input()
robot.move(joints(0.0))
say(robot.state.robot_mode.name)
"""
    with Client(arm.host, CONNECT + program) as client:
        assert client.hear() == "moving"
        time.sleep(0.2)
        arm.ask("user-stop")
        assert "User Stop pressed" in client.hear()[1]
        assert "manual error recovery required" in client.hear()[1]
        wait_for(lambda: is_at_rest(arm), "at rest")
        arm.ask("user-stop", pressed=False)
        client.tell()
        assert client.hear() == "Idle"


def test_the_table_stops_an_arm_that_runs_into_it(arm: EmulatorProcess) -> None:
    program = """
robot.set_collision_behavior(10.0, 10.0)
outcome = caught(robot.move, relative(0.0, 0.0, 0.32))
say([outcome, robot.state.O_F_ext_hat_K.tolist(), robot.current_pose.end_effector_pose.translation.tolist()])
"""
    with Client(arm.host, CONNECT + program) as client:
        (kind, words), force, position = client.hear()
    assert kind == "ControlException"
    assert "cartesian_reflex" in words
    assert force[2] < -5.0, "what the arm exerts on the table, as on the real one"
    assert -0.01 < position[2] < 0.03


def test_client_that_is_stopped_in_a_motion_loses_the_arm_which_comes_to_rest(arm: EmulatorProcess) -> None:
    program = "robot.move(joints(0.6), asynchronous=True); import os; say(os.getpid()); caught(robot.join_motion)"
    with Client(arm.host, CONNECT + program) as client:
        pid = client.hear()
        time.sleep(0.2)
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: mode(arm) == "reflex", "reflex")
        assert arm.state()["errors"] == ["communication_constraints_violation"]
        wait_for(lambda: is_at_rest(arm), "at rest")


def test_states_that_come_too_late_end_a_motion(arm: EmulatorProcess) -> None:
    with Client(arm.host, CONNECT + "track(Wave()); say('done')") as client:
        time.sleep(0.5)
        wait_for(lambda: mode(arm) == "move", "moving")
        arm.ask("delay", seconds=0.003)
        assert client.hear() == "done"
        arm.ask("delay")
    assert arm.state()["errors"] == ["communication_constraints_violation"]


@pytest.mark.parametrize(
    ("command", "keys"), [("cut", {}), ("cut", {"reset": True}), ("silence", {})], ids=["FIN", "RST", "silence"]
)
def test_a_link_that_ends_is_an_error_at_the_client_and_rest_at_the_arm(
    arm: EmulatorProcess, command: str, keys: dict[str, bool]
) -> None:
    program = "robot.move(joints(0.4), asynchronous=True); say('moving'); say(caught(robot.join_motion))"
    with Client(arm.host, CONNECT + program) as client:
        assert client.hear() == "moving"
        time.sleep(0.2)
        arm.ask(command, **keys)
        kind, words = client.hear()
        wait_for(lambda: is_at_rest(arm), "at rest")
    arm.ask("silence", on=False)
    assert kind in ("NetworkException", "RuntimeError")
    assert "UDP receive: Timeout" in words or "Net Exception" in words
    wait_for(lambda: mode(arm) == "reflex", "reflex")


def test_frozen_measurements_come_under_new_numbers(arm: EmulatorProcess) -> None:
    program = """
def look(): state = robot.state; return [state.time.to_sec(), list(state.q)]
say(look()); input(); say(look()); input(); say(look())
"""
    with Client(arm.host, CONNECT + program) as client:
        client.hear()
        arm.ask("freeze")
        client.tell()
        first, q = client.hear()
        arm.ask("twist", torque=[5.0, 0, 0, 0, 0, 0, 0])
        time.sleep(0.1)
        client.tell()
        second, later = client.hear()
        arm.ask("freeze", on=False)
    assert second > first
    assert later == q


def test_arm_led_by_hand_gives_way_and_cannot_be_commanded(arm: EmulatorProcess) -> None:
    arm.ask("guiding")
    arm.ask("push", force=[0.0, 30.0, 0.0], seconds=0.3)
    program = CONNECT + "say([robot.state.robot_mode.name, caught(robot.move, joints(0.1))])"
    with Client(arm.host, program) as client:
        name, (kind, words) = client.hear()
    assert name == "Guiding"
    assert kind in ("CommandException", "ControlException")
    assert "not possible in the current mode" in words
    assert abs(arm.state()["q"][0]) > 0.01
    arm.ask("guiding", on=False)


def test_what_keeps_a_client_from_connecting_is_said_in_its_own_words(arm: EmulatorProcess) -> None:
    with Client(arm.host, LIBRARY + "\nwhile True: input(); say(caught(lambda: str(connect())))") as client:

        def attempt() -> str:
            client.tell()
            return str(client.hear()[1])

        arm.ask("version", number=9)
        assert "Incompatible library version (server version: 9, library version: 10)" in attempt()
        arm.ask("version", number=10)
        arm.ask("fci")
        assert "Connection to FCI refused" in attempt()
        arm.ask("reboot", seconds=0.3)
        assert "Connection to FCI refused" in attempt()
        wait_for(lambda: "Robot object" in attempt() or "franky" in attempt(), "back")
        arm.ask("user-stop")
        assert "not possible in the current mode" in attempt()
        arm.ask("user-stop", pressed=False)


def test_a_second_client_is_turned_away_and_the_first_stays(arm: EmulatorProcess) -> None:
    with Client(arm.host, CONNECT + "say('in'); input(); say(robot.state.robot_mode.name)") as first:
        assert first.hear() == "in"
        with Client(arm.host, LIBRARY + "\nsay(caught(connect)[0])") as second:
            assert second.hear() == "NetworkException"
        first.tell()
        assert first.hear() == "Idle"


def test_hand_moves_grips_and_stops_as_its_client_asks(arm: EmulatorProcess) -> None:
    program = """
hand = franky.Gripper(sys.argv[1])
say([hand.move(0.02, 0.1), hand.width, hand.max_width])
say([hand.grasp(0.05, 0.1, 20.0, 0.005, 0.005), hand.is_grasped])
hand.open(0.1)
closing = hand.move_async(0.0, 0.02)
time.sleep(0.2)
say([hand.stop(), caught(closing.get), caught(hand.move, 0.2, 0.1)])
say(hand.homing())
"""
    with Client(arm.host, LIBRARY + program) as client:
        moved, width, most = client.hear()
        assert moved
        assert width == pytest.approx(0.02, abs=2e-3)
        assert most == pytest.approx(0.08)
        assert client.hear() == [False, False], "there is nothing between the fingers"
        stopped, (kind, words), (wide, too_wide) = client.hear()
        assert stopped
        assert kind == wide == "CommandException"
        assert "aborted" in words
        assert "failed" in too_wide
        assert client.hear() is True


def over_the_cube(arm: EmulatorProcess) -> Array:
    """Joints (7,) with the fingers around the cube."""
    cube, kinematics, home = np.array(arm.state()["objects"]["cube"]), Kinematics("fr3"), robot("fr3").home
    pose = kinematics.forward(home)
    pose[:2], pose[2] = cube[:2], 0.02
    yaw = 2.0 * np.arctan2(cube[5], cube[6])
    turned = np.array([1.0, 0.0, 0.0, 0.0]) if pose[3] == 0 else pose[3:]
    half = 0.5 * yaw
    x, y, z, w = turned
    pose[3:] = [x * np.cos(half) - y * np.sin(half), y * np.cos(half) + x * np.sin(half), z, w]
    return kinematics.inverse(pose, home, iterations=50)


def test_the_scenes_cube_is_grasped_and_lifted(arm: EmulatorProcess) -> None:
    arm.ask("place", q=over_the_cube(arm).tolist())
    program = """
hand = franky.Gripper(sys.argv[1])
say([hand.grasp(0.05, 0.1, 40.0, 0.01, 0.01), hand.is_grasped, hand.width])
robot.move(relative(0.0, 0.0, -0.2))
time.sleep(0.2)
say([hand.is_grasped, robot.state.O_F_ext_hat_K[2]])
say(hand.move(0.08, 0.1))
"""
    with Client(arm.host, CONNECT + program) as client:
        grasped, holds, width = client.hear()
        assert grasped
        assert holds
        assert width == pytest.approx(0.05, abs=4e-3)
        still, weight = client.hear()
        assert still
        assert arm.state()["objects"]["cube"][2] > 0.15
        assert 0.3 < weight < 1.5, "the arm carries the cube's 0.9 N, upwards"
        client.hear()
    assert not arm.state()["holds"]


def test_two_arms_are_flown_by_one_client_and_one_that_dies_takes_only_itself(arm: EmulatorProcess) -> None:
    program = """
other = connect(input())
other_start = np.array(other.state.q)
robot.move(joints(0.2), asynchronous=True)
other.move(franky.JointMotion((other_start + 0.4).tolist()), asynchronous=True)
robot.join_motion()
say("first")
say(caught(other.join_motion))
robot.move(joints(0.0))
say(robot.state.robot_mode.name)
"""
    with start_franka(clock="lockstep") as other, Client(arm.host, CONNECT + program) as client:
        client.tell(other.host)
        wait_for(lambda: mode(other) == "move", "moving")
        os.kill(other.pid, signal.SIGKILL)
        assert client.hear() == "first"
        assert client.hear()[0] in ("NetworkException", "RuntimeError")
        assert client.hear() == "Idle"


def test_the_scene_of_the_arm_is_on_its_bus(arm: EmulatorProcess) -> None:
    with SharedBus(arm.session) as bus:
        states, scenes = bus.subscriber(topics.state(7)), bus.subscriber(topics.scene(World("fr3", "lift").scene.size))
        state, scene = first(states, "arm"), first(scenes, "scene")
    np.testing.assert_allclose(state["q"], HOME, atol=0.01)
    np.testing.assert_allclose(scene["scene"][:7], HOME, atol=0.01)


def test_emulator_ends_with_the_program_that_started_it() -> None:
    emulator = start_franka(clock="wall", faults=["user-stop"])
    assert mode(emulator) == "user_stopped", "faults can be given at the start"
    assert emulator.stop() == 0


def test_faults_that_cannot_be_are_refused_with_what_is_expected(arm: EmulatorProcess) -> None:
    for command, keys, words in (
        ("push", {"force": [1.0]}, "expected 3 or 6 numbers"),
        ("twist", {"torque": "hard"}, "expected 7 numbers"),
        ("reflex", {"error": "bad_mood"}, "no reflex 'bad_mood'; there are: joint_position_limits_violation"),
        ("cut", {"part": "foot"}, "expected robot or hand"),
        ("save", {"table": "chairs", "path": "x"}, "there is: cycles"),
    ):
        with pytest.raises(DeviceError, match=re.escape(words)):
            arm.ask(command, **keys)


def test_a_reset_leaves_nothing_of_what_was_done(arm: EmulatorProcess) -> None:
    arm.ask("user-stop")
    arm.ask("silence")
    arm.ask("fci")
    arm.ask("twist", torque=[20.0, 0, 0, 0, 0, 0, 0], seconds=60.0)
    arm.ask("reset")
    with Client(arm.host, CONNECT + "robot.move(joints(0.1)); say(robot.state.robot_mode.name)") as client:
        assert client.hear() == "Idle"


def test_a_clock_that_there_is_not_is_refused() -> None:
    config = {"host": "127.0.0.1", "task": "lift", "clock": "cuckoo"}
    with pytest.raises(ConfigError, match="no clock 'cuckoo'; there are: wait, lockstep, wall"):
        fr3(Loop(), config)
