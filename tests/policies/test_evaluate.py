import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from policies import Batch, Policy, checkpoint
from policies.evaluate import evaluate, summarise, write
from robot_stack.sim.pusht import PushT
from robot_stack.types import CheckpointError, ConfigError, RobotStackError

QUIET = Console(quiet=True)


@pytest.fixture
def pusht(config_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> dict[str, Any]:
    """A config of `eval` for a policy that knows nothing of PushT but its limits."""
    policy = {**config_of("perceptrons"), "observe": ["agent", "keypoints"], "act": ["requested.position"]}
    policy["window"] = {"_target_": "policies.Window", "history": 2, "horizon": 16, "execute": 16}
    torch.manual_seed(0)
    made: Policy = checkpoint.build(policy, PushT().row)
    made.fit(
        {"agent": torch.tensor([[0.0, 0.0], [512.0, 512.0]]), "keypoints": torch.rand(2, 9, 2) * 512},
        [Batch({}, torch.tensor([[[0.0, 0.0], [512.0, 512.0]]]), torch.ones(1, 2) > 0, torch.ones(1, 2))],
    )
    task = {"name": "pusht", "rollout": {"_target_": "robot_stack.sim.pusht.PushT", "_partial_": True}}
    folder = checkpoint.save(tmp_path / "run" / "step-0000001", made, {"policy": policy, "task": task}, {"rate": 10.0})
    return {
        "checkpoint": str(folder.parent),
        "episodes": 4,
        "first": 0,
        "parallel": 2,
        "workers": 1,
        "steps": 2,
        "threads": 1,
        "device": "cpu",
        "out": None,
    }


def test_what_happens_does_not_depend_on_how_many_fly_at_once_or_on_the_workers(pusht: dict[str, Any]) -> None:
    alone = evaluate({**pusht, "parallel": 1}, QUIET)
    workers = evaluate({**pusht, "parallel": 2, "workers": 2}, QUIET)
    assert [outcome["seed"] for outcome in alone["outcomes"]] == [100_000, 100_001, 100_002, 100_003]
    scores = [[outcome["score"] for outcome in result["outcomes"]] for result in (alone, workers)]
    assert np.allclose(scores[0], scores[1], atol=0.02)


def test_a_worker_that_fails_says_why(pusht: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run" / "step-0000001" / "model.safetensors").write_bytes(b"")
    with pytest.raises(RobotStackError, match="cut short"):
        evaluate({**pusht, "workers": 2}, QUIET)


@pytest.mark.parametrize("key", ["episodes", "parallel", "workers", "steps"])
def test_numbers_that_no_flight_can_have_are_refused(pusht: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}=0: expected 1 or more"):
        evaluate({**pusht, key: 0}, QUIET)


def test_what_a_worker_prints_beside_its_answers_is_left_alone(
    pusht: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.stderr.write('x' * 200_000)\nimport atexit\natexit.register(print, 'goodbye')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert evaluate({**pusht, "workers": 2}, QUIET)["episodes"] == 4


def test_words_and_guidance_that_nobody_reads_are_refused(pusht: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="trained without conditioning=instruction"):
        evaluate({**pusht, "language": "push it"}, QUIET)
    with pytest.raises(ConfigError, match=r"guidance=3\.0: this policy is told nothing"):
        evaluate({**pusht, "guidance": 3.0}, QUIET)


def test_a_policy_of_another_rate_is_refused_before_anything_flies(pusht: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run" / "step-0000001" / "card.json").write_text('{"rate": 20.0}')
    with pytest.raises(CheckpointError, match="trained on 20 rows a second, task pusht makes 10"):
        evaluate(pusht, QUIET)


def test_the_result_file_lies_beside_the_checkpoint_and_has_every_outcome(pusht: dict[str, Any]) -> None:
    result = evaluate({**pusht, "episodes": 2}, QUIET)
    file = write(result, None)
    assert file.parent == Path(pusht["checkpoint"])
    read = json.loads(file.read_text())
    assert read["episodes"] == len(read["outcomes"]) == 2
    assert read["score_95"][0] <= read["score"] <= read["score_95"][1]


def test_the_summary_is_that_of_the_outcomes() -> None:
    from policies.evaluate import Outcome

    summary = summarise([Outcome(0, True, 1.0, 3.0), Outcome(1, False, 0.5, 30.0)])
    assert (summary["success"], summary["score"]) == (0.5, 0.75)
    assert summary["score_error"] == pytest.approx(0.25)
