"""Two trainers, each in a process of its own: `policies.train.train`, and `train` of `lerobot.scripts.lerobot_train`
with its `LeRobotDataset`, `DataLoader` and `DiffusionPolicy`. Both run as they are; of each step, a line is noted.

`python -m deploy.bench.train_rival ours|lerobot FOLDER` reads given.json and writes steps.txt: when a step ended [s],
time that the loop waited for its data [s], memory of the GPU at most so far [B]; and facts.json: parameters.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from deploy.bench.train_data import ACTION, ENVIRONMENT, PICTURE, SIZE, STATE
from robot_stack.clock import now

STEPS = 10_000_000
"""Unless told: more than anybody waits for, a trainer is ended from outside."""
RATE = 1e-4
GROUPS, KERNEL, EMBEDDING, KEYPOINTS, LEVELS, SAMPLED = 8, 5, 64, 32, 100, 10
CROP = 84

Given = dict[str, Any]


class Notes:
    """A line a step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / "steps.txt").open("a", buffering=1)
        self.waited = 0.0

    def step(self) -> None:
        """A step has ended."""
        memory = 0
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            memory = torch.cuda.max_memory_allocated()
        self._file.write(f"{now()} {self.waited} {memory}\n")
        self.waited = 0.0

    def parameters(self, count: int) -> None:
        """How many the network has; told once."""
        if not (self._folder / "facts.json").exists():
            (self._folder / "facts.json").write_text(json.dumps({"parameters": count}))


def train_ours(given: Given, notes: Notes) -> None:
    """As `robot-stack train` does; without the validation and the checkpoints that the other does not make.

    given.every: steps between two checkpoints, all of which are kept, in `kept`.
    """
    from omegaconf import OmegaConf
    from rich.console import Console

    from policies import checkpoint
    from policies import train as ours
    from policies.windows import Windows
    from robot_stack.cli import CONFIGS
    from robot_stack.configuration import compose

    pictures, steps, every = given["pictures"], given.get("steps", STEPS), given.get("every", STEPS)
    said = {
        "task": "pusht",
        "policy": "diffusion_images" if pictures else "diffusion",
        "store": given["store"],
        "out": f"{given['folder']}/run",
        "cache": f"{given['folder']}/cache",
        "policy.observe": _list(given.get("observe", [STATE, PICTURE if pictures else ENVIRONMENT])),
        "policy.act": _list(given.get("act", [ACTION])),
        "policy.net.channels": _list(given["channels"]),
        "policy.net.kernel": KERNEL,
        "policy.net.groups": GROUPS,
        "policy.net.embedding": EMBEDDING,
        "policy.levels": LEVELS,
        "batch": given["batch"],
        "steps": steps,
        "rate": RATE,
        "threads": given["threads"],
        "device": given["device"],
        "validation": 0,
        "checkpoint_every": every,
        "validate_every": STEPS,
    }
    if pictures:
        said |= {"encoder": "resnet18", "task.resolution": _list(SIZE), "task.crop": _list((CROP, CROP))}
    plain: Any = OmegaConf.to_container(
        compose(CONFIGS, "train", [f"{key}={value}" for key, value in said.items()]), resolve=True
    )
    state_type: Any = ours.State
    windows_type: Any = Windows
    checkpoints: Any = checkpoint
    learn, batch, save = state_type.learn, windows_type.batch, checkpoints.save

    def noted(state: Any, *args: Any) -> Any:
        notes.parameters(sum(p.numel() for p in state.policy.parameters()))
        loss = learn(state, *args)
        notes.step()
        return loss

    def kept(path: Path, *args: Any) -> Path:
        shutil.copytree(save(path, *args), Path(given["folder"]) / "kept" / path.name)
        return path

    def waited(windows: Any, *args: Any) -> Any:
        began = now()
        got = batch(windows, *args)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # or what a gather takes would be told as the network's
        notes.waited += now() - began
        return got

    state_type.learn, windows_type.batch = noted, waited
    checkpoints.save = kept
    ours.train(plain, ours.Stop(), Console(quiet=True))


def train_lerobot(given: Given, notes: Notes) -> None:
    """As `lerobot-train` does, with its defaults but for what both have in common."""
    from lerobot.configs.default import DatasetConfig
    from lerobot.configs.train import TrainPipelineConfig
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    from lerobot.scripts import lerobot_train as theirs

    pictures = given["pictures"]
    seen = {STATE: PolicyFeature(FeatureType.STATE, (2,))}
    seen |= (
        {"observation.images.top": PolicyFeature(FeatureType.VISUAL, (3, *SIZE))}
        if pictures
        else {ENVIRONMENT: PolicyFeature(FeatureType.ENV, (18,))}
    )
    policy = DiffusionConfig(
        n_obs_steps=2,
        horizon=16,
        n_action_steps=8,
        input_features=seen,
        down_dims=tuple(given["channels"]),
        kernel_size=KERNEL,
        n_groups=GROUPS,
        diffusion_step_embed_dim=EMBEDDING,
        num_train_timesteps=LEVELS,
        noise_scheduler_type="DDIM",
        num_inference_steps=SAMPLED,
        crop_shape=(CROP, CROP) if pictures else None,
        pretrained_backbone_weights=None,
        use_group_norm=True,
        spatial_softmax_num_keypoints=KEYPOINTS,
        optimizer_lr=RATE,
        device=given["device"],
        push_to_hub=False,
    )
    config = TrainPipelineConfig(
        dataset=DatasetConfig("bench/pusht", root=given["lerobot"]),
        policy=policy,
        output_dir=Path(given["folder"]) / "run",
        num_workers=given["workers"],
        batch_size=given["batch"],
        steps=given.get("steps", STEPS),
        save_checkpoint="every" in given,
        save_freq=given.get("every", STEPS),
    )
    torch.set_num_threads(given["threads"])
    update, ended = theirs.update_policy, [0.0]

    def noted(tracker: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        notes.parameters(sum(p.numel() for p in model.parameters()))
        notes.waited = now() - ended[0] if ended[0] else 0.0
        done = update(tracker, model, *args, **kwargs)
        notes.step()
        ended[0] = now()
        return done

    theirs.update_policy = noted
    theirs.train(config)


def _list(values: Any) -> str:
    return f"[{','.join(map(str, values))}]"


def main() -> None:
    """Train until killed, or until all steps are made."""
    who, folder = sys.argv[1], Path(sys.argv[2])
    given: Given = json.loads((folder / "given.json").read_text())
    sys.argv = sys.argv[:1]  # LeRobot's trainer reads it once more
    trainers: dict[str, Callable[[Given, Notes], None]] = {"ours": train_ours, "lerobot": train_lerobot}
    trainers[who](given, Notes(folder))


if __name__ == "__main__":
    main()
