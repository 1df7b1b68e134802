"""The whole loop on the virtual clock: demonstrate, record, train, fly, take over, learn from it, report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from deploy.report.demo import write
from policies.evaluate import evaluate
from policies.pilot import Pilot
from policies.train import Stop, train
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose
from robot_stack.interventions import Label, labels
from robot_stack.lockstep import Lockstep, Operator
from robot_stack.store import Episode, Store
from robot_stack.types import Source
from teleop.lockstep import operator
from teleop.scripted import ScriptedOperator

HANDS_ON = 12.0
"""An attempt is given up after this long [s]."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run: three demonstrations, a policy that hardly learned, an episode that a person saved."""
    folder = tmp_path_factory.mktemp("run")
    lockstep = Lockstep("ur5e", "lift", {"front": (48, 64)})
    station = {"name": "sim", "robot": "ur5e", "rate": lockstep.rate}
    with Store.create(folder / "episodes.zarr", lockstep.row, station) as store:
        for seed in range(3):
            person = operator(ScriptedOperator("ur5e", "lift", seed=seed), lockstep.station)
            _record(lockstep, store, "collect", seed, person)
        _train(folder, "bc", "uniform")
        watcher = ScriptedOperator("ur5e", "lift", mode="supervise", patience=1.0)
        _record(lockstep, store, "deploy", 1000, operator(watcher, lockstep.station), Pilot(folder / "bc"))
    _train(folder, "bc-sirius", "sirius")
    return folder


@pytest.fixture(scope="module")
def evaluation(run: Path) -> dict[str, Any]:
    """Of the policy that hardly learned, on two starts."""
    return _evaluate(run, "bc", 2)


def test_demonstrations_are_recorded_and_succeed(run: Path) -> None:
    episodes = _episodes(run, "collect")
    assert len(episodes) == 3
    for episode in episodes:
        assert episode.attrs["verdict"] == "success"
        assert set(np.unique(episode["source"])) <= {Source.NOBODY, Source.OPERATOR}
        moved = np.linalg.norm(np.diff(episode["requested.pose"][:, :3], axis=0), axis=1).sum()
        assert moved > 0.2, "a person reaches for the cube and lifts it"


def test_a_person_takes_over_and_the_episode_says_who_flew(run: Path) -> None:
    (episode,) = _episodes(run, "deploy")
    found = labels(episode["source"], episode.attrs["rate"], "deploy")
    taken = int(np.argmax(found == Label.INTERVENTION))
    assert episode.attrs["verdict"] == "success"
    assert found[taken] == Label.INTERVENTION
    assert (found[taken - 7 : taken] == Label.PRE_INTERVENTION).all(), "0.75 s of the policy's rows before"
    assert (episode["proposed.kind"][taken:] != 0).any(), "what the policy would have done is kept"


def test_the_take_over_counts_half_and_what_led_to_it_nothing(run: Path) -> None:
    classes = _card(run / "bc-sirius")["classes"]
    share_of_loss = {name: row["share"] * row["weight"] for name, row in classes.items()}
    assert share_of_loss["intervention"] == pytest.approx(0.5, abs=0.01)
    assert share_of_loss["pre_intervention"] <= 0.002 + 1e-9
    assert sum(share_of_loss.values()) == pytest.approx(1.0)


def test_evaluation_gives_the_same_outcomes_for_the_same_starts(run: Path, evaluation: dict[str, Any]) -> None:
    first, again = evaluation, _evaluate(run, "bc", 2)
    assert first["outcomes"] == again["outcomes"]
    assert [outcome["seed"] for outcome in first["outcomes"]] == [100_000, 100_001]


def test_the_report_is_one_file_with_table_pictures_and_the_take_over(run: Path, evaluation: dict[str, Any]) -> None:
    evaluations = []
    for name in ("bc", "bc-sirius", "bc-uniform"):
        (run / f"eval-{name}.json").write_text(json.dumps(evaluation))
        evaluations.append({"name": name, "file": f"eval-{name}.json"})
    chapter = {"title": "Train", "seconds": 1.0, "commands": {"train": ["train", "policy=bc"]}}
    results = {"task": "lift", "robot": "ur5e", "best": "bc", "store": "episodes.zarr", "seconds": 60.0}
    results |= {"runs": ["bc", "bc-sirius"], "evaluations": evaluations, "chapters": [chapter]}
    page = write(run, results).read_text()
    for words in ("intervention", "Wilson", "robot-stack train policy=bc", "<svg", "data:image/jpeg;base64"):
        assert words in page
    for link in ('src="http', 'href="http', "url(http", "@import"):
        assert link not in page, "nothing is loaded from elsewhere"


def _record(
    lockstep: Lockstep, store: Store, kind: str, seed: int, person: Operator, pilot: Pilot | None = None
) -> None:
    lockstep.reset(seed)
    writer = store.writer({"kind": kind, "task": "lift"})
    rows = 0
    while not lockstep.success and lockstep.time < HANDS_ON:
        replan = pilot is not None and rows % pilot.window.execute == 0
        chunk = pilot.chunk(lockstep.observe(pilot.window.history), lockstep.station) if pilot and replan else None
        writer.append(lockstep.advance(chunk, person))
        rows += 1
    writer.commit("success" if lockstep.success else "failure")


def _train(folder: Path, name: str, weights: str) -> None:
    choice = [f"store={folder / 'episodes.zarr'}", "policy=bc", f"weights={weights}", "policy.net.width=64"]
    config = compose(CONFIGS, "train", [*choice, "steps=40", "validation=0", f"out={folder / name}"])
    train(_plain(config), Stop(), Console(quiet=True))


def _evaluate(folder: Path, name: str, episodes: int) -> dict[str, Any]:
    config = compose(CONFIGS, "eval", [f"checkpoint={folder / name}", f"episodes={episodes}"])
    return evaluate(_plain(config), Console(quiet=True))


def _plain(config: Any) -> dict[str, Any]:
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return plain


def _episodes(folder: Path, kind: str) -> list[Episode]:
    return [episode for episode in Store.open(folder / "episodes.zarr").episodes if episode.attrs["kind"] == kind]


def _card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(next(folder.glob("step-*[0-9]/card.json")).read_text())
    return card
