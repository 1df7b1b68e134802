"""Makes a checkpoint of ours of a folder that LeRobot saved: `eval`, `compare` and `deploy` fly it like any other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policies import Window, checkpoint
from policies.bridge_lerobot.policy import LeRobotPolicy
from policies.bridge_lerobot.pretrained import Pretrained, read
from policies.bridge_lerobot.upstream import configure
from robot_stack.spec import Spec


def adopt(
    pretrained: str | Path,
    folder: Path,
    spec: Spec,
    task: Mapping[str, Any],
    rate: float,
    observe: Sequence[str],
    act: Sequence[str],
    words: str = "",
) -> Path:
    """Write `folder`, which needs `pretrained` no more; return it.

    spec: of rows as it was trained on. task: the `task` part of a config. rate: of rows [Hz]. observe, act: fields that
    it was trained on; cameras are paired with its pictures in their order. words: what it is told, if it reads them.
    Raises CheckpointError, ConfigError.
    """
    found = read(pretrained)
    part = {
        "_target_": "policies.bridge_lerobot.LeRobotPolicy",
        "_partial_": True,
        "kind": found.kind,
        "settings": found.settings,
        "stats": found.stats,
        "observe": list(observe),
        "act": list(act),
        "window": {"_target_": "policies.Window", **vars(window_of(found))},
        "images": _images(found),
        "words": words,
    }
    policy = checkpoint.build(part, spec)
    assert isinstance(policy, LeRobotPolicy)
    policy.load(found.weights, pretrained)
    card = {"task": task["name"], "rate": rate, "lerobot": str(pretrained)}
    return checkpoint.save(folder, policy, {"policy": part, "task": dict(task)}, card)


def window_of(found: Pretrained) -> Window:
    """The window that a policy was trained for: as many waypoints from now on as it proposes."""
    config = configure(found.kind, found.settings)
    ahead = config.action_delta_indices[-1] + 1
    seen = config.observation_delta_indices or [0]
    return Window(history=1 - seen[0], horizon=ahead, execute=min(ahead, getattr(config, "n_action_steps", ahead)))


def _images(found: Pretrained) -> dict[str, Any] | None:
    """How it reads pictures: as large as it was trained on; what it cuts out of them is its own affair."""
    seen = configure(found.kind, found.settings).image_features
    if not seen:
        return None
    _, height, width = next(iter(seen.values())).shape
    encoder = {"_target_": "policies.bridge_lerobot.features.Pixels", "_partial_": True}
    size = [height, width]
    return {"_target_": "policies.observation.Images", "encoder": encoder, "resolution": size, "crop": size}
