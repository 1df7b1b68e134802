"""What a checkpoint says of itself: what it was trained on, with which code, how well it does, how fast it is."""

import copy
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from policies import Policy
from policies.dataset import Dataset
from policies.inference import Inference
from policies.windows import Windows


def card_of(config: Mapping[str, Any], data: Dataset, curve: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The card of a training run, as far as its curve goes."""
    return {
        "task": config["task"]["name"],
        "stores": data.stores,
        "rate": data.rate,
        "classes": data.classes,
        "loss": newest(curve, "loss"),
        "validation": newest(curve, "validation"),
        "score": newest(curve, "score"),
        "software": {"torch": torch.__version__, "robot-stack": version("robot-stack"), "commit": code_commit()},
        "threads": config["threads"],
    }


def newest(curve: Sequence[Mapping[str, float]], key: str) -> float | None:
    """The last number of that name on a learning curve."""
    return next((point[key] for point in reversed(curve) if key in point), None)


def code_commit() -> str | None:
    """The git commit of this code, with a `+` if it was changed since; None where it is not in a checkout."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + "+" * bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None


def measure_latency(policy: Policy, windows: Windows, device: torch.device) -> dict[str, Any]:
    """How long one chunk takes on this device [s], as in flight: alone, from what was seen to what is commanded."""
    observed = windows.batch(torch.zeros(1, dtype=torch.long)).observe
    flown = Inference(copy.deepcopy(policy), device)
    measured = flown.latency({name: value.cpu() for name, value in observed.items()})
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "threads": torch.get_num_threads(), **measured}


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10.0)
    return done.stdout.strip()
