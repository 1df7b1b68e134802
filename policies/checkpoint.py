"""A checkpoint is a folder: what the policy reads (spec.json), how it is built (config.json), what it was trained on
and how well it did (card.json), its weights (model.safetensors); with training.json and training.safetensors it can
also be trained further. Nothing is pickled. A folder is written under another name and renamed: it is whole or not
there.
"""

import ctypes
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from policies import Policy
from robot_stack.spec import Spec
from robot_stack.store.disk import sync_folder, sync_tree
from robot_stack.types import CheckpointError, ConfigError, RobotStackError

PREFIX = "step-"
LEFT = re.compile(r"\..+\.(\d+)(?:\.gone)?")
"""What a process that was killed leaves of a checkpoint that it wrote or removed; its number is in the name."""
TRUSTED = ("policies", "robot_stack")
"""A checkpoint may name classes of these packages and nothing else: a config calls whatever it names."""
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)


@dataclass(frozen=True)
class Checkpoint:
    """One saved policy. config: constructor arguments of `policy` and of the `task` that it was trained for, as Hydra
    reads them. card: what is known of it."""

    folder: Path
    spec: Spec
    config: dict[str, Any]
    card: dict[str, Any]

    def policy(self) -> Policy:
        """The policy, with its weights, ready to act (on the CPU)."""
        policy = build(self.config["policy"], self.spec)
        load_weights(policy, self.folder / "model.safetensors")
        policy.eval().requires_grad_(False)
        return policy

    def check(self, spec: Spec, what: str) -> None:
        """Raise CheckpointError unless rows of `spec` have every field the policy knows, as it knows it."""
        known = Spec(field for field in spec if field.name in self.spec)
        if sentences := self.spec.difference(known):
            raise CheckpointError(
                f"checkpoint {self.folder} does not fit {what}: {'; '.join(sentences)}. "
                f"It was trained for: {', '.join(self.spec.fields)}"
            )


def build(config: Mapping[str, Any], spec: Spec) -> Policy:
    """A fresh policy for rows of `spec`, from the `policy` part of a config."""
    _check_targets(config)
    policy = instantiate(dict(config), _convert_="all")(spec=spec)
    assert isinstance(policy, Policy)
    return policy


def rollout(config: Mapping[str, Any]) -> Callable[..., Any]:
    """What makes a `robot_stack.lockstep.Rollout` of the `task` part of a config; it takes `cameras`."""
    _check_targets(config["task"])
    made: Callable[..., Any] = instantiate(dict(config["task"]["rollout"]), _convert_="all")
    return made


def newest(path: str | Path) -> Path:
    """The checkpoint at `path`, or the newest one of the training run there."""
    path = Path(path)
    if (path / "spec.json").is_file():
        return path
    saved = sorted(path.glob(f"{PREFIX}*[0-9]"))
    if not saved:
        raise CheckpointError(f"there is no checkpoint in {path}; `robot-stack train` makes one, and prints its path")
    return saved[-1]


def load(path: str | Path) -> Checkpoint:
    """Read what is beside the weights."""
    folder = newest(path)
    try:
        spec = Spec.from_json((folder / "spec.json").read_text())
        config = json.loads((folder / "config.json").read_text())
        card = json.loads((folder / "card.json").read_text())
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {error}; use another, or train again") from error
    return Checkpoint(folder, spec, config, card)


def save(
    folder: Path,
    policy: Policy,
    config: Mapping[str, Any],
    card: Mapping[str, Any],
    training: tuple[Mapping[str, Any], Mapping[str, Tensor]] | None = None,
) -> Path:
    """Write a checkpoint, which is there when the power fails after; an older one of that name is replaced at once.

    training: numbers and tensors to go on from.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "spec.json").write_text(policy.spec.to_json())
    _write_json(partial / "config.json", config)
    _write_json(partial / "card.json", card)
    _write_tensors(partial / "model.safetensors", policy.state_dict())
    if training is not None:
        _write_json(partial / "training.json", training[0])
        _write_tensors(partial / "training.safetensors", training[1])
    sync_tree(partial)
    put(partial, folder)
    return folder


def put(made: Path, folder: Path) -> None:
    """Give a checkpoint its name. One that has it goes: whenever this is killed, one of the two is there."""
    if not folder.exists():
        made.rename(folder)
    elif _exchanged(made, folder):
        remove(made)  # the older one
    else:
        remove(folder)
        made.rename(folder)
    sync_folder(folder.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two folders have changed names, in one step; not every file system can."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    return bool(renameat2(_HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute()), _EXCHANGE) == 0)


def rewrite_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Replace the card of a checkpoint."""
    partial = folder / f".card.{os.getpid()}"
    _write_json(partial, card)
    partial.replace(folder / "card.json")


def sweep(folder: Path) -> None:
    """Remove what runs that were killed while they wrote left in a folder."""
    for path in folder.glob(".*"):
        found = LEFT.fullmatch(path.name)
        if found and path.is_dir() and not Path("/proc", found[1]).exists():
            shutil.rmtree(path)


def check_writable(folder: Path) -> None:
    """Raise ConfigError unless checkpoints can be written to a folder, before hours are spent on one."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"cannot write to out={folder}: {error.strerror}; choose another folder") from error


def remove(folder: Path) -> None:
    """Delete a checkpoint; renamed first, so that a half deleted one is never taken for a whole one."""
    if folder.exists():
        doomed = folder.with_name(f".{folder.name}.{os.getpid()}.gone")
        folder.rename(doomed)
        shutil.rmtree(doomed)


def training_numbers(folder: Path) -> dict[str, Any]:
    """The numbers that `save` was given as `training`."""
    if not (folder / "training.json").is_file():
        raise CheckpointError(f"checkpoint {folder} has weights only and cannot be trained further")
    try:
        numbers: dict[str, Any] = json.loads((folder / "training.json").read_text())
    except ValueError as error:
        raise CheckpointError(f"{folder / 'training.json'} is cut short: {error}; use another checkpoint") from error
    return numbers


def training_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors that `save` was given as `training`."""
    return _read_tensors(folder / "training.safetensors")


def load_weights(policy: Policy, file: Path) -> None:
    """Set all weights and limits of a policy from a file."""
    try:
        policy.load_state_dict(_read_tensors(file))
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {file} are of another network: {error}") from error


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} is missing or cut short: {error}; use another checkpoint") from error


def _write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    apart: dict[str, Tensor] = {}
    taken: set[int] = set()  # memory that one of them has: safetensors refuses tensors that share some
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        apart[name] = tensor.clone() if tensor.untyped_storage().data_ptr() in taken else tensor
        taken.add(tensor.untyped_storage().data_ptr())
    save_file(apart, file)


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    try:
        file.write_text(json.dumps(value, indent=1))
    except TypeError as error:
        raise RobotStackError(f"cannot write {file.name}: {error}") from error


def _check_targets(config: Any) -> None:
    """Raise CheckpointError if a nested config names anything but a class of ours."""
    if isinstance(config, Mapping):
        if "_target_" in config and not _is_ours(str(config["_target_"])):
            raise CheckpointError(
                f"a config names {config['_target_']!r}; only classes of {' and '.join(TRUSTED)} are made"
            )
        config = list(config.values())
    if isinstance(config, list | tuple):
        for value in config:
            _check_targets(value)


def _is_ours(target: str) -> bool:
    """By its name before anything is imported, and by where it was defined after."""
    if target.split(".")[0] not in TRUSTED:
        return False
    found = get_object(target)
    return isinstance(found, type) and found.__module__.split(".")[0] in TRUSTED
