import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from ruckig import RuckigError

from robot_stack import trajectory
from robot_stack.station import Station
from robot_stack.trajectory import Follower, sample
from robot_stack.types import TargetKind

PERIOD = 0.002
VELOCITY, ACCELERATION, JERK = np.array([1.5, 2.0]), np.array([10.0, 5.0]), np.array([400.0, 1000.0])
some = settings(deadline=None, derandomize=True, max_examples=30)


def chunk(times, observed=0.0):
    """Moves x by 1 m/s, the joints by 2 rad/s, the gripper by 0.1 m/s."""
    record = Station("s", joints=2).chunk.spec.record(observed=observed, kind=TargetKind.POSE, count=len(times))
    for i, time in enumerate(times):
        record["times"][i] = time
        record["pose"][i] = [time, 0, 0, 0, 0, 0, 1]
        record["q"][i] = 2 * time
        record["grip"][i] = 0.1 * time
    return record


@pytest.mark.parametrize("t", [0.1, 0.13, 0.2, 0.25, 0.3])
def test_between_waypoints_a_chunk_is_straight(t):
    target = sample(chunk([0.1, 0.2, 0.3]), t)
    assert_allclose([target.pose[0], target.q[0] / 2, target.grip * 10], t)


def test_a_chunk_is_nothing_before_its_observation_and_its_first_waypoint_until_that_is_due():
    assert sample(chunk([0.1, 0.2], observed=0.05), 0.04) is None
    assert sample(chunk([0.1, 0.2], observed=0.05), 0.06).pose[0] == 0.1


def test_a_chunk_has_run_out_one_spacing_after_its_last_waypoint():
    assert sample(chunk([0.1, 0.2]), 0.29).pose[0] == 0.2
    assert sample(chunk([0.1, 0.2]), 0.31) is None
    assert sample(chunk([0.1]), 0.19).pose[0] == 0.1
    assert sample(chunk([0.1]), 0.21) is None
    assert sample(chunk([]), 0.0) is None


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_chunk_with_broken_times_has_run_out(broken):
    with np.errstate(invalid="ignore"):
        assert sample(chunk([0.1, broken]), 0.15 if np.isnan(broken) else np.nan) is None


def fly(follower, goals, brake=()):
    motions = [follower.motion]
    for tick, goal in enumerate(goals):
        if tick in brake:
            follower.brake()
        else:
            follower.propose(np.clip(follower.wish(goal), -VELOCITY, VELOCITY))
            follower.go()
        motions.append(follower.motion)
    return [np.array(part) for part in zip(*motions, strict=True)]


def follower():
    return Follower(VELOCITY, ACCELERATION, JERK, PERIOD)


@some
@given(seed=st.integers(0, 2**32 - 1))
def test_acceleration_and_jerk_are_limited_whatever_the_goals_and_whenever_it_brakes(seed):
    rng = np.random.default_rng(seed)
    goals = rng.normal(size=(20, 2)).repeat(rng.integers(1, 40, 20), axis=0) * rng.choice([1e-4, 0.1, 3.0])
    braking = set(np.flatnonzero(rng.random(len(goals)) < 0.3).tolist())
    q, dq, ddq = fly(follower(), goals, braking)
    assert (np.abs(ddq) <= ACCELERATION * (1 + 1e-9)).all()
    assert (np.abs(np.diff(ddq, axis=0)) <= JERK * PERIOD * (1 + 1e-6)).all()
    assert_allclose(np.diff(dq, axis=0), PERIOD * (ddq[1:] + ddq[:-1]) / 2, atol=JERK.max() * PERIOD**2)
    assert_allclose(np.diff(q, axis=0), PERIOD * (dq[1:] + dq[:-1]) / 2, atol=ACCELERATION.max() * PERIOD**2)


def test_a_far_goal_is_reached_fast_without_overshoot():
    goal = np.array([1.0, -1.0])
    q, dq, _ = fly(follower(), [goal] * 1000)
    assert_allclose(q[-1], goal, atol=1e-4)
    assert (np.abs(q) <= 1.002).all()
    assert (np.abs(q[600]) > 0.97).all()  # 0.67 s at full speed, 0.4 s of acceleration
    assert (np.abs(dq) <= VELOCITY * 1.001).all()


def test_a_goal_that_moves_steadily_is_followed_smoothly_and_fifty_milliseconds_behind():
    goals = np.outer(np.arange(1000) * PERIOD, [0.3, 0.3])
    q, dq, ddq = fly(follower(), goals)
    assert_allclose(dq[-100:], 0.3, atol=1e-3)
    assert (np.abs(ddq[-100:]) < 0.01).all()
    assert_allclose(goals[-1] - q[-1], 0.3 / trajectory.STIFFNESS, atol=2e-3)


def test_braking_ends_at_rest_with_all_joints_at_the_same_time():
    moving = follower()
    fly(moving, [np.array([5.0, 0.5])] * 200)
    _, dq, _ = fly(moving, [None] * 400, brake=range(400))
    assert moving.at_rest
    stopped = [int(np.flatnonzero(np.abs(joint) > 1e-3)[-1]) for joint in dq.T]
    assert abs(stopped[0] - stopped[1]) < 25


def test_the_way_to_rest_is_what_braking_then_does():
    moving = follower()
    fly(moving, [np.array([5.0, -5.0])] * 100)
    moving.propose(VELOCITY)
    promised = moving.stopping((0.5, 1.0))[-1]
    moving.go()
    fly(moving, [None] * 400, brake=range(400))
    assert_allclose(moving.motion.q, promised[0], atol=1e-9)


def test_where_ruckig_finds_no_common_way_each_joint_brakes_for_itself(monkeypatch):
    moving = follower()
    fly(moving, [np.array([5.0, 0.5])] * 200)

    class Fails:
        def __init__(self, ruckig):
            self.ruckig = ruckig

        def calculate(self, problem, plan):
            if problem.synchronization == trajectory.Synchronization.Time:
                raise RuckigError("error in step 2")
            self.ruckig.calculate(problem, plan)

    monkeypatch.setattr(moving, "_ruckig", Fails(moving._ruckig))
    fly(moving, [np.array([5.0, 0.5])])
    fly(moving, [None] * 400, brake=range(400))
    assert moving.at_rest
