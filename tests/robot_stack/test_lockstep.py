import numpy as np
import pytest

from robot_stack.lockstep import Lockstep
from robot_stack.pose import IDENTITY
from robot_stack.spec import Record
from robot_stack.types import Array, Mode, Source, TargetKind


@pytest.fixture(scope="module")
def lockstep() -> Lockstep:
    return Lockstep("ur5e", "lift")


def plan(lockstep: Lockstep, shift: float, seconds: float = 1.0) -> Record:
    """A chunk that moves the tool by `shift` [m] along x from where it is now, and stays there."""
    pose = lockstep.observe(1)[0]["target.pose"].copy()
    pose[0] += shift
    record = np.zeros((), lockstep.station.chunk.spec.dtype)
    record["pose"][:] = IDENTITY
    record["time"] = record["observed"] = record["pictured"] = lockstep.time
    record["source"], record["kind"], record["count"] = Source.POLICY, TargetKind.POSE, 2
    record["times"][:2] = lockstep.time + 0.5 * seconds, lockstep.time + seconds
    record["pose"][:2], record["grip"][:2] = pose, 0.05
    return record


def hold(engaged: bool, pose: Array | None = None):  # type: ignore[no-untyped-def]
    """An operator who holds a pose, or where the tool was sent at first."""
    kept: list[Array] = [] if pose is None else [pose]

    def ask(now: float, control: Record, gripper: Record, world: Record) -> Record:
        kept.append(control["target.pose"].copy())
        record = np.zeros((), OPERATOR.dtype)
        record["time"], record["engaged"], record["kind"] = now, engaged, TargetKind.POSE
        record["pose"], record["grip"], record["verdict"] = kept[0], 0.05, -1
        return record

    return ask


OPERATOR = Lockstep("ur5e", "lift").station.operator.spec


def test_a_row_is_one_period_and_every_stream_is_as_fresh_as_in_the_service(lockstep: Lockstep) -> None:
    lockstep.reset(1)
    first = lockstep.observe(1)[0]
    row = lockstep.advance(None)
    assert row["time"] - first["time"] == pytest.approx(0.1)
    assert lockstep.time == pytest.approx(0.1)
    assert 0.0 <= row["time"] - row["state.time"] <= 0.002 + 1e-9
    assert 0.0 <= row["time"] - row["grip.time"] <= 0.02 + 1e-9
    assert 0.0 <= row["time"] - row["objects.time"] <= 0.02 + 1e-9


def test_history_repeats_the_first_row_until_there_is_more(lockstep: Lockstep) -> None:
    lockstep.reset(1)
    rows = lockstep.observe(3)
    assert [float(row["time"]) for row in rows] == [0.0, 0.0, 0.0]
    lockstep.advance(None)
    assert [round(float(row["time"]), 6) for row in lockstep.observe(3)] == [0.0, 0.0, 0.1]


def test_nobody_flies_without_a_chunk_and_the_arm_holds(lockstep: Lockstep) -> None:
    lockstep.reset(1)
    for _ in range(5):
        row = lockstep.advance(None)
    assert row["source"] == Source.NOBODY
    assert np.abs(row["q"] - lockstep.world.robot.home).max() < 1e-3


def test_a_chunk_is_flown_and_when_it_ran_out_the_arm_holds(lockstep: Lockstep) -> None:
    lockstep.reset(1)
    before = lockstep.observe(1)[0]["pose"].copy()
    row = lockstep.advance(plan(lockstep, 0.05))
    assert row["source"] == Source.POLICY
    for _ in range(25):
        row = lockstep.advance(None)
    assert row["source"] == Source.NOBODY
    assert row["pose"][0] - before[0] == pytest.approx(0.05, abs=2e-3)
    assert row["grip"] == pytest.approx(0.05, abs=2e-3)


def test_a_chunk_is_seen_only_after_the_latency() -> None:
    lockstep = Lockstep("ur5e", "lift", latency=0.15)
    assert lockstep.advance(plan(lockstep, 0.05))["source"] == Source.NOBODY
    assert lockstep.advance(None)["source"] == Source.POLICY


def test_an_engaged_operator_flies_whatever_the_policy_wants(lockstep: Lockstep) -> None:
    lockstep.reset(1)
    chunk = plan(lockstep, 0.1, seconds=2.0)
    row = lockstep.advance(chunk, hold(engaged=True))
    assert row["source"] == Source.OPERATOR
    assert row["proposed.pose"][0] == pytest.approx(chunk["pose"][0, 0])
    row = lockstep.advance(plan(lockstep, 0.1), hold(engaged=False))
    assert row["source"] == Source.POLICY


def test_an_attempt_that_safety_stopped_does_not_stop_the_next(lockstep: Lockstep) -> None:
    lockstep.reset(1)
    broken = plan(lockstep, 0.1)
    broken["pose"] = np.nan
    assert lockstep.advance(broken)["mode"] == Mode.STOP
    lockstep.reset(2)
    row = lockstep.advance(plan(lockstep, 0.1))
    assert (row["mode"], row["source"]) == (Mode.RUN, Source.POLICY)


def test_the_same_seed_and_chunks_give_the_same_rows(lockstep: Lockstep) -> None:
    def fly() -> list[Record]:
        lockstep.reset(4)
        return [lockstep.advance(plan(lockstep, 0.02)) for _ in range(5)]

    np.testing.assert_array_equal(np.stack(fly()), np.stack(fly()))


def test_an_attempt_ends_with_the_time_limit_and_no_success(lockstep: Lockstep) -> None:
    lockstep.reset(1)
    limit = lockstep.world.task.limit
    rows = 0
    while not lockstep.done:
        lockstep.advance(None)
        rows += 1
    assert rows == round(limit * lockstep.rate)
    assert not lockstep.success
    assert lockstep.score == 0.0


def test_pictures_are_in_the_rows_and_a_little_old() -> None:
    lockstep = Lockstep("ur5e", "lift", {"front": (48, 64)})
    row = lockstep.advance(None)
    assert row["image.front"].shape == (48, 64, 3)
    assert row["image.front"].std() > 10.0
    assert row["time"] - row["image.front.time"] == pytest.approx(0.02)
    lockstep.world.close()
