"""The thread that attends to a Franka robot, over a library that does what the test wants."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from robot_stack import pose as se3
from robot_stack.arms import franka_attendant
from robot_stack.arms.franka_arm import FrankaArm
from robot_stack.arms.franka_faults import Mode
from robot_stack.arms.franka_link import Reading, Setup
from robot_stack.clock import now
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot
from robot_stack.types import Array, ConfigError, DeviceError

HOME = robot("fr3").home
HOME_POSE = se3.to_matrix(Kinematics("fr3").forward(HOME))
STILL = np.zeros(7)


class FakeLink:
    """A robot that stands at home, in the mode that is set, and a log of what is done to it."""

    newest: "FakeLink"

    def __init__(self, setup: Setup) -> None:
        FakeLink.newest = self
        self.setup = setup
        self.mode, self.errors = Mode.IDLE, ()
        self.q = HOME.copy()
        self.displaced = np.zeros(3)  # of the end effector [m]
        self.span = (robot("fr3").lower - 0.01, robot("fr3").upper + 0.01)
        self.fails: Callable[[], None] = lambda: None  # when it is read
        self.connects: Callable[[], None] = lambda: None
        self.recovers: Callable[[], str] = lambda: ""
        self.clock: Callable[[], float] = now
        self.log: list[str] = []
        self.sent: list[tuple[Array, Array]] = []
        self.gains: Array = setup.stiffness
        self.alive = False

    def connect(self) -> None:
        self.connects()

    def limits(self) -> tuple[Array, Array]:
        return self.span

    def configure(self) -> None:
        self.log.append("configure")

    def take(self) -> None:
        self.log.append("take")
        self.alive, self.mode = True, Mode.MOVE

    def moves(self) -> bool:
        return self.alive

    def why(self) -> str:
        return "why it ended"

    def read(self) -> Reading:
        self.fails()
        pose = HOME_POSE.copy()  # nobody looks at it elsewhere
        pose[:3, 3] += self.displaced
        return Reading(self.clock(), self.q, STILL, pose, np.zeros(6), self.mode, self.errors)

    def follow(self, q: Array, dq: Array) -> None:
        self.sent.append((q.copy(), dq.copy()))

    def hold(self, stiffness: Array, damping: Array) -> None:
        self.gains = stiffness

    def release(self) -> None:
        self.log.append("release")
        self.alive, self.mode = False, Mode.IDLE

    def recover(self) -> str:
        self.log.append("recover")
        return self.recovers()

    def close(self) -> None:
        self.log.append("close")

    def stop(self, mode: Mode, *errors: str) -> None:
        """The robot stops by itself."""
        self.mode, self.errors, self.alive = mode, errors, False


class FakeArm(FrankaArm):
    model, link = "fr3", FakeLink


SETTINGS = {
    "host": "a-robot",
    "stiffness": [600.0] * 7,
    "damping": [50.0] * 7,
    "collision_torque": [40.0] * 7,
    "collision_force": [40.0] * 6,
    "load_mass": 0.0,
    "load_center": [0.0] * 3,
    "load_inertia": [0.0] * 9,
    "hand_from_tcp": [0.0] * 6 + [1.0],
    "realtime": False,
}


@pytest.fixture
def arm() -> Iterator[FakeArm]:
    with FakeArm("fr3", **SETTINGS) as arm:
        yield arm


@pytest.fixture
def link(arm: FakeArm) -> FakeLink:
    return FakeLink.newest


def until(true: Callable[[], bool], patience: float = 10.0) -> None:
    deadline = now() + patience
    while not true():
        assert now() < deadline
        time.sleep(0.002)


def servo_until(arm: FakeArm, true: Callable[[], bool], dq: Array = STILL) -> None:
    def once() -> bool:
        arm.servo(HOME, dq)
        return true()

    until(once)


def test_who_only_reads_never_takes_control(arm: FakeArm, link: FakeLink) -> None:
    for _ in range(50):
        arm.read()
        time.sleep(0.002)
    assert "take" not in link.log


def test_the_first_reference_takes_control_of_a_robot_that_was_configured_right_before(
    arm: FakeArm, link: FakeLink
) -> None:
    servo_until(arm, lambda: bool(link.sent))
    assert link.log[-2:] == ["configure", "take"]
    np.testing.assert_array_equal(link.sent[-1][0], HOME)


def test_a_reference_that_is_away_from_the_arm_is_no_beginning(arm: FakeArm, link: FakeLink) -> None:
    away = HOME + 0.2
    until(lambda: arm.servo(away, STILL) or "asked for joints 0.20 rad from where the arm is" in arm.read().fault)  # type: ignore[func-returns-value]
    assert "take" not in link.log
    arm.recover()
    servo_until(arm, lambda: bool(link.sent))


def test_a_loop_that_stalls_leaves_no_velocity_behind_and_later_no_motion(arm: FakeArm, link: FakeLink) -> None:
    servo_until(arm, lambda: len(link.sent) > 3, np.full(7, 0.1))
    until(lambda: not link.sent[-1][1].any())
    np.testing.assert_array_equal(link.sent[-1][0], HOME)
    assert "release" not in link.log
    until(lambda: "release" in link.log)
    servo_until(arm, lambda: link.log[-1] == "take")


def test_leaving_brings_a_moving_arm_to_rest() -> None:
    with FakeArm("fr3", **SETTINGS) as arm:
        link = FakeLink.newest
        servo_until(arm, lambda: bool(link.sent), np.full(7, 0.1))
    assert not link.sent[-1][1].any()
    assert link.log[-2:] == ["release", "close"]


def test_a_fault_stays_until_a_person_has_it_recovered_from(arm: FakeArm, link: FakeLink) -> None:
    servo_until(arm, lambda: bool(link.sent))
    link.stop(Mode.REFLEX, "joint_reflex")
    servo_until(arm, lambda: "joint_reflex" in arm.read().fault)
    link.stop(Mode.IDLE)  # someone cleared it in Desk
    taken = link.log.count("take")
    for _ in range(50):
        arm.servo(HOME, STILL)
        time.sleep(0.002)
    assert "joint_reflex" in arm.read().fault
    assert link.log.count("take") == taken
    arm.recover()
    servo_until(arm, lambda: link.log.count("take") > taken)
    assert arm.read().fault == ""


def test_a_motion_that_ends_for_no_reason_is_a_fault_in_the_librarys_words(arm: FakeArm, link: FakeLink) -> None:
    servo_until(arm, lambda: bool(link.sent))
    link.stop(Mode.IDLE)
    servo_until(arm, lambda: "ended the motion (why it ended)" in arm.read().fault)


def test_a_recovery_is_repeated_until_the_state_shows_no_error(
    arm: FakeArm, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(franka_attendant, "SETTLING", 0.05)
    link.stop(Mode.REFLEX, "joint_reflex")
    until(lambda: bool(arm.read().fault))
    answers = iter(["", ""])

    def recovers() -> str:
        if next(answers, None) is None:
            link.stop(Mode.IDLE)
        return ""

    link.recovers = recovers
    arm.recover()
    until(lambda: arm.read().fault == "")
    assert link.log.count("recover") == 3


def test_a_recovery_that_is_refused_says_why_and_is_not_repeated(
    arm: FakeArm, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(franka_attendant, "SETTLING", 0.05)
    link.stop(Mode.REFLEX, "joint_position_limits_violation")
    until(lambda: bool(arm.read().fault))
    link.recovers = lambda: "manual recovery required"
    arm.recover()
    until(lambda: "manual recovery required" in arm.read().fault)
    assert link.log.count("recover") == 1


@pytest.mark.parametrize("mode", [Mode.USER_STOPPED, Mode.GUIDING])
def test_what_a_person_holds_the_robot_is_not_asked_to_recover_from(arm: FakeArm, link: FakeLink, mode: Mode) -> None:
    link.stop(mode)
    until(lambda: bool(arm.read().fault))
    arm.recover()
    time.sleep(0.05)
    assert "recover" not in link.log
    assert arm.read().fault != ""
    link.stop(Mode.IDLE)
    arm.recover()
    until(lambda: arm.read().fault == "")
    assert "recover" not in link.log


def test_hand_guiding_takes_the_stiffness_away_and_gives_it_back_where_the_arm_then_is(
    arm: FakeArm, link: FakeLink
) -> None:
    servo_until(arm, lambda: bool(link.sent))
    arm.guide(True)
    assert not link.gains.any()
    link.q = HOME + 0.3
    until(lambda: bool((arm.read().q == link.q).all()))
    time.sleep(2 * franka_attendant.STALE)
    arm.guide(False)
    np.testing.assert_array_equal(link.sent[-1][0], HOME + 0.3)
    np.testing.assert_array_equal(link.gains, link.setup.stiffness)
    assert "release" not in link.log


def test_a_robot_that_is_moved_by_another_program_is_refused() -> None:
    with pytest.raises(DeviceError, match="is moved by another program: end that program first"):
        entered(mode=Mode.MOVE)


def test_a_tool_that_is_elsewhere_than_the_model_has_it_is_refused_with_numbers() -> None:
    with pytest.raises(DeviceError, match=r"a fr3 with these joints has its TCP at .* 10.0 mm and 0.000 rad apart"):
        entered(displaced=np.array([0.0, 0.0, 0.01]))


def test_a_robot_that_turns_less_far_than_it_should_is_another_robot() -> None:
    lower, upper = robot("fr3").lower.copy(), robot("fr3").upper.copy()
    upper[5] = 3.75
    with pytest.raises(DeviceError, match=r"joint 6 of the robot at a-robot turns from 0.544 to 3.750 rad"):
        entered(span=(lower, upper))


def test_a_robot_that_does_not_answer_is_given_up_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(franka_attendant, "CONNECTING", 0.1)
    monkeypatch.setattr(franka_attendant, "LEAVING", 0.1)
    answers = threading.Event()
    with pytest.raises(DeviceError, match=r"no answer from a-robot within 0 s: is the robot on"):
        entered(connects=answers.wait)
    answers.set()


def test_a_robot_that_falls_silent_is_an_error_and_never_a_hang(arm: FakeArm, link: FakeLink) -> None:
    servo_until(arm, lambda: bool(link.sent))
    frozen = now()
    link.clock = lambda: frozen
    with pytest.raises(DeviceError, match=r"the robot at a-robot has sent nothing for 1\.\d s: cable"):
        servo_until(arm, lambda: arm.read() is None)


def test_a_library_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(franka_attendant, "LEAVING", 0.1)
    hangs = threading.Event()
    with FakeArm("fr3", **SETTINGS):
        FakeLink.newest.close = hangs.wait  # type: ignore[assignment,method-assign]
    hangs.set()
    assert "did not end within 0 s: left as it is" in caplog.text


def test_what_the_thread_runs_into_is_what_the_loop_hears(arm: FakeArm, link: FakeLink) -> None:
    def fails() -> None:
        raise DeviceError("the robot at a-robot is gone")

    link.fails = fails
    with pytest.raises(DeviceError, match="is gone"):
        until(lambda: arm.read() is None)


def test_an_arm_that_measures_the_same_though_it_is_moved_is_old_and_then_an_error(
    arm: FakeArm, link: FakeLink
) -> None:
    servo_until(arm, lambda: bool(link.sent))
    arm.read()
    ages = []

    def brake() -> None:
        for k in range(10_000):
            arm.servo(HOME, np.full(7, 0.1 if k < 10 else 0.0))  # it is frozen also once the reference stands still
            ages.append(now() - arm.read().time)
            time.sleep(0.002)

    with pytest.raises(DeviceError, match=r"measures the same for 0\.\d s, though it is moved"):
        brake()
    assert max(ages) > 0.2


@pytest.mark.parametrize("q", [np.full(7, np.nan), np.full(7, np.inf), np.zeros(6)])
def test_joints_that_are_no_seven_numbers_never_reach_the_robot(arm: FakeArm, q: Array) -> None:
    with pytest.raises(DeviceError, match="expected 7 numbers each"):
        arm.servo(q, np.zeros_like(q))


def test_a_setting_of_the_wrong_length_is_named() -> None:
    with pytest.raises(ConfigError, match=r"stiffness is \[600.0\], expected 7 numbers \[Nm/rad\]"):
        FakeArm("fr3", **{**SETTINGS, "stiffness": [600.0]})


def test_an_arm_of_another_station_is_refused() -> None:
    with pytest.raises(ConfigError, match="FakeArm drives a fr3, the robot of this station is a ur5e"):
        FakeArm("ur5e", **SETTINGS)


def entered(**attributes: object) -> None:
    """Enter an arm whose robot is different in these."""
    arm = FakeArm("fr3", **SETTINGS)
    for name, value in attributes.items():
        setattr(FakeLink.newest, name, value)
    try:
        arm.__enter__()
    finally:
        arm.__exit__(None, None, None)
