import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from robot_stack import pose as se3
from robot_stack.bus import LocalBus
from robot_stack.clock import now
from robot_stack.control import Controller
from robot_stack.kinematics import Kinematics
from robot_stack.loop import ControlLoop
from robot_stack.safety import Limits
from robot_stack.station import REQUEST, Station
from robot_stack.types import ArmState, DeviceError, GripperState, Mode, Source, TargetKind

PERIOD = 0.002
KINEMATICS = {name: Kinematics(name) for name in ("ur5e", "fr3")}
SOMEWHERE = KINEMATICS["ur5e"].forward(KINEMATICS["ur5e"].robot.home) + [0.05, 0.1, -0.05, 0, 0, 0, 0]


class Flight:
    """A controller with an arm that is always exactly where it was sent, and the messages that others would send."""

    def __init__(self, name="ur5e", limits=None, autonomy=True, q=None):
        self.kinematics = KINEMATICS[name]
        self.station = Station("test", self.kinematics.joints)
        self.controller = Controller(name, self.station, limits or Limits(), autonomy)
        self.now = 10.0
        self.q = self.kinematics.robot.home.copy() if q is None else q
        self.grip = GripperState(self.now, 0.05)
        self.request = self.operator = self.chunk = None
        self.records = []
        self.controller.seed(self.state())

    def state(self):
        n = self.kinematics.joints
        return ArmState(self.now, self.q, np.zeros(n), self.kinematics.forward(self.q), np.zeros(6))

    def step(self, state=None):
        self.now += PERIOD
        state = state or self.state()
        record = self.controller.step(self.now, state, self.grip, self.request, self.operator, self.chunk)
        self.q = record["target.q"].copy()
        self.records.append(record)
        return record

    def ask(self, mode=Mode.RUN, speed=1.0, reset=0):
        self.request = REQUEST.spec.record(time=self.now + PERIOD, mode=mode, speed=speed, reset=reset)

    def engage(self, pose=None, q=None, grip=0.04, engaged=1):
        kind = TargetKind.POSE if pose is not None else TargetKind.JOINTS if q is not None else TargetKind.NONE
        self.operator = self.station.operator.spec.record(
            time=self.now + PERIOD, engaged=engaged, kind=kind, pose=0 if pose is None else pose,
            q=0 if q is None else q, grip=grip,
        )  # fmt: skip

    def propose(self, pose=None, q=None, source=Source.POLICY, seconds=1.0, grip=0.03):
        kind = TargetKind.POSE if pose is not None else TargetKind.JOINTS
        self.chunk = self.station.chunk.spec.record(
            time=self.now, observed=self.now, pictured=self.now, source=source, kind=kind, count=2, grip=grip,
            pose=0 if pose is None else pose, q=0 if q is None else q,
        )  # fmt: skip
        self.chunk["times"][:2] = self.now, self.now + seconds

    def fly(self, seconds, mode=Mode.RUN):
        """With everyone alive: requests and operator input stay fresh."""
        for _ in range(round(seconds / PERIOD)):
            self.ask(mode)
            if self.operator is not None:
                self.operator["time"] = self.now
            self.step()
        return self.records[-1]

    def column(self, name):
        return np.array([record[name] for record in self.records])


def reason(record):
    return record["reason"].item().decode()


# --- who flies


def test_nobody_flies_before_the_parent_asks():
    flight = Flight()
    record = flight.step()
    assert record["source"] == Source.NOBODY
    assert record["mode"] == Mode.HOLD
    assert reason(record) == "no request yet"
    assert_allclose(record["target.q"], flight.kinematics.robot.home)


def test_a_person_takes_over_in_one_tick_and_the_policy_has_it_back_in_one_tick_with_a_new_plan():
    flight = Flight()
    flight.propose(pose=SOMEWHERE)
    assert flight.fly(0.2)["source"] == Source.POLICY
    flight.engage(pose=SOMEWHERE - [0.1, 0, 0, 0, 0, 0, 0])
    flight.ask()
    assert flight.step()["source"] == Source.OPERATOR
    flight.engage(engaged=0)
    record = flight.step()
    assert (record["source"], reason(record)) == (Source.NOBODY, "chunk from before the hand-back")
    flight.propose(pose=SOMEWHERE)
    assert flight.step()["source"] == Source.POLICY


def test_a_hand_over_has_no_step_in_position_velocity_or_acceleration():
    flight = Flight()
    flight.propose(pose=SOMEWHERE)
    flight.fly(0.15)
    flight.engage(pose=SOMEWHERE - [0.3, 0.4, 0, 0, 0, 0, 0])
    flight.fly(0.15)
    flight.operator = None
    flight.propose(q=flight.kinematics.robot.home + 0.2)
    flight.fly(0.15)
    assert {int(source) for source in flight.column("source")} == {Source.OPERATOR, Source.POLICY}
    assert_smooth(flight)
    assert np.abs(flight.column("target.dq")).max() > 0.1


def test_an_operator_is_told_apart_by_what_is_engaged_fresh_and_asked():
    flight = Flight()
    flight.engage(pose=SOMEWHERE)
    assert flight.fly(0.1)["source"] == Source.OPERATOR
    flight.engage()
    flight.ask()
    record = flight.step()
    assert record["source"] == Source.OPERATOR
    assert record["requested.kind"] == TargetKind.NONE
    flight.now += 0.25
    flight.ask()
    record = flight.step()
    assert record["source"] == Source.NOBODY
    assert reason(record) == "operator silent for 0.25 s, limit 0.20 s"


def test_an_operator_who_falls_silent_while_flying_has_not_handed_back_to_the_policy():
    flight = Flight()
    flight.propose(pose=SOMEWHERE, seconds=5.0)
    flight.engage(pose=SOMEWHERE - [0.1, 0, 0, 0, 0, 0, 0])
    assert flight.fly(0.1)["source"] == Source.OPERATOR
    for _ in range(200):
        flight.ask()
        record = flight.step()
    assert record["source"] == Source.NOBODY
    assert reason(record).startswith("operator silent for")
    assert_allclose(record["target.dq"], 0.0, atol=1e-9)
    flight.engage(engaged=0)
    flight.propose(pose=SOMEWHERE)
    assert flight.fly(PERIOD)["source"] == Source.POLICY


def test_a_chunk_that_runs_out_ends_in_a_hold_with_its_reason():
    flight = Flight()
    flight.propose(pose=SOMEWHERE, seconds=0.2)
    flight.fly(0.38)
    assert flight.records[-1]["source"] == Source.POLICY
    record = flight.fly(0.5)
    assert (record["source"], reason(record)) == (Source.NOBODY, "chunk ran out")
    assert_allclose(record["target.dq"], 0.0, atol=1e-9)
    assert_smooth(flight)


def test_a_chunk_from_an_old_observation_is_not_flown():
    flight = Flight()
    flight.propose(pose=SOMEWHERE, seconds=9.0)
    flight.now += 1.6
    record = flight.fly(PERIOD)
    assert (record["source"], reason(record)) == (Source.NOBODY, "chunk observed 1.60 s ago, limit 1.50 s")


def test_without_autonomy_a_chunk_is_recorded_and_not_flown():
    flight = Flight(autonomy=False)
    flight.propose(pose=SOMEWHERE)
    record = flight.fly(0.1)
    assert (record["source"], reason(record)) == (Source.NOBODY, "operator not engaged")
    assert_allclose(record["proposed.pose"], SOMEWHERE)


def test_nobody_flies_without_a_chunk_or_with_an_empty_one():
    flight = Flight()
    assert reason(flight.fly(PERIOD)) == "no chunk yet"
    flight.propose(q=flight.q)
    flight.chunk["kind"] = TargetKind.NONE
    assert reason(flight.fly(PERIOD)) == "chunk ran out"


def test_a_stored_trajectory_flies_as_script():
    flight = Flight()
    flight.propose(q=flight.q, source=Source.SCRIPT)
    assert flight.fly(PERIOD)["source"] == Source.SCRIPT


# --- what is recorded


def test_a_record_says_what_was_asked_in_both_kinds_what_was_proposed_and_what_was_sent():
    flight = Flight()
    joints = flight.kinematics.inverse(SOMEWHERE, flight.q, iterations=20)
    flight.propose(q=joints, grip=0.02)
    flight.engage(pose=SOMEWHERE, grip=0.2)
    record = flight.fly(2.0)
    flight.station.control.spec.check(record)
    assert record["requested.kind"] == TargetKind.POSE
    assert_allclose(record["requested.pose"], SOMEWHERE)
    assert_allclose(record["requested.q"], joints, atol=1e-3)
    assert record["requested.grip"] == 0.2
    assert record["target.grip"] == 0.085
    assert_allclose(record["target.pose"], SOMEWHERE, atol=1e-4)
    assert_allclose(record["pose"], record["target.pose"], atol=1e-4)
    assert record["limited"] == 0
    assert reason(record) == ""
    assert record["proposed.kind"] == TargetKind.NONE  # it ran out a second ago
    flight.propose(q=joints, grip=0.02)
    record = flight.step()
    assert_allclose(record["proposed.q"], joints)
    assert max(se3.distance(record["proposed.pose"], SOMEWHERE)) < 1e-4
    assert record["proposed.grip"] == 0.02


def test_the_grip_is_the_measured_one_until_someone_asks_and_then_the_last_asked():
    flight = Flight()
    assert flight.fly(PERIOD)["target.grip"] == 0.05
    flight.engage(q=flight.q, grip=0.01)
    flight.fly(PERIOD)
    flight.operator = None
    assert flight.fly(PERIOD)["target.grip"] == 0.01
    without = Flight()
    without.grip = None
    assert without.step()["target.grip"] == 0.085


def test_the_same_inputs_give_the_same_bits():
    def bits():
        flight = Flight()
        flight.propose(pose=SOMEWHERE)
        flight.fly(0.2)
        flight.engage(q=flight.kinematics.robot.home + 0.5)
        flight.fly(0.2)
        return b"".join(record.tobytes() for record in flight.records)

    assert bits() == bits()


# --- modes


def test_hold_comes_to_rest_and_stays_there():
    flight = Flight()
    flight.engage(pose=SOMEWHERE)
    flight.fly(0.3)
    assert np.abs(flight.records[-1]["target.dq"]).max() > 0.1
    flight.fly(0.3, Mode.HOLD)
    resting = flight.q
    flight.fly(0.1, Mode.HOLD)
    assert_allclose(flight.q, resting, atol=1e-12)
    assert_smooth(flight)


def test_when_the_parent_falls_silent_the_arm_is_at_rest_within_a_second_and_goes_on_when_it_is_back():
    flight = Flight()
    flight.engage(pose=SOMEWHERE)
    flight.fly(0.1)
    for _ in range(350):
        flight.operator["time"] = flight.now
        record = flight.step()
    assert (record["mode"], record["source"]) == (Mode.HOLD, Source.NOBODY)
    assert reason(record).startswith("parent silent for 0.7")
    assert_allclose(record["target.dq"], 0.0, atol=1e-9)
    assert flight.fly(PERIOD)["source"] == Source.OPERATOR
    assert_smooth(flight)


def test_a_reset_does_not_open_the_hand():
    flight = Flight()
    flight.engage(pose=SOMEWHERE, grip=0.01)  # on something 0.05 wide
    flight.fly(0.2)
    flight.fly(1.0, Mode.STOP)
    flight.ask(Mode.HOLD, reset=1)
    assert flight.step()["target.grip"] == 0.01


def test_at_home_the_fingers_open_and_not_before():
    flight = Flight()
    flight.engage(pose=SOMEWHERE, grip=0.01)
    flight.fly(2.0)
    flight.operator = None
    assert flight.fly(0.2, Mode.HOME)["target.grip"] == 0.01
    flight.fly(4.0, Mode.HOME)
    assert flight.fly(PERIOD, Mode.HOLD)["target.grip"] == flight.kinematics.robot.opening


def test_seeded_again_a_controller_is_as_new():
    flight = Flight()
    flight.fly(PERIOD, Mode.STOP)
    assert flight.controller.stopped
    flight.controller.seed(flight.state())
    assert flight.fly(PERIOD, Mode.HOLD)["mode"] == Mode.HOLD


def test_an_unknown_mode_holds():
    flight = Flight()
    flight.engage(pose=SOMEWHERE)
    record = flight.fly(PERIOD, mode=9)
    assert (record["mode"], reason(record)) == (Mode.HOLD, "mode 9 is none of (0, 1, 2, 3)")


@pytest.mark.parametrize("name", KINEMATICS)
def test_home_is_reached_straight_and_then_held(name):
    flight = Flight(name)
    flight.engage(pose=flight.kinematics.forward(flight.q) + [0.1, 0.2, -0.2, 0, 0, 0, 0])
    flight.fly(2.0)
    flight.operator = None
    assert flight.fly(0.2, Mode.HOME)["source"] == Source.SCRIPT
    record = flight.fly(4.0, Mode.HOME)
    assert flight.controller.reached_home
    assert (record["mode"], record["source"], reason(record)) == (Mode.HOLD, Source.NOBODY, "home")
    assert_allclose(record["target.q"], flight.kinematics.robot.home, atol=1e-3)
    assert_smooth(flight)
    flight.fly(PERIOD, Mode.HOLD)
    assert not flight.controller.reached_home


def test_a_slower_override_is_slower():
    def reached(speed):
        flight = Flight()
        flight.engage(pose=SOMEWHERE)
        for _ in range(100):
            flight.ask(speed=speed)
            flight.operator["time"] = flight.now
            flight.step()
        return np.linalg.norm(flight.records[-1]["target.pose"][:3] - flight.records[0]["target.pose"][:3])

    assert reached(0.0) < reached(0.1) < reached(0.5) < reached(1.0)
    assert reached(np.nan) == reached(0.0)


# --- stops


def test_stop_is_latched_until_a_newer_reset_to_hold():
    flight = Flight()
    flight.engage(pose=SOMEWHERE)
    flight.fly(0.2)
    assert flight.fly(PERIOD, Mode.STOP)["mode"] == Mode.STOP
    for mode, reset in ((Mode.RUN, 0), (Mode.RUN, 1), (Mode.HOLD, 0), (Mode.HOME, 1)):
        flight.ask(mode, reset=reset)
        record = flight.step()
        assert (record["mode"], record["source"], reason(record)) == (Mode.STOP, Source.NOBODY, "stop requested")
    flight.ask(Mode.HOLD, reset=1)
    assert flight.step()["mode"] == Mode.HOLD
    assert flight.fly(PERIOD)["source"] == Source.OPERATOR
    assert_smooth(flight)


def test_a_reset_that_was_sent_before_the_stop_does_not_clear_it():
    flight = Flight()
    flight.ask(Mode.HOLD, reset=1)
    flight.step()
    flight.step(ArmState(flight.now, flight.q * np.nan, flight.q, SOMEWHERE, np.zeros(6)))
    assert flight.step()["mode"] == Mode.STOP


def test_a_broken_measurement_stops_and_the_record_keeps_the_last_good_one():
    flight = Flight()
    flight.fly(0.01)
    flight.ask()
    record = flight.step(ArmState(flight.now, flight.q * np.nan, flight.q, SOMEWHERE, np.zeros(6)))
    assert record["mode"] == Mode.STOP
    assert reason(record).startswith("arm: q is not finite")
    flight.station.control.spec.check(record)


def test_after_a_stop_for_a_lost_arm_the_reset_starts_where_the_arm_is():
    flight = Flight()
    flight.fly(0.01)
    pushed = flight.q + [0, 0, 0, 0, 0, 0.5]
    for tick in range(1, 50):
        flight.q = pushed * min(1.0, tick / 40) + flight.kinematics.robot.home * (1 - min(1.0, tick / 40))
        flight.ask()
        record = flight.step()
        flight.q = pushed
    assert reason(record) == "arm: wrist_3_joint is 0.412 rad from its setpoint, limit 0.400 rad"
    for _ in range(20):
        flight.ask(Mode.HOLD, reset=1)
        record = flight.step(replace(flight.state(), q=pushed))
    assert record["mode"] == Mode.HOLD
    assert_allclose(record["target.q"], pushed)


def test_a_reset_while_still_moving_goes_on_braking():
    flight = Flight()
    flight.engage(pose=SOMEWHERE)
    flight.fly(0.3)
    flight.fly(PERIOD, Mode.STOP)
    flight.ask(Mode.HOLD, reset=1)
    assert flight.step()["mode"] == Mode.HOLD
    flight.fly(0.3, Mode.HOLD)
    assert_smooth(flight)


def test_a_reset_with_a_broken_arm_stays_stopped():
    flight = Flight()
    flight.fly(PERIOD, Mode.STOP)
    flight.ask(Mode.HOLD, reset=1)
    record = flight.step(ArmState(flight.now - 5.0, flight.q, flight.q * 0, SOMEWHERE, np.zeros(6)))
    assert record["mode"] == Mode.STOP


def test_a_plan_made_from_old_pictures_is_not_flown():
    flight = Flight()
    flight.propose(pose=SOMEWHERE)
    flight.chunk["pictured"] -= 0.7
    record = flight.fly(PERIOD)
    assert (record["source"], reason(record)) == (Source.NOBODY, "chunk made from pictures 0.70 s old, limit 0.50 s")


def test_a_slower_override_flies_the_same_plan_in_as_much_more_time():
    flight = Flight()
    flight.propose(pose=SOMEWHERE, seconds=0.2)
    for _ in range(round(0.75 / PERIOD)):  # a chunk lasts one spacing longer than its last waypoint
        flight.ask(speed=0.5)
        record = flight.step()
    assert (record["source"], record["speed"]) == (Source.POLICY, 0.5)
    flight.fly(0.1)
    assert reason(flight.records[-1]) == "chunk ran out"


def test_a_fault_of_the_arms_controller_stops_whoever_flies_and_the_setpoint_is_where_the_arm_is():
    flight = Flight()
    flight.propose(pose=SOMEWHERE)
    flight.fly(0.2)
    fallen = flight.q + 0.01
    state = replace(flight.state(), q=fallen, fault="protective stop")
    record = flight.step(state)
    assert (record["mode"], record["source"], record["fault"]) == (Mode.STOP, Source.NOBODY, b"protective stop")
    assert reason(record) == "arm: protective stop"
    assert_allclose(record["target.q"], fallen)
    assert_allclose(record["target.dq"], 0.0)


def test_a_reset_does_not_start_an_arm_whose_controller_has_a_fault():
    flight = Flight()
    flight.step(replace(flight.state(), fault="reflex"))
    flight.now += PERIOD
    flight.ask(Mode.HOLD, reset=1)
    assert flight.step(replace(flight.state(), fault="reflex"))["mode"] == Mode.STOP
    flight.now += PERIOD
    flight.ask(Mode.HOLD, reset=1)
    assert flight.step()["mode"] == Mode.HOLD


def test_led_by_hand_the_setpoint_is_where_the_arm_is_and_stays_there_when_it_is_let_go():
    flight = Flight()
    flight.engage()
    flight.operator["kind"] = TargetKind.GUIDE
    for _ in range(100):
        flight.engage()
        flight.operator["kind"] = TargetKind.GUIDE
        flight.ask()
        flight.q = flight.q + [0, 0, 0, 0, 0, 0.001]
        record = flight.step()
    assert (record["source"], record["requested.kind"]) == (Source.OPERATOR, TargetKind.GUIDE)
    assert_allclose(record["target.q"], flight.q, atol=0.0021)
    assert_allclose(record["requested.q"], record["target.q"])
    flight.engage(engaged=0)
    held = flight.fly(0.1)
    assert held["requested.kind"] == TargetKind.NONE
    assert_allclose(held["target.q"], flight.q, atol=0.0021)


def test_no_plan_can_let_go_of_the_arm_as_a_hand_does():
    flight = Flight()
    flight.propose(pose=SOMEWHERE)
    flight.chunk["kind"] = TargetKind.GUIDE
    assert reason(flight.fly(PERIOD)).startswith("policy: a target of kind 3")


def test_a_leader_arm_that_stands_elsewhere_does_not_pull_the_arm_there():
    flight = Flight()
    leader = flight.q + [0, 0, 0.5, 0, 0, 0]
    flight.engage(q=leader)
    record = flight.fly(PERIOD)
    words = "operator: elbow_joint of the leader is 0.50 rad from the arm's, limit 0.30 rad"
    assert (record["source"], reason(record)) == (Source.NOBODY, words)
    flight.engage(q=flight.q + 0.1)
    assert flight.fly(PERIOD)["source"] == Source.OPERATOR
    flight.engage(q=leader)  # once it flies, it may run ahead: the limits hold
    assert flight.fly(PERIOD)["source"] == Source.OPERATOR


def test_an_arm_that_was_stopped_while_it_leant_on_something_is_relieved():
    flight = Flight()
    wall = flight.q.copy()
    flight.engage(q=flight.q + [0, 0, 0, 0, 0, 0.25])
    for _ in range(100):
        flight.engage(q=wall + [0, 0, 0, 0, 0, 0.25])
        flight.ask()
        flight.step(replace(flight.state(), q=wall))
    ahead = flight.records[-1]["target.q"][-1] - wall[-1]
    for _ in range(4000):
        flight.ask(Mode.STOP)
        record = flight.step(replace(flight.state(), q=wall))
    assert ahead > 0.1
    assert abs(record["target.q"][-1] - wall[-1]) < 0.04
    assert_smooth(flight)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_whoever_flies_with_a_target_that_is_not_finite_is_stopped_by_name(broken):
    flight = Flight()
    flight.engage(pose=SOMEWHERE * broken)
    record = flight.fly(PERIOD)
    assert record["mode"] == Mode.STOP
    assert reason(record).startswith("operator: a target that is not finite")
    flight.station.control.spec.check(record)


def test_a_policy_that_proposes_nonsense_while_a_person_flies_is_not_recorded_and_stops_nothing():
    flight = Flight()
    flight.engage(pose=SOMEWHERE)
    flight.propose(pose=SOMEWHERE * np.nan)
    record = flight.fly(PERIOD)
    assert (record["source"], record["proposed.kind"]) == (Source.OPERATOR, TargetKind.NONE)
    flight.station.control.spec.check(record)
    flight.operator = None
    flight.propose(pose=SOMEWHERE * np.nan)
    assert reason(flight.fly(PERIOD)).startswith("policy: a target that is not finite")


def test_a_controller_does_not_start_from_a_broken_measurement():
    flight = Flight()
    with pytest.raises(DeviceError, match="cannot start from this measurement: arm: dq is not finite"):
        flight.controller.seed(ArmState(0.0, flight.q, flight.q * np.nan, SOMEWHERE, np.zeros(6)))


# --- limits, whatever is asked

SENDERS = ("operator", "policy", "script", "both", "hold", "home", "stop", "silent")
events = st.tuples(
    st.integers(1, 80),  # ticks
    st.sampled_from(SENDERS),
    st.sampled_from([TargetKind.POSE, TargetKind.JOINTS, TargetKind.NONE]),
    st.integers(0, 2**32 - 1),  # seed of the target
    st.sampled_from([0.01, 0.3, 3.0]),  # how wild it is
    st.sampled_from([1.0, 1.0, 1.0, 0.3, 0.0, np.nan]),  # speed override
    st.sampled_from([0.0] * 12 + [np.nan, np.inf, -np.inf, 1e300]),  # what is broken about it
)


def send(flight, sender, kind, seed, wildness, speed, broken):
    rng = np.random.default_rng(seed)
    home = flight.kinematics.robot.home
    pose = se3.compose(flight.kinematics.forward(home), se3.exp(wildness * rng.normal(size=6)))
    q = home + wildness * rng.normal(size=len(home))
    with np.errstate(invalid="ignore"):
        pose[int(rng.integers(7))] += broken
        q[int(rng.integers(len(q)))] += broken
    mode = {"hold": Mode.HOLD, "home": Mode.HOME, "stop": Mode.STOP}.get(sender, Mode.RUN)
    flight.ask(Mode.HOLD if flight.controller.stopped else mode, speed, reset=bool(flight.controller.stopped))
    asked = {"pose": pose if kind == TargetKind.POSE else None, "q": q if kind == TargetKind.JOINTS else None}
    flight.engage(**asked, engaged=sender in ("operator", "both"))
    if sender in ("policy", "script", "both"):
        flight.propose(**asked, source=Source.SCRIPT if sender == "script" else Source.POLICY, seconds=0.1)
        flight.chunk["kind"] = kind
        flight.chunk["pose"][1:] = flight.kinematics.forward(home)
        flight.chunk["q"][1:] = home


def assert_smooth(flight):
    """Position, velocity, acceleration and jerk of the setpoint, from its positions alone."""
    robot, n = flight.kinematics.robot, flight.kinematics.joints
    q = np.concatenate([np.tile(robot.home, (3, 1)), flight.column("target.q")])
    dq = np.diff(q, axis=0) / PERIOD
    ddq = np.diff(dq, axis=0) / PERIOD
    dddq = np.diff(ddq, axis=0) / PERIOD
    assert q.shape[1] == n
    assert (q >= robot.lower).all()
    assert (q <= robot.upper).all()
    assert (np.abs(dq) <= 0.5 * robot.velocity * (1 + 1e-6)).all()
    assert (np.abs(ddq) <= robot.acceleration * (1 + 1e-6)).all()
    assert (np.abs(dddq) <= robot.jerk * (1 + 1e-3)).all()


def assert_tool_within_limits(flight):
    limits = flight.controller.limits
    poses = [flight.kinematics.forward(q) for q in flight.column("target.q")]
    points = np.array(poses)[:, :3]
    assert (points >= np.array(limits.box_min)).all()
    assert (points <= np.array(limits.box_max)).all()
    steps = np.array([se3.distance(a, b) for a, b in pairwise(poses)]).reshape(-1, 2)
    assert (steps[:, 0] <= limits.tcp_speed * PERIOD * (1 + 1e-6)).all()
    assert (steps[:, 1] <= limits.tcp_rotation * PERIOD * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", KINEMATICS)
@settings(deadline=None, derandomize=True, max_examples=20)
@given(story=st.lists(events, min_size=5, max_size=15))
def test_the_setpoint_never_exceeds_a_limit_whatever_the_targets_and_whoever_sends_them(name, story):
    flight = Flight(name)
    for ticks, sender, *what in story:
        send(flight, sender, *what)
        for _ in range(ticks):
            if sender != "silent":
                flight.request["time"] = flight.operator["time"] = flight.now + PERIOD
            flight.station.control.spec.check(flight.step())
    assert_smooth(flight)
    assert_tool_within_limits(flight)


@pytest.mark.parametrize("name", KINEMATICS)
def test_joints_asked_far_beyond_the_box_end_inside_it_at_full_speed_in_every_direction(name):
    for seed in range(6):
        flight = Flight(name)
        flight.engage(q=flight.q + np.random.default_rng(seed).uniform(-2, 2, len(flight.q)))
        flight.fly(1.5)
        assert_smooth(flight)
        assert_tool_within_limits(flight)


# --- the loop


class PerfectArm:
    def __init__(self, name="ur5e"):
        self.kinematics = KINEMATICS[name]
        self.q = self.kinematics.robot.home.copy()
        self.halted = 0
        self.sent = []

    def read(self):
        return ArmState(now(), self.q, np.zeros(6), self.kinematics.forward(self.q), np.zeros(6))

    def servo(self, q, dq):
        self.q = np.array(q)
        self.sent.append(self.q)

    def halt(self):
        self.halted += 1


def test_the_loop_servos_and_publishes_every_tick_and_halts_the_arm_at_the_end():
    arm, station = PerfectArm(), Station("test", 6)
    with LocalBus() as bus:
        published = bus.subscriber(station.control, keep=1000)
        loop = ControlLoop(arm, Controller("ur5e", station, Limits(), True), bus, station)
        done = threading.Event()
        timer = threading.Timer(0.2, done.set)
        timer.start()
        loop.run(done.is_set)
        timer.join()
        records = published.history()
    assert arm.halted == 1
    assert len(arm.sent) >= 20
    assert [int(record["tick"]) for record in records] == list(range(len(arm.sent)))[-len(records) :]
    assert all(record["work"] > 0 for record in records[1:])
    assert records[-1]["mode"] == Mode.HOLD


def test_told_to_stop_in_full_flight_the_loop_brakes_within_the_limits_before_it_halts():
    arm, station = PerfectArm(), Station("test", 6)
    with LocalBus() as bus:
        requests, operators = bus.publisher(REQUEST), bus.publisher(station.operator)
        controls = bus.subscriber(station.control, keep=1000)
        loop = ControlLoop(arm, Controller("ur5e", station, Limits()), bus, station)
        until = now() + 0.5

        def stop():
            requests.send(REQUEST.spec.record(time=now(), mode=Mode.RUN, speed=1.0))
            goal = {"engaged": 1, "kind": TargetKind.POSE, "pose": SOMEWHERE, "grip": 0.05}
            operators.send(station.operator.spec.record(time=now(), **goal))
            return now() > until

        loop.run(stop)
        records = controls.history()
    speed = np.abs([record["target.dq"] for record in records]).max(axis=1)
    assert speed.max() > 0.05
    assert speed[-1] < 1e-3
    assert np.abs(np.diff(speed)).max() < 10.0 * PERIOD + 1e-9
    assert arm.halted == 1


def test_the_loop_halts_the_arm_when_anything_raises():
    class Unplugged(PerfectArm):
        def servo(self, q, dq):
            raise DeviceError("cable out")

    arm, station = Unplugged(), Station("test", 6)
    with LocalBus() as bus:
        loop = ControlLoop(arm, Controller("ur5e", station, Limits()), bus, station)
        with pytest.raises(DeviceError, match="cable out"):
            loop.run(lambda: False)
    assert arm.halted == 1
