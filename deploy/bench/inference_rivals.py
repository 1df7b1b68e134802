"""How long a chunk takes, from rows to numbers: ours through the pilot that flies it, and the same weights through
LeRobot's DiffusionPolicy and its processors; run by `store_work.rival` in a process of its own.

The two U-Nets are the same network, so the weights of ours are copied; that both answer the same is checked first.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from policies import Batch, Policy, checkpoint
from policies.pilot import Pilot
from robot_stack.cli import CONFIGS
from robot_stack.clock import now
from robot_stack.configuration import compose
from robot_stack.sim.pusht import PushTStation
from robot_stack.spec import Record
from robot_stack.types import RobotStackError

WARM = 10
"""Calls until both are as fast as they get: graphs are made, caches filled."""
AGREES = 1e-4
"""Largest difference between the two networks' answers, whose numbers lie about [-1, 1]."""
_ROWS = 256
_PIXELS = 512.0  # side of PushT's world

Given = Mapping[str, Any]
NAMES = (
    (r"^embedding\.layers\.0", "diffusion_step_encoder.1"),
    (r"^embedding\.layers\.2", "diffusion_step_encoder.3"),
    (r"^down\.", "down_modules."),
    (r"^up\.", "up_modules."),
    (r"^middle\.", "mid_modules."),
    (r"^shrink\.(\d+)\.", r"down_modules.\1.2."),
    (r"^grow\.(\d+)\.", r"up_modules.\1.2."),
    (r"^out\.0\.", "final_conv.0.block."),
    (r"^out\.1\.", "final_conv.1."),
    (r"\.first\.", ".conv1.block."),
    (r"\.second\.", ".conv2.block."),
    (r"\.film\.", ".cond_encoder."),
    (r"\.shortcut\.", ".residual_conv."),
)
"""What LeRobot calls the parts of our U-Net."""
TEACHERS = {"consistency": "diffusion_mlp", "consistency_unet": "beso_unet"}
"""Of students."""


def beside_lerobot(given: Given) -> dict[str, Any]:
    """Both in turn: times of all calls [s], and their medians in each round."""
    torch.set_num_threads(given["threads"])
    overrides = [f"policy.net.channels={given['channels']}".replace(" ", ""), f"policy.steps={given['steps']}"]
    policy, folder = _save(Path(given["folder"]) / "ours", "diffusion", overrides)
    theirs = _Theirs(policy, given)
    check_same(policy, theirs.policy)
    ours = Pilot(folder, device=given["device"], threads=given["threads"])
    station, rows = PushTStation(pictures=False), _rows(ours.window.history)
    calls = {"ours": lambda: ours.chunk(rows, station), "lerobot": lambda: theirs.chunk(rows)}
    parameters = sum(weight.numel() for weight in policy.parameters())
    return {"times": _in_turn(calls, given), "parameters": parameters}


def all_of_ours(given: Given) -> dict[str, Any]:
    """Policies of ours in turn, `name steps` -> times in each round; fresh weights, as their configs build them."""
    torch.set_num_threads(given["threads"])
    station, calls = PushTStation(pictures=False), {}
    for name, steps in given["policies"]:
        if (CONFIGS / "policy" / f"{name}.yaml").exists():
            taught = [f"policy.teacher={Path(given['folder']) / TEACHERS[name]}"] if name in TEACHERS else []
            _, folder = _save(Path(given["folder"]) / name, name, taught)
            pilot = Pilot(folder, steps=steps, device=given["device"], threads=given["threads"])
            calls[f"{name} {steps}" if steps else name] = _call(pilot, station)
    return {"times": _in_turn(calls, given)}


def check_same(policy: Any, theirs: Any) -> None:
    """Copy the weights of our U-Net into LeRobot's; RobotStackError unless both then answer the same."""
    unet = theirs.diffusion.unet
    unet.load_state_dict(
        {renamed(name): value for name, value in policy.net.state_dict().items() if "freq" not in name}
    )
    where = next(unet.parameters()).device
    unet.cpu()  # a GPU's own rounding is not the question
    chunk = torch.randn(3, policy.window.horizon, policy.targets.size)
    level, condition = torch.tensor([0, 40, 99]), torch.randn(3, policy.condition_size)
    with torch.inference_mode():
        ours = policy.net(chunk, level, condition)
        other = unet(chunk, level, condition)
    unet.to(where)
    if (worst := float((ours - other).abs().max())) > AGREES:
        raise RobotStackError(f"with the same weights, LeRobot's U-Net answers otherwise, by {worst:.2g}")


def renamed(name: str) -> str:
    """What LeRobot calls a weight of our U-Net."""
    for ours, theirs in NAMES:
        name = re.sub(ours, theirs, name)
    return name


class _Theirs:
    """LeRobot's DiffusionPolicy of the same size, its processors before and after."""

    def __init__(self, policy: Policy, given: Given) -> None:
        from lerobot.configs.types import FeatureType, PolicyFeature
        from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
        from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
        from lerobot.policies.factory import make_pre_post_processors

        config = DiffusionConfig(
            n_obs_steps=policy.window.history,
            horizon=policy.window.horizon,
            n_action_steps=policy.window.execute,
            input_features={
                "observation.state": PolicyFeature(FeatureType.STATE, (2,)),
                "observation.environment_state": PolicyFeature(FeatureType.ENV, (18,)),
            },
            output_features={"action": PolicyFeature(FeatureType.ACTION, (2,))},
            down_dims=tuple(given["channels"]),
            diffusion_step_embed_dim=64,
            noise_scheduler_type="DDIM",
            num_inference_steps=given["steps"],
            device=given["device"],
            push_to_hub=False,
        )
        limits = {"min": torch.zeros(1), "max": torch.full((1,), _PIXELS)}
        stats = dict.fromkeys((*config.input_features, *config.output_features), limits)
        self.policy = DiffusionPolicy(config).to(given["device"]).eval()
        self._before, self._after = make_pre_post_processors(config, dataset_stats=stats)

    def chunk(self, rows: list[Record]) -> Any:
        """As LeRobot's evaluation asks for it, but for a whole chunk."""
        with torch.inference_mode():
            seen = {
                "observation.state": _stack(rows, "agent"),
                "observation.environment_state": _stack(rows, "keypoints").flatten(2),
            }
            return self._after(self.policy.predict_action_chunk(self._before(seen))).numpy()


def _save(folder: Path, name: str, overrides: list[str]) -> tuple[Any, Path]:
    """A policy for PushT with fresh weights, as a checkpoint."""
    said = [f"policy={name}", "task=pusht", *overrides]
    config: Any = OmegaConf.to_container(compose(CONFIGS, "train", said), resolve=True)
    torch.manual_seed(0)
    policy = checkpoint.build(config["policy"], PushTStation(pictures=False).row)
    observe = {field: torch.rand(_ROWS, *policy.spec[field].shape) * _PIXELS for field in policy.observes}
    shape = (_ROWS, policy.window.horizon)
    history = {
        field: rows[:, None].expand(-1, policy.window.history, *rows.shape[1:]) for field, rows in observe.items()
    }
    action = torch.rand(*shape, policy.targets.width) * _PIXELS
    policy.fit(observe, [Batch(history, action, torch.ones(shape, dtype=torch.bool), torch.ones(shape))])
    parts = {"policy": config["policy"], "task": config["task"]}
    return policy.eval(), checkpoint.save(folder / "step-0000000", policy, parts, {"rate": 10.0})


def _rows(count: int) -> list[Record]:
    """Rows of PushT, somewhere in its world."""
    generator, made = np.random.default_rng(0), []
    for number in range(count):
        row = PushTStation(pictures=False).row.record(time=0.1 * number)
        for name in ("agent", "keypoints"):
            row[name] = generator.uniform(0.0, _PIXELS, row[name].shape)
        made.append(row)
    return made


def _stack(rows: list[Record], name: str) -> Tensor:
    return torch.from_numpy(np.array([[row[name] for row in rows]], np.float32))


def _call(pilot: Pilot, station: PushTStation) -> Callable[[], Any]:
    rows = _rows(pilot.window.history)
    return lambda: pilot.chunk(rows, station)


def _in_turn(calls: Mapping[str, Callable[[], Any]], given: Given) -> dict[str, list[list[float]]]:
    """Times of `given.calls` calls of each, in each round [s]."""
    for call in calls.values():
        _times(call, WARM)
    times: dict[str, list[list[float]]] = {name: [] for name in calls}
    for _ in range(given["rounds"]):
        for name, call in calls.items():
            times[name].append(_times(call, given["calls"]))
    return times


def _times(call: Callable[[], Any], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = now()
        call()
        taken.append(now() - began)
    return taken


def main() -> None:
    """`python -m deploy.bench.inference_rivals TASK FOLDER`."""
    task, folder = sys.argv[1], Path(sys.argv[2])
    tasks: dict[str, Callable[[Given], dict[str, Any]]] = {"beside_lerobot": beside_lerobot, "all_of_ours": all_of_ours}
    result = tasks[task](json.loads((folder / "given.json").read_text()))
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
