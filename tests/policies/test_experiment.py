"""The harness of experiments with takeovers: person, gate, stores, statistics, and all of it together."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from policies.experiment.arms import ARMS, chosen
from policies.experiment.flights import create, demonstrate
from policies.experiment.gate import Gate, Rule
from policies.experiment.paired import Interval, crossed_bootstrap, verdict
from policies.experiment.person import ASTRAY, Flaws, Person
from policies.experiment.rounds import watched
from policies.experiment.sirius import experiment
from policies.train import Stop
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose
from robot_stack.interventions import Label, labels
from robot_stack.sim.metaworld import RATE, MetaWorld
from robot_stack.store import Store
from robot_stack.types import ConfigError, Source

QUIET = Console(quiet=True)
RULE = Rule(apart=0.5, objects_after=3, stuck_after=100, reaction=4, agrees_after=2, budget=20)


def fly(rule: Rule, apart: list[float], moves: float = 1.0) -> str:
    """Who flew each step, 'p' or 'o', when the policy's action is so far from the expert's and the hand moves so."""
    gate, hand, flown = Gate(rule), np.zeros(3), ""
    for distance in apart:
        hand = hand + moves
        flown += "o" if gate.step(np.array([distance, 0.0, 0.0, 0.0]), np.zeros(4), hand) else "p"
    return flown


def test_the_person_takes_over_a_reaction_time_after_the_policy_has_differed_for_long_enough() -> None:
    """It differs from step 5 on, is objected to in step 7, and is flown by the person from step 11 on."""
    assert fly(RULE, [0.0] * 5 + [1.0] * 10) == "p" * 11 + "o" * 4


def test_differing_for_a_moment_is_no_reason_to_take_over() -> None:
    assert fly(RULE, [1.0, 1.0, 0.0] * 10) == "p" * 30


def test_without_a_reaction_time_nothing_is_flown_after_the_objection() -> None:
    """So that the window before a takeover holds the steps of making up one's mind and no others."""
    flown = fly(Rule(**{**vars(RULE), "reaction": 0}), [0.0] * 5 + [1.0] * 10)
    assert flown == "p" * 7 + "o" * 8


def test_the_person_lets_go_when_the_policy_agrees_for_long_enough() -> None:
    flown = fly(RULE, [1.0] * 10 + [0.0, 1.0] + [0.0] * 5)
    assert flown == "p" * 6 + "o" * 7 + "p" * 4


def test_the_person_lets_go_when_the_takeover_has_lasted_its_budget_and_may_object_again() -> None:
    flown = fly(RULE, [1.0] * 40)
    assert flown == "p" * 6 + "o" * 20 + "p" * 7 + "o" * 7


def test_standing_still_is_a_reason_to_take_over_also_where_the_actions_agree() -> None:
    rule = Rule(**{**vars(RULE), "stuck_after": 10})
    assert fly(rule, [0.0] * 20, moves=0.0) == "p" * 13 + "oo" + "p" * 5
    assert fly(rule, [0.0] * 20, moves=0.1) == "p" * 20


def test_a_person_without_flaws_is_the_expert() -> None:
    wanted = np.array([0.3, -0.2, 0.1, 1.0])
    assert np.array_equal(Person(Flaws(), 0)(wanted), wanted)


def test_a_late_person_does_what_the_expert_did_before() -> None:
    person = Person(Flaws(delay=2), 0)
    assert [person(np.full(4, x))[0] for x in (0.1, 0.2, 0.3, 0.4)] == pytest.approx([0.1, 0.1, 0.1, 0.2])


def test_a_shaking_person_shakes_as_much_as_it_should_and_the_same_for_the_same_seed() -> None:
    person, again = Person(Flaws(noise=0.1), 3), Person(Flaws(noise=0.1), 3)
    done = np.array([person(np.zeros(4)) for _ in range(2000)])
    assert done[:, :3].std() == pytest.approx(0.1, rel=0.05)
    assert np.array_equal(done[:, 3], np.zeros(2000))
    assert np.array_equal(done[0], again(np.zeros(4)))


def test_a_leaning_person_leans_to_the_same_side_throughout() -> None:
    person = Person(Flaws(bias=0.2), 1)
    first, later = person(np.zeros(4)), person(np.zeros(4))
    assert np.array_equal(first, later)
    assert np.abs(first[:3]).min() > 0.0


def test_a_person_with_the_wrong_idea_goes_to_the_other_side_first() -> None:
    person = Person(Flaws(wrong=1.0), 0)
    done = [person(np.array([0.5, 0.5, 0.0, 0.0])) for _ in range(ASTRAY + 1)]
    assert [action[1] for action in done] == [-0.5] * ASTRAY + [0.5]
    assert {action[0] for action in done} == {0.5}


def test_only_so_many_successful_demonstrations_are_shown_and_each_is_recorded(tmp_path: Path) -> None:
    world = MetaWorld("pick-place-v3", 160)
    with create(tmp_path / "shown", world, "pick_place") as store:
        demonstrate(world, range(100), 2, Flaws(noise=0.2), store, {"task": "pick_place"})
    episodes = Store.open(tmp_path / "shown").episodes
    assert [episode.attrs["verdict"] for episode in episodes].count("success") == 2
    assert {episode.attrs["kind"] for episode in episodes} == {"collect"}
    assert all((episode["source"] == Source.OPERATOR).all() for episode in episodes)


def test_a_demonstrator_who_never_succeeds_is_said_to(tmp_path: Path) -> None:
    world = MetaWorld("pick-place-v3", 5)
    with create(tmp_path / "shown", world, "pick_place") as store, pytest.raises(ConfigError, match="0 times, 1 are"):
        demonstrate(world, range(3), 1, Flaws(), store, {"task": "pick_place"})


def test_the_interval_is_that_of_the_normal_distribution_where_only_states_differ() -> None:
    """Equal seeds: the variance of the mean is that of the states over their number."""
    states = np.random.default_rng(0).normal(0.1, 1.0, 400)
    found = crossed_bootstrap(np.tile(states, (5, 1)))
    half = 1.96 * states.std() / np.sqrt(400)
    assert found.mean == pytest.approx(states.mean())
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.01)


def test_the_interval_is_as_wide_as_the_seeds_differ_where_states_do_not() -> None:
    """Equal states: the variance of the mean is that of the seeds over their number; four seeds of +-1: 1/4."""
    found = crossed_bootstrap(np.tile(np.array([[1.0], [-1.0], [1.0], [-1.0]]), (1, 50)))
    assert (found.low, found.high) == (-1.0, 1.0)
    assert found.mean == 0.0


def test_pairing_removes_what_is_common_to_both() -> None:
    hard = np.random.default_rng(1).random((5, 200)) < 0.5
    assert crossed_bootstrap(hard * 1.0 - hard * 1.0) == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.01, 0.1, "helps"), (-0.1, -0.01, "hurts"), (-0.1, 0.1, "nothing shown")]
)
def test_the_verdict_is_that_of_the_rule(low: float, high: float, said: str) -> None:
    assert verdict(Interval((low + high) / 2, low, high)) == said


def test_uniform_is_always_among_the_arms_and_what_is_none_is_refused() -> None:
    assert list(chosen(["sirius"])) == ["uniform", "sirius"]
    with pytest.raises(ConfigError, match="no arm siriu; there are: uniform"):
        chosen(["siriu"])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A config of `experiment sirius` that takes seconds; what it decides is worth nothing."""
    keys = ["tasks=[pick_place]", "seeds=1", "deployments=3", "episodes=4", "parallel=4", "device=cpu"]
    size = ["demonstrations.pick_place=2", "training.steps=30", "net.width=16", "net.blocks=1"]
    out = tmp_path_factory.mktemp("sirius")
    config = compose(CONFIGS, "experiment_sirius", [f"out={out}", "arms=[sirius,sirius_without_pre]", *keys, *size])
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    experiment(plain, Stop(), QUIET)
    return plain


def test_all_of_it_ends_with_a_report_and_a_picture(tiny: dict[str, Any]) -> None:
    out = Path(tiny["out"])
    result = json.loads((out / "result.json").read_text())
    arms = result["tasks"]["pick_place"]["arms"]
    assert set(arms) == {"uniform", "sirius", "sirius_without_pre"}
    assert arms["uniform"][0]["difference"]["mean"] == 0.0
    assert "| sirius | 1 |" in (out / "result.md").read_text()
    assert (out / "result.png").read_bytes().startswith(b"\x89PNG")


def test_every_step_went_through_a_store_and_its_labels_are_what_the_gate_did(tiny: dict[str, Any]) -> None:
    store = Path(tiny["out"]) / "pick_place" / "seed-0" / "base-deployed"
    seen = watched(store)
    episodes = Store.open(store).episodes
    assert len(episodes) == seen.attempts == 3
    assert seen.takeovers > 0.0, "a policy of 30 steps of training is taken over from"
    reaction, decides = tiny["gate"]["reaction"], tiny["gate"]["objects_after"]
    for episode in episodes:
        tags = labels(episode["source"], RATE, episode.attrs["kind"], pre=(reaction + 5) / RATE)
        assert np.array_equal(tags == Label.INTERVENTION, episode["source"] == Source.OPERATOR)
        start = int(np.argmax(tags == Label.INTERVENTION))
        assert start >= reaction + decides - 1
        assert set(tags[start - reaction : start]) == {Label.PRE_INTERVENTION}


def test_arms_differ_in_their_weights_and_classes_only(tiny: dict[str, Any]) -> None:
    cards = {}
    for arm in ("uniform", "sirius", "sirius_without_pre"):
        (file,) = (Path(tiny["out"]) / "pick_place" / "seed-0" / f"{arm}-1").glob("step-*/card.json")
        cards[arm] = json.loads(file.read_text())
    assert cards["uniform"]["stores"] == cards["sirius"]["stores"] == cards["sirius_without_pre"]["stores"]
    assert {row["weight"] for row in cards["uniform"]["classes"].values()} == {1.0}
    assert cards["sirius"]["classes"]["pre_intervention"]["weight"] < 0.2
    assert "pre_intervention" not in cards["sirius_without_pre"]["classes"]
    assert not ARMS["sirius_without_pre"].looks_back


def test_what_is_done_is_not_done_again_and_another_arm_is_added(tiny: dict[str, Any]) -> None:
    folder = Path(tiny["out"]) / "pick_place" / "seed-0"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    experiment({**tiny, "arms": ["hg_dagger"]}, Stop(), QUIET)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert (folder / "hg_dagger-1" / "eval.json").exists()


def test_another_experiment_in_the_same_folder_is_refused(tiny: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="other deployments: choose another out"):
        experiment({**tiny, "deployments": 5}, Stop(), QUIET)


def test_a_misspelt_policy_is_refused_before_anything_is_written(tiny: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no policy 'bcc'"):
        experiment({**tiny, "policy": "bcc", "out": str(tmp_path / "misspelt")}, Stop(), QUIET)
    assert not (tmp_path / "misspelt").exists()
