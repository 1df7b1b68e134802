import numpy as np
import pytest

from robot_stack.lockstep import Lockstep
from robot_stack.spec import Record
from robot_stack.types import Mode, Source
from teleop import View
from teleop.lockstep import operator
from teleop.scripted import ScriptedOperator


def attempt(lockstep: Lockstep, person: ScriptedOperator, seed: int) -> list[Record]:
    """The rows of one attempt."""
    lockstep.reset(seed)
    ask = operator(person, lockstep.station)
    rows = []
    while not lockstep.done:
        rows.append(lockstep.advance(None, ask))
    return rows


@pytest.mark.parametrize("robot", ["ur5e", "fr3"])
def test_the_scripted_person_lifts_the_cube_at_human_speed(robot: str) -> None:
    lockstep = Lockstep(robot, "lift")
    person = ScriptedOperator(robot, "lift")
    for seed in range(4):
        rows = attempt(lockstep, person, seed)
        assert lockstep.success, f"seed {seed}"
        assert 2.5 < lockstep.time < 8.0
        assert not np.any([row["limited"] for row in rows]), "a person stays inside the limits"


@pytest.mark.parametrize("task", ["push_t", "peg"])
def test_the_scripted_person_knows_the_other_tasks(task: str) -> None:
    lockstep = Lockstep("ur5e", task)
    attempt(lockstep, ScriptedOperator("ur5e", task), 1)
    assert lockstep.success


def test_nothing_jumps_when_the_person_takes_the_arm() -> None:
    lockstep = Lockstep("ur5e", "lift")
    ask = operator(ScriptedOperator("ur5e", "lift", reaction=0.2), lockstep.station)
    before = lockstep.observe(1)[0]
    while (row := lockstep.advance(None, ask))["source"] != Source.OPERATOR:
        before = row
    assert row["time"] >= 0.2
    assert np.linalg.norm(row["requested.pose"][:3] - before["target.pose"][:3]) < 0.02
    assert np.linalg.norm(row["target.pose"][:3] - before["target.pose"][:3]) < 0.02


def test_two_attempts_at_one_start_differ_and_one_person_repeats_itself() -> None:
    lockstep = Lockstep("ur5e", "lift")
    first = np.stack(attempt(lockstep, ScriptedOperator("ur5e", "lift", seed=1), 3))
    again = np.stack(attempt(lockstep, ScriptedOperator("ur5e", "lift", seed=1), 3))
    other = np.stack(attempt(lockstep, ScriptedOperator("ur5e", "lift", seed=2), 3))
    np.testing.assert_array_equal(first, again)
    shared = min(len(first), len(other))
    assert np.abs(first["pose"][:shared] - other["pose"][:shared]).max() > 0.02


def test_the_person_does_nothing_while_the_arm_may_not_run() -> None:
    lockstep = Lockstep("ur5e", "lift")
    assert lockstep.control["mode"] == Mode.HOLD
    view = View(lockstep.control, lockstep._grip_record, lockstep._truth)
    person = ScriptedOperator("ur5e", "lift")
    assert not any(person.read(t, view).engaged for t in (0.0, 1.0, 2.0))


def test_a_watcher_takes_over_only_after_patience_and_reaction_when_nothing_happens() -> None:
    lockstep = Lockstep("ur5e", "lift")
    person = ScriptedOperator("ur5e", "lift", mode="supervise", patience=1.0, reaction=0.4)
    rows = attempt(lockstep, person, 2)
    taken = next(float(row["time"]) for row in rows if row["source"] == Source.OPERATOR)
    assert 1.4 <= taken <= 1.4 + 0.2 + 0.2
    assert lockstep.success


def test_a_watcher_who_helped_enough_hands_back() -> None:
    lockstep = Lockstep("ur5e", "lift")
    person = ScriptedOperator("ur5e", "lift", mode="supervise", patience=1.0, recovery=0.1)
    lockstep.reset(2)
    ask = operator(person, lockstep.station)
    sources = [int(lockstep.advance(None, ask)["source"]) for _ in range(60)]
    changes = [a for a, b in zip([*sources, -1], [-1, *sources], strict=True) if a != b]
    assert changes[:3] == [Source.NOBODY, Source.OPERATOR, Source.NOBODY]


def test_a_person_says_success_after_having_seen_it() -> None:
    lockstep = Lockstep("ur5e", "lift")
    person = ScriptedOperator("ur5e", "lift", reaction=0.3)
    attempt(lockstep, person, 0)
    view = View(lockstep.control, lockstep._grip_record, lockstep._truth)
    assert person.read(lockstep.time, view).verdict == -1
    assert person.read(lockstep.time + 0.5, view).verdict == 1
