import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from policies import Batch, checkpoint
from policies.compare import paired, sentence
from robot_stack.cli import main
from robot_stack.sim.pusht import PushT


def outcomes(successes: str, scores: list[float]) -> list[dict[str, Any]]:
    return [
        {"seed": i, "success": sign == "x", "score": score, "seconds": 1.0}
        for i, (sign, score) in enumerate(zip(successes, scores, strict=True))
    ]


def test_differences_are_taken_start_by_start() -> None:
    first, second = outcomes("x..x", [1.0, 0.2, 0.4, 1.0]), outcomes("xxx.", [1.0, 0.9, 1.0, 0.5])
    found = paired(first, second)
    assert found["success"] == pytest.approx(0.25)
    assert found["score"] == pytest.approx(0.2)
    assert (found["only_a"], found["only_b"]) == (1, 2)
    assert found["p"] == 1.0  # two of three, either way


def test_the_exact_test_is_that_of_a_fair_coin() -> None:
    found = paired(outcomes("." * 10, [0.0] * 10), outcomes("x" * 10, [1.0] * 10))
    assert found["p"] == pytest.approx(2 * 0.5**10)
    assert found["score_95"] == (1.0, 1.0)
    assert sentence(found).startswith("B is better. Only A succeeded from 0 starts, only B from 10")


def test_equals_are_not_told_apart() -> None:
    same = outcomes("x.", [1.0, 0.0])
    assert sentence(paired(same, same)).startswith("the difference says nothing either way")


@pytest.fixture
def runs(config_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> list[Path]:
    """Two policies that know nothing of PushT but its limits, and one for another task."""
    config = {**config_of("bc"), "observe": ["agent", "keypoints"], "act": ["requested.position"]}
    config["window"] = {"_target_": "policies.Window", "history": 2, "horizon": 16, "execute": 16}
    folders = []
    for seed, name in enumerate(("pusht", "pusht", "lift")):
        torch.manual_seed(seed)
        made = checkpoint.build(config, PushT().row)
        limits = torch.tensor([[0.0, 0.0], [512.0, 512.0]])
        ones = torch.ones(1, 2)
        made.fit({"agent": limits, "keypoints": torch.rand(2, 9, 2) * 512}, [Batch({}, limits[None], ones > 0, ones)])
        task = {"name": name, "rollout": {"_target_": "robot_stack.sim.pusht.PushT", "_partial_": True}}
        folder = tmp_path / f"run-{seed}"
        checkpoint.save(folder / "step-0000001", made, {"policy": config, "task": task}, {"rate": 10.0})
        folders.append(folder)
    return folders


def test_two_runs_are_compared_by_their_names(runs: list[Path], tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "difference.json"
    assert main(["compare", str(runs[0]), str(runs[1]), "episodes=3", f"out={out}"]) == 0
    result = json.loads(out.read_text())
    scores = {name: [o["score"] for o in result["results"][name]["outcomes"]] for name in ("a", "b")}
    assert result["difference"]["score"] == pytest.approx(sum(scores["b"]) / 3 - sum(scores["a"]) / 3)
    assert "pusht, 3 starts" in capsys.readouterr().out


def test_policies_for_different_tasks_are_not_compared(runs: list[Path], capsys: Any) -> None:
    assert main(["compare", str(runs[0]), str(runs[2])]) == 2
    assert "was trained for pusht" in capsys.readouterr().err


def test_a_missing_or_third_word_is_refused(runs: list[Path], capsys: Any) -> None:
    assert main(["compare", str(runs[0])]) == 2
    assert "compare needs b=..." in capsys.readouterr().err
    assert main(["compare", "x", "y", "z"]) == 2
    assert "'z'" in capsys.readouterr().err
