"""Whatever is asked, measured or said about the time, the setpoint stays inside every limit and can come to rest.

FUZZ=2000 in the environment draws that many stories an arm and cell instead of a few, and others each time.
"""

import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from robot_stack import pose as se3
from robot_stack.collision import CURVE, Surroundings
from robot_stack.control import Controller
from robot_stack.kinematics import Kinematics
from robot_stack.limits import Limits, Neighbour
from robot_stack.robots import ROBOTS
from robot_stack.station import REQUEST, Station
from robot_stack.types import ArmState, GripperState, Mode, Source, TargetKind

PERIOD = 0.002
FUZZ = int(os.environ.get("FUZZ", "0"))
some = settings(
    deadline=None,
    derandomize=not FUZZ,
    max_examples=FUZZ or 8,
    database=None,
    phases=[Phase.generate],  # a story takes seconds: to shrink one takes too long
    suppress_health_check=[HealthCheck.too_slow],
)
BRAKING = 150
"""Ticks after which a lower override is in force: a joint at half its speed needs 0.2 s to rest."""

ARMS = {name: Kinematics(name) for name in ("ur5e", "fr3")}
OTHER = Neighbour("fr3", [1.05, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
CELLS = {
    "open": Limits(),
    "full": Limits(
        box_min=(-0.85, -0.85, -0.2),
        box_max=(0.85, 0.85, 1.2),
        keep_out={"post": ([0.3, 0.25, 0.0], [0.5, 0.35, 0.5]), "shelf": ([-0.5, -0.8, 0.6], [0.3, -0.4, 0.65])},
        neighbours={"other": OTHER},
        tilt=0.8,
    ),
    "wide": Limits(
        box_min=(-1.5, -1.5, -1.0), box_max=(1.5, 1.5, 2.0), tcp_speed=5.0, tcp_rotation=30.0, joint_velocity=1.0
    ),
}

stories = st.lists(
    st.tuples(
        st.integers(1, 80),  # ticks
        st.sampled_from(["operator"] * 3 + ["policy", "script", "both", "hold", "home", "stop", "silent", "guide"]),
        st.sampled_from([TargetKind.POSE, TargetKind.JOINTS, TargetKind.POSE, TargetKind.JOINTS, TargetKind.NONE, 7]),
        st.integers(0, 2**32 - 1),  # seed of the target
        st.sampled_from([0.01, 0.3, 1.0, 3.0, 100.0]),  # how wild it is
        st.sampled_from([1.0] * 5 + [0.3, 0.1, 0.0, -1.0, 9.0, np.nan]),  # speed override
        st.sampled_from([0.0] * 15 + [np.nan, np.inf, -np.inf, 1e300]),  # what is broken about the target
        st.sampled_from([""] * 20 + list("nfjopwcCs")),  # what is broken about the measurement, or the clock
    ),
    min_size=5,
    max_size=12,
)


class Flight:
    """A controller, an arm that is always where it was sent, and everyone who could say something wrong."""

    def __init__(self, name, limits, seed):
        self.kinematics, self.limits = ARMS[name], limits
        self.station = Station("test", self.kinematics.joints)
        self.controller = Controller(name, self.station, limits)
        self.around = Surroundings(name, limits)
        self.now, self.q = 10.0, self.kinematics.robot.home.copy()
        self.request = self.operator = self.chunk = None
        self.q_sent, self.speeds, self.led = [], [], []
        if limits.neighbours:
            other = ROBOTS[limits.neighbours["other"].robot].home
            self.other = other + np.random.default_rng(seed).uniform(-0.5, 0.5, len(other)) * np.abs(other).clip(0.5)
        self.see()
        self.controller.seed(self.state())

    def see(self):
        for safety in (self.controller._safety, self.around) if self.limits.neighbours else ():
            safety.see_neighbour("other", self.other, 0.0)

    def state(self):
        n = self.kinematics.joints
        return ArmState(self.now, self.q, np.zeros(n), self.kinematics.forward(self.q), np.zeros(6))

    def step(self, mishap=""):
        self.now += PERIOD
        self.see()
        state, now = self.state(), self.now
        match mishap:
            case "n":
                state = replace(state, q=self.q * np.nan)
            case "f":
                state = replace(state, fault="reflex")
            case "j":
                state = replace(state, q=self.q + 0.3)
            case "o":
                state = replace(state, time=now - 1.0)
            case "p":
                state = replace(state, time=now + 1.0)
            case "w":
                state = replace(state, wrench=np.full(6, 1e4))
            case "c":
                now -= 5.0
            case "C":
                now += 5.0
            case "s":
                state = replace(state, dq=np.zeros(3))
        grip = GripperState(self.now, 0.05)
        record = self.controller.step(now, state, grip, self.request, self.operator, self.chunk)
        self.station.control.spec.check(record)
        self.q = record["target.q"].copy()
        self.q_sent.append(self.q)
        self.speeds.append(float(record["speed"]))
        self.led.append(mishap == "f" or int(record["requested.kind"]) == TargetKind.GUIDE)
        return record["reason"].item().decode()

    def send(self, sender, kind, seed, wildness, speed, broken):
        rng, home = np.random.default_rng(seed), self.kinematics.robot.home
        pose = se3.compose(self.kinematics.forward(home), se3.exp(min(wildness, 3.0) * rng.normal(size=6)))
        pose[:3] *= max(1.0, wildness / 3.0)
        q = home + wildness * rng.normal(size=len(home))
        with np.errstate(invalid="ignore"):
            pose[int(rng.integers(7))] += broken
            q[int(rng.integers(len(q)))] += broken
        if sender == "guide":
            sender, kind = "operator", TargetKind.GUIDE
        modes = {"hold": Mode.HOLD, "home": Mode.HOME, "stop": Mode.STOP}
        stopped = bool(self.controller.stopped)
        mode = Mode.HOLD if stopped else modes.get(sender, Mode.RUN)
        self.request = REQUEST.spec.record(time=self.now + PERIOD, mode=mode, speed=speed, reset=stopped)
        asked = {"kind": kind, "pose": pose, "q": q, "grip": 0.04}
        flies = sender in ("operator", "both")
        self.operator = self.station.operator.spec.record(time=self.now + PERIOD, engaged=flies, **asked)
        if sender in ("policy", "script", "both"):
            source, times = Source.SCRIPT if sender == "script" else Source.POLICY, {"observed": self.now, "count": 2}
            self.chunk = self.station.chunk.spec.record(pictured=self.now, source=source, **times, **asked)
            self.chunk["times"][:2] = self.now, self.now + 0.1
            self.chunk["pose"][1:], self.chunk["q"][1:] = self.kinematics.forward(home), home

    def live(self, story):
        for ticks, sender, kind, seed, wildness, speed, broken, mishap in story:
            self.send(sender, kind, seed, wildness, speed, broken)
            for tick in range(ticks):
                if sender != "silent":
                    self.request["time"] = self.operator["time"] = self.now + PERIOD
                self.step(mishap if tick == ticks // 2 or mishap == "w" else "")
        self.request = None  # its sender is gone: whatever it was doing, the arm comes to rest
        for _ in range(300):
            self.step()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ARMS)
@some
@given(story=stories, seed=st.integers(0, 2**32 - 1))
@pytest.mark.timeout(0 if FUZZ else 120)
def test_no_limit_is_exceeded_whatever_anyone_says_and_the_arm_comes_to_rest(name, cell, story, seed):
    flight = Flight(name, CELLS[cell], seed)
    assume(flight.around.room(flight.q) > 0.0)  # of the neighbour, whose posture is drawn
    flight.live(story)
    assert flight.controller.at_rest
    assert_motion_within_limits(flight)
    assert_places_within_limits(flight)


def assert_motion_within_limits(flight):
    """Of joints and TCP, from one setpoint to the next; where a hand or the arm's own controller leads, they follow."""
    robot, limits = flight.kinematics.robot, flight.limits
    q = np.array([robot.home] * 3 + flight.q_sent)
    led = np.array([False] * 3 + flight.led)
    free = ~(led[3:] | led[2:-1] | led[1:-2] | led[:-3])
    dq = np.diff(q, axis=0) / PERIOD
    ddq = np.diff(dq, axis=0) / PERIOD
    dddq = np.diff(ddq, axis=0) / PERIOD
    assert (np.abs(dq[2:]) <= limits.joint_velocity * robot.velocity * (1 + 1e-6))[free].all()
    assert (np.abs(ddq[1:]) <= limits.joint_acceleration * robot.acceleration * (1 + 1e-6))[free].all()
    assert (np.abs(dddq) <= limits.joint_jerk * robot.jerk * (1 + 1e-3))[free].all()
    poses = [flight.kinematics.forward(joints) for joints in q[2:]]
    steps = np.array([se3.distance(a, b) for a, b in pairwise(poses)])
    speeds = np.array([max(flight.speeds[max(0, tick - BRAKING) : tick + 1]) for tick in range(len(steps))])
    assert (steps[:, 0] <= speeds * limits.tcp_speed * PERIOD * (1 + 1e-6))[free].all()
    assert (steps[:, 1] <= speeds * limits.tcp_rotation * PERIOD * (1 + 1e-6))[free].all()
    assert (np.abs(dq[2:]) <= speeds[:, None] * limits.joint_velocity * robot.velocity * (1 + 1e-6))[free].all()


def assert_places_within_limits(flight):
    robot, limits = flight.kinematics.robot, flight.limits
    q = np.array(flight.q_sent)
    assert (q >= robot.lower).all()
    assert (q <= robot.upper).all()
    points = np.array([flight.kinematics.position(joints) for joints in q])
    assert (points >= np.array(limits.box_min)).all()
    assert (points <= np.array(limits.box_max)).all()
    assert max(flight.kinematics.lean(joints) for joints in q) <= limits.tilt
    assert min(flight.around.room(joints) for joints in q) >= -CURVE


BETWEEN = Limits(box_min=(-0.85, -0.85, 0.05), box_max=(0.85, 0.85, 1.2))
FACING = [1.05, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
"""Of an arm that looks back at us; seen from either."""


@pytest.mark.parametrize("seed", range(FUZZ or 3))
def test_two_arms_that_are_flown_into_each_other_stop_apart(seed):
    """Each knows only where the other is; so both may brake towards each other from the limit on."""
    rng = np.random.default_rng(seed)
    left, right = (
        Flight(name, replace(BETWEEN, neighbours={"other": Neighbour(other, FACING)}), seed)
        for name, other in (("ur5e", "fr3"), ("fr3", "ur5e"))
    )
    reasons, rooms = set(), []
    for tick in range(500):
        for flight, other in ((left, right), (right, left)):
            flight.other = other.q
            if tick % 250 == 0:
                flight.send("operator", TargetKind.POSE, 0, 0.0, 1.0, 0.0)
                flight.operator["pose"][:3] = rng.uniform([0.45, -0.2, 0.2], [0.65, 0.2, 0.4])
            flight.request["time"] = flight.operator["time"] = flight.now + PERIOD
            reasons.add(flight.step().split(":")[0])
        rooms.append(left.around.room(left.q))
    assert "neighbour other" in reasons
    assert min(rooms) > -0.08, "2 cm at least are left of 10"
    assert_motion_within_limits(left)
    assert_motion_within_limits(right)
