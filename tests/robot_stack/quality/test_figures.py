"""All figures of a store in one go, what stands out, and what `data quality` prints."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from robot_stack.cli import main
from robot_stack.quality.demonstrations import demonstration
from robot_stack.quality.figures import measure
from robot_stack.quality.worst import reasons
from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.types import ConfigError
from tests.robot_stack.quality.demonstrators import SPEC, store_of, task, with_detour

PUSHT = Path(__file__).parents[4] / "shared" / "data" / "pusht_human_v7" / "lowdim.npz"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six of Ada's, six of Bob's; Bob's last has a detour."""
    rng = np.random.default_rng(0)
    paths = [task(rng) for _ in range(12)]
    paths[11], _ = with_detour(paths[11], 0.4, 24, rng)
    return store_of(tmp_path_factory.mktemp("figures") / "s", paths, ["ada"] * 6 + ["bob"] * 6)


def test_every_figure_of_every_episode_operator_and_of_the_store_is_there(store: Store) -> None:
    done: list[int] = []
    found = measure(store.episodes, done.append, base="ada")
    assert done == list(range(1, 13))
    assert [group.name for group in found.operators] == ["ada", "bob"]
    assert found.store is not None
    assert found.store.rows == sum(len(episode) for episode in store.episodes)
    assert found.store.saco == 1.0
    assert found.store.tq == 1.0
    for row in found.episodes:
        figures = asdict(row)
        assert figures.pop("compatibility") is None or row.operator == "bob"
        assert None not in figures.values()
    assert found.notes == []
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["store"]["episodes"] == 12


def test_the_episode_with_the_detour_is_named_with_its_rows(store: Store) -> None:
    found = measure(store.episodes)
    assert [row.id for row in found.episodes if row.suspicious] == ["ep-000011"]
    (segment,) = found.episodes[11].suspicious
    begin = round((len(store.episodes[11]) - 24) * 0.4)
    assert abs(segment.start - begin) <= 4
    assert abs(segment.stop - (begin + 24)) <= 4
    (first, *_) = [reason for reason in reasons(found.episodes) if reason.figure == "suspicious"]
    assert first.episode == "ep-000011"
    assert f"rows {segment.start} to {segment.stop}" in first.what


def test_what_cannot_be_said_is_said_to_be_so(tmp_path: Path) -> None:
    paths = [np.cumsum(np.random.default_rng(n).normal(0, 0.1, (40, 3)), axis=0) for n in range(4)]
    found = measure(store_of(tmp_path / "s", paths, verdict="unknown").episodes)
    assert any("no verdict is known" in note for note in found.notes)
    assert any("cannot be aligned" in note for note in found.notes)
    assert found.store is not None
    assert found.store.tq is None
    assert found.store.action_variance[30] is None or found.store.action_variance[30] > 0
    assert measure([]).notes == ["there are no episodes"]


def test_rows_without_a_state_are_not_measured(tmp_path: Path) -> None:
    spec = Spec([Field("time"), Field("count", dtype="i8")])
    with Store.create(tmp_path / "s", spec, {"name": "cell", "rate": 10.0}) as made:
        writer = made.writer({"kind": "collect"})
        writer.append(spec.record(time=0.0))
        writer.commit("success")
    found = measure(made.episodes)
    assert found.store is None
    assert "no field that could be a state" in found.notes[0]


def test_a_base_operator_who_is_not_there_is_refused_with_those_who_are(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"base='eve' has 0 demonstrations, at least 5 .* ada, bob"):
        measure(store.episodes, base="eve")


def test_states_are_the_tool_and_the_gripper_and_actions_are_seen_from_the_tool(tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    with Store.create(tmp_path / "s", SPEC, {"name": "cell", "rate": 10.0}) as made:
        writer = made.writer({"kind": "collect"})
        for sign in (1.0, -1.0):  # q and -q are one rotation
            row = SPEC.record(time=sign + 1.0, grip=0.04)
            row["pose"] = np.array([0.5, 0.1, 0.2, 0, 0, half, half])
            row["target.pose"] = np.array([0.6, 0.1, 0.2, *(sign * np.array([0, 0, half, half]))])
            row["target.grip"] = 0.08
            writer.append(row)
        writer.commit("success")
    found = demonstration(made.episodes[0])
    assert found.body == found.states.shape[1] == 3 + 6 + 1
    assert found.states[0] == pytest.approx([0.5, 0.1, 0.2, 0, 1, 0, -1, 0, 0, 0.04], abs=1e-12)
    for action in found.actions:
        assert action == pytest.approx([0.1, 0, 0, 0, 0, 0, 0.08], abs=1e-12)


def test_rows_that_are_not_finite_are_left_out_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    path = task(np.random.default_rng(0), 40)
    path[10:13] = np.nan
    (episode,) = store_of(tmp_path / "s", [path]).episodes
    found = demonstration(episode)
    assert found.rows.tolist() == [*range(9), *range(13, 40)]  # 9 is sent to where row 10 is
    assert np.isfinite(found.actions).all()


@pytest.mark.skipif(not PUSHT.exists(), reason="the PushT demonstrations are not here")
def test_real_demonstrations_of_pusht_are_measured(tmp_path: Path) -> None:
    spec = Spec([Field("time"), Field("agent", (2,), unit="px"), Field("block", (3,), unit="px,px,rad")])
    spec += Spec([Field("target.position", (2,), unit="px")])
    with np.load(PUSHT) as data, Store.create(tmp_path / "s", spec, {"name": "pusht", "rate": 10.0}) as made:
        ends, states, actions = data["episode_ends"][:30], data["state"], data["action"]
        for start, stop in zip([0, *ends[:-1]], ends, strict=True):
            writer = made.writer({"kind": "import"})
            for step in range(start, stop):
                row = spec.record(time=(step - start) / 10)
                row["agent"], row["block"] = states[step, :2], states[step, 2:]
                row["target.position"] = actions[step]
                writer.append(row)
            writer.commit("unknown")
    found = measure(made.episodes)
    assert found.store is not None
    assert found.store.rows == ends[-1]
    assert 0.2 < (found.store.action_variance[10] or 0) < 1.2  # people differ, but the state says something
    assert found.store.suspicious is None  # starts differ: it does not pretend to align them
    assert any("cannot be aligned" in note for note in found.notes)


def test_data_quality_prints_operators_and_what_is_worth_a_look(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in store.path.rglob("*"))
    assert main(["data", "quality", f"store={store.path}", "by=operator", "base=ada"]) == 0
    printed = capsys.readouterr().out
    lines = [line.split()[0] for line in printed.splitlines() if line.strip()]
    assert lines[:4] == ["operator", "ada", "bob", "all"]
    assert "ep-000011" in printed
    assert "trim?" in printed
    assert "- starts of pose cover" in printed
    assert sorted(path.name for path in store.path.rglob("*")) == before


def test_data_quality_compares_a_filter_with_chance(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "quality", f"store={store.path}", "filter=jerk"]) == 0
    printed = capsys.readouterr().out
    assert "Keeping the best 80% by jerk" in printed
    assert "Nothing was left out of the store." in printed


def test_data_quality_draws_the_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    made = store_of(tmp_path / "s", [task(rng, 40) for _ in range(20)])
    assert main(["data", "quality", f"store={made.path}", "--scaling"]) == 0
    printed = capsys.readouterr().out
    assert "power law with floor" in printed
    assert "loss with 40" in printed
    assert "it is no success rate" in printed


@pytest.mark.parametrize(
    ("override", "refusal"),
    [
        ("by=task", "by=task: there is no such group; there is: operator"),
        ("filter=beauty", "filter=beauty: there is no such figure; there are: duration"),
        ("keep=1.5", "keep=1.5: expected a share between 0 and 1"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    store: Store, override: str, refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "quality", f"store={store.path}", override]) == 2
    assert refusal in capsys.readouterr().err
