"""On a few real demonstrations the whole path learns: import, train, evaluate. The full run is in the README."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from policies import checkpoint
from policies.evaluate import evaluate
from policies.train import Stop, train
from robot_stack.sim.pusht import PushT
from robot_stack.spec import Record
from robot_stack.store import Store
from robot_stack.store.formats.diffusion_policy import ReplayBuffer

PUSHT = Path(__file__).parents[3] / "shared" / "data" / "pusht_human_v7" / "pusht_cchi_v7_replay.zarr"
QUIET = Console(quiet=True)


@pytest.fixture
def demonstrations(tmp_path: Path) -> Path:
    """The first 60 episodes, without pictures."""
    if not PUSHT.exists():
        pytest.skip("the PushT demonstrations are not beside this repository")
    buffer, spec = ReplayBuffer(PUSHT), PushT().row
    with Store.create(tmp_path / "pusht", spec, {"name": "pusht", "robot": "", "rate": 10.0}) as store:
        for number in range(60):
            rows: Any = next(buffer.rows(number))
            writer = store.writer({"kind": "import", "task": "pusht"})
            for row in rows[list(spec.fields)].astype(spec.dtype):
                record: Record = row
                writer.append(record)
            writer.commit("unknown")
    return store.path


def test_a_short_run_learns_and_beats_an_untrained_policy(
    demonstrations: Path, training: dict[str, Any], config_of: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    policy = {**config_of("bc"), "observe": ["agent", "keypoints"], "act": ["requested.position"]}
    policy["window"] = {"_target_": "policies.Window", "history": 2, "horizon": 16, "execute": 8}
    policy["net"] = {**policy["net"], "width": 256}
    rollout = {"_target_": "robot_stack.sim.pusht.PushT", "_partial_": True}
    size = {"steps": 1200, "batch": 128, "log_every": 10, "validate_every": 500, "warmup": 50}
    task = {"name": "pusht", "rollout": rollout}
    trained = train({**training, **size, "store": str(demonstrations), "policy": policy, "task": task}, Stop(), QUIET)
    curve = checkpoint.training_numbers(trained)["curve"]
    assert curve[-1]["validation"] < 0.3 * curve[0]["loss"]

    torch.manual_seed(0)
    untrained = checkpoint.build(policy, Store.open(demonstrations).spec)
    known = checkpoint.load(trained).policy()
    for name, limits in untrained.named_buffers():  # it may know the limits, and nothing else
        limits.copy_(known.get_buffer(name))
    card = {"rate": 10.0}
    other = checkpoint.save(tmp_path / "untrained", untrained, {"policy": policy, "task": task}, card)

    flown = {"episodes": 16, "first": 0, "parallel": 16, "workers": 1, "steps": None, "threads": 1, "device": "cpu"}
    scores = [evaluate({**flown, "checkpoint": str(folder)}, QUIET)["score"] for folder in (trained, other)]
    assert scores[0] > scores[1] + 0.1
