"""The controller behind the wire, step by step: sequences of a motion, and every reflex that its checks raise."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from robot_stack.emulators.body import Body
from robot_stack.emulators.franka import controller as timing
from robot_stack.emulators.franka.controller import Controller
from robot_stack.emulators.franka.errors import ERRORS
from robot_stack.emulators.franka.frames import columns
from robot_stack.emulators.franka.limits import FR3
from robot_stack.emulators.franka.messages import ControllerMode, Generator, RobotMode, command_layout
from robot_stack.emulators.franka.plant import Plant
from robot_stack.emulators.franka.protocol import V5, V10, Command, Request, Status, Version
from robot_stack.types import Array
from tests.robot_stack.emulators.emulator import next_host

HOME = np.array([0.0, -0.26, 0.0, -2.43, 0.0, 2.17, 0.785])
STILL = np.zeros(7)


@pytest.fixture(scope="module")
def body() -> Iterator[Body]:
    body = Body("fr3", "lift", next_host(), 1000.0)
    yield body
    body.close()


class Bench:
    """A controller without a wire: requests in, answers noted, one command a step."""

    def __init__(self, body: Body, version: Version = V10) -> None:
        self.plant = Plant(body, FR3)
        self.answers: list[tuple[Command, Status]] = []
        self.plant.place(HOME)
        self.controller = Controller(
            version, self.plant, FR3, lambda request, status: self.answers.append((request.command, status)), _quiet
        )
        self._command = np.zeros((), command_layout(version))

    def move(self, generator: Generator, controller: ControllerMode, asynchronous: bool = False) -> None:
        numbers = (int(controller), int(generator) - 1, *[0.0] * 6, asynchronous, *[1.0] * 7)
        self.controller.handle(Request(Command.MOVE, 1, numbers))

    def ask(self, command: Command, *payload: float) -> Status:
        self.controller.handle(Request(command, 2, payload))
        return self.answers[-1][1]

    def command(self, **values: Any) -> None:
        for name in ("motion_generation_finished", "torque_command_finished"):
            if name in (self._command.dtype.names or ()):
                self._command[name] = False
        for name, value in values.items():
            self._command[name] = value
        self.controller.tick(self._command)

    def wait(self, steps: int) -> None:
        for _ in range(steps):
            self.controller.tick(None)

    @property
    def errors(self) -> list[str]:
        return [name for name, flag in zip(ERRORS, self.controller.errors, strict=True) if flag]

    @property
    def moves(self) -> list[Status]:
        return [status for command, status in self.answers if command is Command.MOVE]


def _quiet(event: str, **details: object) -> None:
    pass


@pytest.fixture
def bench(body: Body) -> Iterator[Bench]:
    bench = Bench(body)
    yield bench
    bench.controller.close()


def positions(bench: Bench) -> None:
    bench.move(Generator.JOINT_POSITION, ControllerMode.JOINT_IMPEDANCE)


def torques(bench: Bench) -> None:
    bench.move(Generator.NONE, ControllerMode.EXTERNAL)


def smooth(start: Array, way: float, seconds: float) -> Iterator[Array]:
    """A way of joint 1 [rad] that stays within acceleration and jerk."""
    for s in np.linspace(0.0, 1.0, round(seconds * 1000)):
        yield start + way * (10 * s**3 - 15 * s**4 + 6 * s**5) * np.eye(7)[0]


# --- sequences -------------------------------------------------------------------------------------------------------


def test_modes_change_together_when_a_motion_begins(bench: Bench) -> None:
    positions(bench)
    controller = bench.controller
    assert controller.robot_mode is RobotMode.MOVE
    assert controller.generator is Generator.JOINT_POSITION
    assert controller.controller_mode is ControllerMode.JOINT_IMPEDANCE
    assert bench.moves == [Status.STARTED]


def test_arm_follows_the_joints_that_are_commanded(bench: Bench) -> None:
    positions(bench)
    for q in smooth(HOME, 0.1, 0.5):
        bench.command(q_c=q)
    assert bench.errors == []
    np.testing.assert_allclose(bench.plant.q, HOME + 0.1 * np.eye(7)[0], atol=3e-3)


def test_finishing_is_answered_once_however_often_the_client_says_so(bench: Bench) -> None:
    positions(bench)
    bench.command(q_c=HOME)
    for _ in range(5):
        bench.command(q_c=HOME, motion_generation_finished=True)
    assert bench.moves == [Status.STARTED, Status.SUCCESS]
    assert bench.controller.generator is Generator.IDLE
    assert bench.controller.controller_mode is ControllerMode.OTHER
    assert bench.controller.robot_mode is RobotMode.IDLE


def test_a_stop_answers_the_motion_as_preempted_and_then_itself(bench: Bench) -> None:
    positions(bench)
    assert bench.ask(Command.STOP_MOVE) is Status.SUCCESS
    assert bench.answers[-2:] == [(Command.MOVE, Status.PREEMPTED), (Command.STOP_MOVE, Status.SUCCESS)]


def test_a_second_motion_is_refused_while_the_first_goes_on(bench: Bench) -> None:
    positions(bench)
    positions(bench)
    assert bench.moves == [Status.STARTED, Status.NOT_POSSIBLE]


@pytest.mark.parametrize("numbers", [(5, 0), (0, 7), (0, 4)], ids=["controller", "generator", "no generator"])
def test_motions_that_do_not_exist_are_invalid(bench: Bench, numbers: tuple[int, int]) -> None:
    bench.controller.handle(Request(Command.MOVE, 1, (*numbers, *[0.0] * 6, False, *[1.0] * 7)))
    assert bench.moves == [Status.INVALID]


def test_torques_alone_are_no_motion_of_a_panda(body: Body) -> None:
    bench = Bench(body, V5)
    torques(bench)
    assert bench.moves == [Status.INVALID]
    bench.controller.close()


def test_reflex_answers_the_motion_and_stays_until_it_is_recovered_from(bench: Bench) -> None:
    positions(bench)
    bench.command(q_c=HOME)
    bench.controller.reflex(["cartesian_reflex"])
    assert bench.moves == [Status.STARTED, Status.REFLEX]
    assert bench.controller.robot_mode is RobotMode.REFLEX
    assert bench.errors == ["cartesian_reflex"]
    positions(bench)
    assert bench.moves[-1] is Status.NOT_POSSIBLE
    bench.controller.handle(Request(Command.AUTOMATIC_ERROR_RECOVERY, 3, ()))
    assert bench.controller.robot_mode is RobotMode.RECOVERY
    bench.wait(timing.RECOVERING)
    assert bench.answers[-1] == (Command.AUTOMATIC_ERROR_RECOVERY, Status.SUCCESS)
    assert bench.controller.robot_mode is RobotMode.IDLE
    assert bench.errors == []
    assert bench.controller.reflex_reason.any(), "why it was stays to be read"


def test_user_stop_ends_the_motion_and_must_be_released_before_anything_else(bench: Bench) -> None:
    positions(bench)
    bench.controller.user_stop(True)
    assert bench.moves == [Status.STARTED, Status.EMERGENCY]
    assert bench.controller.robot_mode is RobotMode.USER_STOPPED
    assert bench.ask(Command.AUTOMATIC_ERROR_RECOVERY) is Status.MANUAL
    positions(bench)
    assert bench.moves[-1] is Status.NOT_POSSIBLE
    bench.controller.user_stop(False)
    assert bench.controller.robot_mode is RobotMode.IDLE


def test_user_stop_does_not_clear_errors(bench: Bench) -> None:
    bench.controller.reflex(["joint_reflex"])
    bench.controller.user_stop(True)
    bench.controller.user_stop(False)
    assert bench.controller.robot_mode is RobotMode.REFLEX


def test_user_stop_during_a_recovery_answers_the_recovery(bench: Bench) -> None:
    bench.controller.reflex(["joint_reflex"])
    bench.controller.handle(Request(Command.AUTOMATIC_ERROR_RECOVERY, 3, ()))
    bench.controller.user_stop(True)
    assert bench.answers[-1] == (Command.AUTOMATIC_ERROR_RECOVERY, Status.EMERGENCY)


def test_guiding_preempts_and_lets_the_arm_be_moved_by_hand(bench: Bench) -> None:
    positions(bench)
    bench.controller.guide(True)
    assert bench.moves == [Status.STARTED, Status.PREEMPTED]
    bench.plant.twist = 6.0 * np.eye(7)[0]
    bench.wait(300)
    bench.plant.twist = np.zeros(7)
    assert bench.plant.q[0] > 0.05
    bench.controller.guide(False)
    bench.wait(200)
    here = bench.plant.q
    bench.wait(200)
    np.testing.assert_allclose(bench.plant.q, here, atol=1e-3)


def test_a_client_that_goes_away_in_a_motion_leaves_a_reflex(bench: Bench) -> None:
    positions(bench)
    bench.controller.client_gone()
    assert bench.errors == ["communication_constraints_violation"]
    assert bench.controller.robot_mode is RobotMode.REFLEX


def test_settings_are_refused_while_the_arm_moves(bench: Bench) -> None:
    assert bench.ask(Command.SET_JOINT_IMPEDANCE, *[1000.0] * 7) is Status.SUCCESS
    positions(bench)
    assert bench.ask(Command.SET_JOINT_IMPEDANCE, *[1000.0] * 7) is Status.NOT_POSSIBLE


@pytest.mark.parametrize(
    ("command", "payload"),
    [
        (Command.SET_JOINT_IMPEDANCE, [-1.0] * 7),
        (Command.SET_COLLISION_BEHAVIOR, [float("nan")] * 52),
        (Command.SET_COLLISION_BEHAVIOR, [-1.0] * 52),
        (Command.SET_NE_TO_EE, [1.0] * 16),
        (Command.SET_EE_TO_K, [2.0, *[0.0] * 15]),
        (Command.SET_LOAD, [-1.0, *[0.0] * 12]),
    ],
)
def test_settings_that_cannot_be_are_invalid(bench: Bench, command: Command, payload: list[float]) -> None:
    assert bench.ask(command, *payload) is Status.INVALID


def test_end_effector_and_load_are_taken_over(bench: Bench) -> None:
    offset = np.eye(4)
    offset[2, 3] = 0.1
    before = bench.plant.pose()[14]
    assert bench.ask(Command.SET_NE_TO_EE, *columns(offset)) is Status.SUCCESS
    assert before - bench.plant.pose()[14] == pytest.approx(0.1, abs=1e-3)  # it points down
    assert bench.ask(Command.SET_LOAD, 0.4, 0.0, 0.0, 0.05, *np.eye(3).ravel() * 1e-3) is Status.SUCCESS
    assert bench.controller.settings.load[0] == 0.4


# --- what raises a reflex --------------------------------------------------------------------------------------------


def test_twenty_lost_commands_in_a_row_end_a_motion_and_nineteen_do_not(bench: Bench) -> None:
    positions(bench)
    bench.command(q_c=HOME)
    bench.wait(timing.LOST - 1)
    assert bench.errors == []
    bench.command(q_c=HOME)
    bench.wait(timing.LOST)
    assert bench.errors == ["communication_constraints_violation"]


def test_a_client_that_never_commands_is_given_up(bench: Bench) -> None:
    positions(bench)
    bench.wait(timing.UNHEARD + 1)
    assert bench.errors == ["communication_constraints_violation"]


def test_lost_commands_are_made_up_for_with_constant_acceleration(bench: Bench) -> None:
    positions(bench)
    way = list(smooth(HOME, 0.1, 0.5))
    for step, q in enumerate(way):
        if step % 10 == 9:
            bench.wait(1)
        else:
            bench.command(q_c=q)
    assert bench.errors == []
    assert bench.controller.joints[0][0] == pytest.approx(way[-1][0], abs=1e-3)


@pytest.mark.parametrize(
    ("offset", "error"),
    [
        (0.1, "joint_position_motion_generator_start_pose_invalid"),
        (1e-5, "joint_motion_generator_acceleration_discontinuity"),
    ],
)
def test_a_motion_that_begins_elsewhere_is_refused(bench: Bench, offset: float, error: str) -> None:
    positions(bench)
    bench.command(q_c=HOME + offset)
    assert error in bench.errors


@pytest.mark.parametrize(
    ("acceleration", "errors"),
    [
        (30.0, {"joint_motion_generator_velocity_discontinuity", "joint_motion_generator_acceleration_discontinuity"}),
        (6.0, {"joint_motion_generator_acceleration_discontinuity"}),
        (4.0, set()),
    ],
)
def test_a_step_of_velocity_is_too_much_acceleration_or_jerk(
    bench: Bench, acceleration: float, errors: set[str]
) -> None:
    bench.move(Generator.JOINT_VELOCITY, ControllerMode.JOINT_IMPEDANCE)
    bench.command(dq_c=STILL)
    bench.command(dq_c=acceleration * 1e-3 * np.eye(7)[0])
    assert set(bench.errors) == errors


def test_joints_cannot_be_commanded_beyond_their_limits(bench: Bench) -> None:
    bench.plant.place(np.array([*HOME[:6], FR3.upper[6] - 0.002]))
    bench.controller.boot()
    start = bench.plant.q
    positions(bench)
    for s in np.linspace(0.0, 1.0, 400):
        bench.command(q_c=start + 0.004 * s**3 * np.eye(7)[6])
    assert "joint_motion_generator_position_limits_violation" in bench.errors


def test_velocity_limits_fall_towards_the_ends_of_a_joint() -> None:
    outwards = np.eye(7)[6]
    assert FR3.fastest(HOME, outwards)[6] == 5.26
    near = np.array([*HOME[:6], FR3.upper[6] - 0.01])
    assert FR3.fastest(near, outwards)[6] == pytest.approx(np.sqrt(2 * 17.0 * 0.01) - 0.35)
    assert FR3.fastest(near, -outwards)[6] == 5.26, "away from there it may"
    assert FR3.too_fast(near, outwards)
    assert not FR3.too_fast(near, -outwards)


def test_joints_cannot_be_commanded_faster_than_their_limits(bench: Bench) -> None:
    bench.move(Generator.JOINT_VELOCITY, ControllerMode.JOINT_IMPEDANCE)
    for speed in np.arange(0.0, 3.0, 0.004):
        bench.command(dq_c=speed * np.eye(7)[0])
    assert {"joint_motion_generator_velocity_limits_violation", "joint_velocity_violation"} & set(bench.errors)
    assert np.abs(bench.plant.dq).max() < 2.9


def test_numbers_that_are_none_end_a_motion(bench: Bench) -> None:
    positions(bench)
    bench.command(q_c=HOME)
    bench.command(q_c=np.full(7, np.nan))
    assert bench.moves == [Status.STARTED, Status.INPUT_ERROR]


def test_torque_moves_the_arm_and_its_change_is_limited(bench: Bench) -> None:
    torques(bench)
    for step in range(100):
        bench.command(tau_J_d=min(0.9 * step, 8.0) * np.eye(7)[0])
    assert bench.errors == []
    assert bench.plant.dq[0] > 0.1
    bench.command(tau_J_d=np.zeros(7))
    assert bench.errors == ["controller_torque_discontinuity"]


def test_torque_beyond_the_range_of_a_joint_is_refused(bench: Bench) -> None:
    torques(bench)
    for torque in np.arange(0.0, 13.0, 0.9):
        bench.command(tau_J_d=torque * np.eye(7)[6])
    assert "tau_j_range_violation" in bench.errors


def test_torque_that_is_not_renewed_is_held(bench: Bench) -> None:
    torques(bench)
    bench.command(tau_J_d=0.5 * np.eye(7)[0])
    bench.wait(5)
    np.testing.assert_array_equal(bench.controller.torque, 0.5 * np.eye(7)[0])


def test_an_arm_that_is_pushed_too_hard_in_a_motion_stops(bench: Bench) -> None:
    positions(bench)
    bench.command(q_c=HOME)
    bench.plant.body.push([0.0, 40.0, 0.0], 60.0)
    for _ in range(100):
        bench.command(q_c=HOME)
    bench.plant.body.push([0.0] * 3, 0.0)
    assert {"cartesian_reflex"} <= set(bench.errors)


def test_thresholds_of_collision_are_those_that_were_set(bench: Bench) -> None:
    assert bench.ask(Command.SET_COLLISION_BEHAVIOR, *[100.0] * 52) is Status.SUCCESS
    positions(bench)
    bench.command(q_c=HOME)
    bench.plant.body.push([0.0, 40.0, 0.0], 60.0)
    for _ in range(100):
        bench.command(q_c=HOME)
    force = bench.plant.force.copy()
    bench.plant.body.push([0.0] * 3, 0.0)
    assert bench.errors == []
    np.testing.assert_allclose(force[:3], [0.0, 40.0, 0.0], atol=2.0)


def test_an_arm_beyond_its_limits_is_not_recovered_by_itself(bench: Bench) -> None:
    bench.controller.reflex(["joint_position_limits_violation"])
    bench.plant.place(np.array([*HOME[:6], FR3.upper[6] + 0.01]))
    assert bench.ask(Command.AUTOMATIC_ERROR_RECOVERY) is Status.MANUAL


# --- in the space of the end effector --------------------------------------------------------------------------------


def test_end_effector_follows_the_poses_that_are_commanded(bench: Bench) -> None:
    bench.move(Generator.CARTESIAN_POSITION, ControllerMode.CARTESIAN_IMPEDANCE)
    start = bench.plant.pose()
    for way in smooth(np.zeros(7), 0.05, 0.6):
        pose = start.copy()
        pose[12] += way[0]
        bench.command(O_T_EE_c=pose)
    assert bench.errors == []
    assert bench.plant.pose()[12] - start[12] == pytest.approx(0.05, abs=3e-3)
    np.testing.assert_allclose(bench.plant.pose()[13:15], start[13:15], atol=3e-3)


def test_end_effector_keeps_the_velocity_that_is_commanded(bench: Bench) -> None:
    bench.move(Generator.CARTESIAN_VELOCITY, ControllerMode.CARTESIAN_IMPEDANCE)
    start = bench.plant.pose()[13]
    for speed in [*np.linspace(0.0, 0.1, 100), *[0.1] * 300]:
        bench.command(O_dP_EE_c=[0.0, speed, 0.0, 0.0, 0.0, 0.0])
    assert bench.errors == []
    assert bench.plant.pose()[13] - start == pytest.approx(0.035, abs=3e-3)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({12: 0.1}, "cartesian_position_motion_generator_start_pose_invalid"),
        ({0: 2.0}, "cartesian_position_motion_generator_invalid_frame"),
        ({12: 1e-4}, "cartesian_motion_generator_acceleration_discontinuity"),
    ],
)
def test_poses_that_cannot_be_followed_are_refused(bench: Bench, change: dict[int, float], error: str) -> None:
    bench.move(Generator.CARTESIAN_POSITION, ControllerMode.CARTESIAN_IMPEDANCE)
    pose = bench.plant.pose()
    for index, amount in change.items():
        pose[index] += amount
    bench.command(O_T_EE_c=pose)
    assert error in bench.errors


def test_elbow_is_moved_where_it_is_commanded_and_its_sign_must_fit(bench: Bench) -> None:
    bench.move(Generator.CARTESIAN_POSITION, ControllerMode.CARTESIAN_IMPEDANCE)
    pose = bench.plant.pose()
    for way in smooth(np.zeros(7), 0.1, 0.6):
        bench.command(O_T_EE_c=pose, elbow_c=[way[0], -1.0], valid_elbow=True)
    assert bench.errors == []
    assert bench.plant.q[2] == pytest.approx(0.1, abs=3e-3)
    np.testing.assert_allclose(bench.plant.pose()[12:15], pose[12:15], atol=3e-3)
    bench.command(O_T_EE_c=pose, elbow_c=[0.1, 1.0], valid_elbow=True)
    assert bench.errors == ["cartesian_motion_generator_elbow_sign_inconsistent"]


# --- motions that the robot plans -----------------------------------------------------------------------------------


def test_robot_flies_to_a_goal_by_itself_and_waits_there(bench: Bench) -> None:
    bench.move(Generator.JOINT_POSITION, ControllerMode.JOINT_IMPEDANCE, asynchronous=True)
    goal = HOME + 0.2
    bench.command(q_c=goal)
    bench.wait(1500)
    assert bench.controller.robot_mode is RobotMode.MOVE
    np.testing.assert_allclose(bench.plant.q, goal, atol=3e-3)
    bench.command(q_c=STILL, motion_generation_finished=True)
    bench.wait(300)
    assert bench.moves == [Status.STARTED, Status.SUCCESS]
    np.testing.assert_allclose(bench.plant.q, goal, atol=3e-3)


def test_robot_refuses_a_goal_beyond_its_limits(bench: Bench) -> None:
    bench.move(Generator.JOINT_POSITION, ControllerMode.JOINT_IMPEDANCE, asynchronous=True)
    bench.command(q_c=HOME + 3.0)
    assert bench.errors == ["joint_motion_generator_position_limits_violation"]


@pytest.mark.parametrize("stop", ["reflex", "user_stop", "stop", "client_gone"])
def test_however_a_motion_ends_the_arm_comes_to_rest(bench: Bench, stop: str) -> None:
    positions(bench)
    for q in list(smooth(HOME, 0.4, 1.0))[:500]:
        bench.command(q_c=q)
    assert bench.plant.dq[0] > 0.5
    {
        "reflex": lambda: bench.controller.reflex(["power_limit_violation"]),
        "user_stop": lambda: bench.controller.user_stop(True),
        "stop": lambda: bench.ask(Command.STOP_MOVE),
        "client_gone": bench.controller.client_gone,
    }[stop]()
    bench.wait(600)
    assert np.abs(bench.plant.dq).max() < 0.01
