"""Flies what both trainers saved, through the pilot, from the same starts; run by `store_work.rival` by itself.

LeRobot's checkpoints become ours by the bridge: the same rollouts and chunks of the same length for both.
"""

import json
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from deploy.bench.train_data import ACTED, OBSERVED
from policies.bridge_lerobot.adopt import adopt
from policies.compare import paired
from policies.evaluate import evaluate
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose
from robot_stack.sim.pusht import PushTStation
from robot_stack.store.formats.replay_layout import PUSHT_RATE


def flown(trained: Path, starts: int) -> dict[str, Any]:
    """Scores of each one's checkpoints in the order in which they were saved, and how the last ones differ."""
    saved = {
        "ours": sorted((trained / "ours/kept").iterdir()),
        "lerobot": [_adopted(folder) for folder in sorted((trained / "lerobot/run/checkpoints").glob("[0-9]*"))],
    }
    results = {who: [_fly(path, starts) for path in paths] for who, paths in saved.items()}
    difference = paired(results["lerobot"][-1]["outcomes"], results["ours"][-1]["outcomes"])
    low, high = difference["score_95"]
    return {
        "scores": {who: [_scores(result) for result in each] for who, each in results.items()},
        "difference": {"mean": difference["score"], "from": low, "to": high},
    }


def _adopted(folder: Path) -> Path:
    """A checkpoint of LeRobot's trainer as one of ours."""
    task = _config("train", "task=pusht")["task"]
    spec = PushTStation(pictures=False).row
    made = folder.with_name(f"ours-{folder.name}")
    return adopt(folder / "pretrained_model", made, spec, task, PUSHT_RATE, OBSERVED, ACTED)


def _fly(path: Path, starts: int) -> dict[str, Any]:
    said = (f"checkpoint={path}", f"episodes={starts}", "parallel=50", f"workers={min(2, starts)}")
    return evaluate(_config("eval", *said), Console(quiet=True))


def _scores(result: dict[str, Any]) -> dict[str, float]:
    low, high = result["score_95"]
    return {"mean": result["score"], "from": low, "to": high}


def _config(name: str, *said: str) -> dict[str, Any]:
    config: dict[str, Any] = OmegaConf.to_container(compose(CONFIGS, name, list(said)), resolve=True)  # type: ignore[assignment]
    return config


def main() -> None:
    """`python -m deploy.bench.train_reward_rivals flown FOLDER`."""
    folder = Path(sys.argv[2])
    given = json.loads((folder / "given.json").read_text())
    (folder / "result.json").write_text(json.dumps(flown(Path(given["trained"]), given["starts"])))


if __name__ == "__main__":
    main()
