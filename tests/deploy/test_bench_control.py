"""What `bench control` makes of what it sees, on data whose figures are known; and one short run of it."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from deploy.bench.control import wanted
from deploy.bench.control_chunk import accepted, began
from deploy.bench.control_kills import Committed, worker_name
from deploy.bench.control_latency import delays
from deploy.bench.control_motion import Ramp, held, lag, rms_jerk
from deploy.bench.control_rival import SERVO_JOINTS, SERVO_POSE, joints
from deploy.bench.control_rival_path import RivalPath
from deploy.bench.control_stream import ROTATION, SPACING, SPEED, STEPS, reaches
from deploy.bench.control_timing import at_least, jitter, missed, misses, spread
from deploy.bench.control_trace import CYCLE, HELD, Trace, resting
from deploy.bench.stalls import watching
from robot_stack import pose as se3
from robot_stack.cli import main
from robot_stack.clock import now
from robot_stack.emulators.ur import kinematics
from robot_stack.emulators.ur.emulator import CYCLES
from robot_stack.emulators.ur.inputs import COMMANDS
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot
from robot_stack.safety import Limits
from robot_stack.sim import station
from robot_stack.station import RECORDING
from robot_stack.types import Array, ConfigError, Source

NO_STALLS = np.empty((0, 3))
LIMITS = Limits(joint_velocity=0.5, joint_acceleration=0.5, tcp_speed=0.25)


def pose(x: float, turn: float = 0.0) -> Array:
    result: Array = se3.exp(np.array([0.0, 0.0, 0.0, 0.0, 0.0, turn]))
    result[0] = x
    return result


# --- punctuality ------------------------------------------------------------------------------------------------------


def test_a_command_that_is_late_by_more_than_a_period_is_a_miss_of_ours() -> None:
    found = misses(np.array([0.0, 0.002, 0.006, 0.0101, 0.012]), 0.002, NO_STALLS)
    assert found.machine == ()
    assert found.ours == pytest.approx([0.0041])


def test_a_miss_is_the_machines_when_it_would_have_been_none_without_its_stall() -> None:
    times = np.array([0.0, 0.002, 0.012, 0.014])
    assert misses(times, 0.002, np.array([[0.0, 0.003, 0.0095]])).machine == pytest.approx([0.010])
    assert misses(times, 0.002, np.array([[0.0, 0.003, 0.0060]])).ours == pytest.approx([0.010]), "7 ms are left"


def test_stalls_of_two_cores_at_the_same_time_count_once() -> None:
    stalls = np.array([[0.0, 0.003, 0.0060], [1.0, 0.003, 0.0060]])
    assert misses(np.array([0.0, 0.002, 0.012]), 0.002, stalls).ours


def test_missed_deadlines_of_ours_miss_the_target_and_those_of_the_machine_do_not() -> None:
    late = np.array([0.0, 0.010])
    assert missed("servo", misses(late, 0.002, NO_STALLS))[0].met is False
    assert missed("servo", misses(late, 0.002, np.array([[0.0, 0.001, 0.0095]])))[0].met is True


def test_jitter_is_how_far_periods_are_from_what_they_should_be() -> None:
    assert jitter(np.array([0.0, 0.002, 0.0045, 0.006]), 0.002) == pytest.approx([0.0, 0.0005, 0.0005])
    assert spread("period", [0.002] * 999 + [1.0], "ms").values["max"] == 1.0
    assert at_least("ratio", 2.9, 3.0).met is False


def test_a_process_that_is_stopped_is_no_stall_of_the_machine_and_the_clocks_cost_little() -> None:
    with watching() as watch:
        begun = now()
        time.sleep(1.0)
        stalls, cost = watch.stalls(), watch.cost()
    assert ((stalls[:, 1] > begun - 60.0) & (stalls[:, 2] > stalls[:, 1])).all()
    assert cost < 0.25, "of one core; two percent on a quiet machine"


# --- motion -----------------------------------------------------------------------------------------------------------


def test_the_jerk_of_a_cubic_is_its_sixth_coefficient_whatever_rate_it_was_sent_at() -> None:
    times = np.arange(0.0, 1.0, 0.002)
    assert rms_jerk(times[:, None] ** 3 * [1.0, -1.0], 0.002) == pytest.approx(6.0, rel=1e-3)


def test_a_path_sent_in_larger_steps_jerks_more() -> None:
    def sent(period: float) -> float:
        times = np.arange(0.0, 1.0, period)
        grid = np.arange(0.0, 0.9, 0.002)
        return rms_jerk(held(times, np.sin(4.0 * times)[:, None], grid + 1e-6), 0.002)

    assert sent(0.002) < 0.01 * sent(0.008)


def test_the_lag_is_the_delay_that_fits_best() -> None:
    def asked(times: Array) -> Array:
        return np.stack([np.sin(3.0 * times), np.cos(2.0 * times)], axis=1)

    times = np.arange(0.0, 5.0, 0.01)
    seconds, apart = lag(times, asked(times - 0.137) + [0.001, 0.0], asked)
    assert seconds == pytest.approx(0.137, abs=0.0015)
    assert apart == pytest.approx(0.001, rel=0.1)


def test_the_ramp_is_that_of_the_slowest_joint_within_acceleration_and_jerk() -> None:
    ramp = Ramp(np.array([5.0, 5.0]), np.array([200.0, 200.0]))
    assert ramp.seconds(np.array([0.0, -1.0])) == pytest.approx(1.0 / 5.0 + 5.0 / 200.0)
    assert ramp.seconds(np.array([0.02, 0.0])) == pytest.approx(2.0 * (0.02 / 200.0) ** 0.5), "never at full braking"


def test_an_arm_that_turns_round_is_not_at_rest() -> None:
    times = np.arange(0.0, 2.0, CYCLE)
    dq = np.where(times < 1.0, np.cos(2.0 * np.pi * times), 0.0)[:, None]
    assert resting(times, dq, 0.1) == pytest.approx(1.0, abs=2 * CYCLE)
    assert resting(times[times < 1.0 - HELD], dq[times < 1.0 - HELD], 0.1) == np.inf
    assert resting(times, 0.0 * dq, 0.1) == pytest.approx(0.1, abs=CYCLE)


def traced(q: Array) -> Trace:
    """An arm that does at once what is commanded, each cycle."""
    times = CYCLE * np.arange(len(q))
    cycles, commands = np.zeros(len(q), CYCLES.dtype), np.zeros(len(q), COMMANDS.dtype)
    commands["time"], commands["values"] = times, q
    cycles["time"], cycles["due"], cycles["q"], cycles["commanded"] = times, times, q, q
    cycles["dq"] = np.gradient(q, CYCLE, axis=0)
    return Trace.of(commands, cycles)


def swung(speed: float, seconds: float = 1.0) -> Array:
    """The base swings to and fro from home, with this fastest speed [rad/s] once a second."""
    times = np.arange(0.0, seconds, CYCLE)
    q = np.tile(robot("ur5e").home, (len(times), 1))
    q[:, 0] += speed / (2.0 * np.pi) * np.sin(2.0 * np.pi * times)
    return q


def test_what_is_most_of_its_limit_is_told_by_name() -> None:
    excess = traced(swung(0.4)).excess(robot("ur5e"), LIMITS)
    assert excess["velocity commanded"] == pytest.approx(0.4 / (0.5 * np.pi), rel=0.01)
    assert excess["acceleration commanded"] == pytest.approx(0.4 * 2.0 * np.pi / 5.0, rel=0.01)
    radius = float(np.hypot(*Kinematics("ur5e").forward(robot("ur5e").home)[:2]))
    assert excess["tool speed"] == pytest.approx(0.4 * radius / 0.25, rel=0.05)
    assert excess["position"] < 1.0


def test_an_arm_whose_emulated_controller_was_held_up_is_not_judged() -> None:
    trace = traced(swung(0.4))
    trace.cycles["time"][100:] += 0.05
    assert not trace.is_fair
    assert trace.excess(robot("ur5e"), LIMITS).keys() == {"velocity commanded", "acceleration commanded"}


def test_a_new_loop_that_begins_elsewhere_is_no_motion() -> None:
    trace = traced(swung(0.4))
    times, asked = trace.times.copy(), trace.asked.copy()
    times[250:] += 1.0
    asked[250:] += 0.02
    apart = Trace(times, asked, trace.cycles).excess(robot("ur5e"), LIMITS)
    assert apart["velocity commanded"] < 1.0
    asked_at_once = Trace(trace.times, asked, trace.cycles).excess(robot("ur5e"), LIMITS)
    assert asked_at_once["velocity commanded"] > 1.0, "but within a motion it is a jump"


def test_commands_that_end_are_rest_from_then_on() -> None:
    trace = traced(swung(0.4, 0.5))
    assert trace.commanded_rest(0.1) == pytest.approx(0.5, abs=0.01)
    assert trace.speed(0.0, 0.2).max() == pytest.approx(0.4, rel=0.01)


# --- latency ----------------------------------------------------------------------------------------------------------


def test_a_motion_begins_with_the_first_command_that_moves_more_than_rest_does() -> None:
    times = CYCLE * np.arange(500)
    creep = 1e-9 * np.arange(500.0)
    q = (creep + np.where(times > 0.5, (times - 0.5) ** 3, 0.0))[:, None]
    (found,) = delays([0.495], times, q)
    assert 0.005 <= found <= 0.012
    assert delays([0.2], times[:240], q[:240]) == [], "nothing moved"


def test_a_chunk_flown_by_the_tick_under_way_or_the_next_passed_no_tick() -> None:
    table = ticks(flies=50)
    assert began(table, CYCLE) == pytest.approx(10.0 + CYCLE * np.arange(1, 99), abs=2e-5)
    due = 10.0 + 50 * CYCLE
    assert accepted(table, CYCLE, due - 0.0010, due - 0.0009) == (pytest.approx(0.001, abs=2e-5), 0)
    assert accepted(table, CYCLE, due - 0.0030, due - 0.0029)[1] == 1, "the tick before began after it, in vain"


def ticks(flies: int) -> Array:
    """Records of 100 ticks as they are heard: heard, tick, missed, late, work of the tick before, source."""
    table = np.zeros((100, 6))
    work, heard = 0.0003, np.random.default_rng(0).uniform(0.0, 0.004, 100)
    heard[7] = 0.0
    table[:, 1] = np.arange(100)
    table[:, 0] = 10.0 + CYCLE * table[:, 1] + work + heard
    table[:, 4] = work
    table[flies:, 5] = Source.POLICY
    return table


# --- the rival --------------------------------------------------------------------------------------------------------


def test_the_rival_goes_straight_from_waypoint_to_waypoint() -> None:
    path = RivalPath([0.0], [pose(0.0)])
    path = path.scheduled(pose(0.01, 0.02), 0.2, now=0.1, last=0.0)
    path = path.scheduled(pose(0.03), 0.3, now=0.1, last=0.2)
    assert path.at(0.05)[0] == 0.0
    assert path.at(0.15) == pytest.approx(pose(0.005, 0.01))
    assert path.at(0.25)[0] == pytest.approx(0.02)
    assert path.at(9.0)[0] == pytest.approx(0.03)


def test_a_waypoint_that_is_past_changes_nothing() -> None:
    path = RivalPath([0.0, 1.0], [pose(0.0), pose(1.0)])
    assert path.scheduled(pose(5.0), 0.4, now=0.5, last=1.0) is path


def test_an_earlier_waypoint_replaces_what_was_to_follow() -> None:
    path = RivalPath([0.0, 1.0], [pose(0.0), pose(0.1)])
    changed = path.scheduled(pose(0.0), 0.8, now=0.5, last=1.0)
    assert changed.times == pytest.approx([0.5, 0.8])
    assert changed.at(0.65)[0] == pytest.approx(0.025)


def test_the_rival_is_late_rather_than_too_fast() -> None:
    path = RivalPath([0.0], [pose(0.0)]).scheduled(pose(0.1), 0.2, now=0.1, last=0.0, speed=0.25)
    assert path.times[-1] == pytest.approx(0.1 + 0.1 / 0.25)
    turned = RivalPath([0.0], [pose(0.0)]).scheduled(pose(0.0, 0.16), 0.2, now=0.1, last=0.0, rotation=0.16)
    assert turned.times[-1] == pytest.approx(1.1)


def test_what_is_asked_is_under_the_limits_of_both_and_turns_round() -> None:
    stream = reaches(Kinematics("ur5e").forward(robot("ur5e").home), 20.0, seed=1)
    steps = [se3.distance(a, b) for a, b in zip(stream.poses, stream.poses[1:], strict=False)]
    assert max(metres for metres, _ in steps) / SPACING <= 1.01 * SPEED
    assert max(radians for _, radians in steps) / SPACING <= 1.01 * ROTATION
    assert (np.diff(np.sign(np.diff(stream.poses[:, 1]))) != 0).sum() > 5
    assert stream.seconds >= 20.0


def test_a_chunk_holds_the_next_waypoints_and_the_last_is_shorter() -> None:
    where = station("ur5e", "lift")
    stream = reaches(Kinematics("ur5e").forward(robot("ur5e").home), 3.0, seed=1)
    chunk = stream.chunk(where, 4, begins=100.0, now=100.1)
    assert chunk["count"] == STEPS
    assert chunk["times"][:2] == pytest.approx([100.4, 100.5])
    assert chunk["pose"][0] == pytest.approx(stream.poses[4])
    assert stream.chunk(where, len(stream.poses) - 3, 100.0, 100.1)["count"] == 3


def test_poses_that_the_rival_commands_are_compared_as_joints() -> None:
    tool = np.array([0.0, 0.0, 0.156, 0.0, 0.0, -(0.5**0.5), 0.5**0.5])
    q = robot("ur5e").home + 0.05
    ur = kinematics.ur_pose(se3.compose(kinematics.forward(q.tolist()), tool))
    commands = np.zeros(2, COMMANDS.dtype)
    commands["command"], commands["values"] = [SERVO_POSE, SERVO_JOINTS], [ur, q]
    assert joints(commands, robot("ur5e").home, tool) == pytest.approx(np.stack([q, q]), abs=1e-9)


# --- kills and the verb -----------------------------------------------------------------------------------------------


def test_the_name_of_a_worker_is_read_off_its_command_line() -> None:
    command = ["python", "-u", "-m", "deploy.worker", "camera", "camera.front", "session", "camera.json"]
    assert worker_name(command) == "camera.front"
    assert worker_name(["python", "-m", "robot_stack", "deploy"]) == ""


def test_commits_are_counted_over_the_lives_of_recorders() -> None:
    said = [[RECORDING.spec.record(committed=number) for number in numbers] for numbers in ([0, 1, 2], [0, 0, 1])]
    recorder = Committed(cast(Any, SimpleNamespace(drain=lambda: said.pop(0))))
    recorder.listen(), recorder.listen()
    assert recorder.told == 3


def test_a_part_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    assert wanted(["kills", "latency"]) == ["latency", "kills"]
    with pytest.raises(ConfigError, match=r"no part losess .* losses"):
        wanted(["losess"])


def test_a_short_run_measures_targets_and_chunks_through_the_real_library(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    code = main(["bench", "control", "parts=[latency,chunk]", "targets=3", "chunks=2", f"out={out}"])
    figures = json.loads(out.read_text())["figures"]
    assert code in (0, 1), "whether this machine is quick enough now is not what is tested"
    motion = next(value for name, value in figures.items() if name.startswith("target to first commanded motion"))
    assert 0.0 < motion["values"]["p50"] < 0.5
    assert any(name.startswith("2 chunks of 16 waypoints") for name in figures)
    assert os.listdir(tmp_path) == ["figures.json"]
