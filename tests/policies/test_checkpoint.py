import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from policies import Policy, checkpoint
from robot_stack.spec import Field, Spec
from robot_stack.types import CheckpointError, ConfigError


@pytest.fixture
def config(config_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return config_of("bc")


@pytest.fixture
def folder(config: dict[str, Any], spec: Spec, tmp_path: Path) -> Path:
    policy = checkpoint.build(config, spec)
    return checkpoint.save(tmp_path / "run" / "step-0000002", policy, {"policy": config}, {"rate": 10.0})


def changed(spec: Spec, field: Field) -> Spec:
    return Spec(field if known.name == field.name else known for known in spec)


def test_a_run_stands_for_its_newest_checkpoint(folder: Path) -> None:
    (folder.parent / ".step-0000009.123").mkdir()  # being written when the power failed
    assert checkpoint.newest(folder.parent) == checkpoint.newest(folder) == folder


def test_a_station_that_has_all_fields_is_accepted_whatever_else_it_has(folder: Path, spec: Spec) -> None:
    checkpoint.load(folder).check(spec + Spec([Field("more", unit="m")]), "this station")


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (Field("pose", (6,), unit="m,1", frame="base_from_tcp"), r"pose is float64\[6\] .*expected float64\[7\]"),
        (Field("grip", unit="mm"), r"grip is float64\[\] \[mm\], expected float64\[\] \[m\]"),
    ],
)
def test_another_spec_is_refused_field_by_field(folder: Path, spec: Spec, field: Field, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.load(folder).check(changed(spec, field), "this station")


def test_a_missing_field_is_named(folder: Path, spec: Spec) -> None:
    with pytest.raises(CheckpointError, match="does not fit this station: grip is missing"):
        checkpoint.load(folder).check(Spec(f for f in spec if f.name != "grip"), "this station")


def test_nothing_there_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="robot-stack train"):
        checkpoint.load(tmp_path)


def test_weights_cut_short_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="missing or cut short"):
        checkpoint.load(folder).policy()


def test_weights_of_another_network_are_refused(folder: Path, config: dict[str, Any], spec: Spec) -> None:
    other = checkpoint.build({**config, "net": {**config["net"], "width": 32}}, spec)
    checkpoint.save(folder.with_name("step-0000003"), other, {"policy": config}, {})
    with pytest.raises(CheckpointError, match="another network"):
        checkpoint.load(folder.with_name("step-0000003")).policy()


def test_a_damaged_description_is_refused(folder: Path) -> None:
    (folder / "spec.json").write_text("[{")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.Popen", "policies.evaluate.subprocess.Popen", "policies.checkpoint.load"]
)
def test_a_checkpoint_cannot_name_what_is_not_a_class_of_ours(target: str, config: dict[str, Any], spec: Spec) -> None:
    with pytest.raises(CheckpointError, match="only classes of"):
        checkpoint.build({**config, "net": {"_target_": target, "_partial_": True}}, spec)


def test_saving_again_replaces_the_whole_folder(folder: Path, config: dict[str, Any], spec: Spec) -> None:
    (folder / "stray").touch()
    policy: Policy = checkpoint.build(config, spec)
    checkpoint.save(folder, policy, {"policy": config}, {})
    assert not (folder / "stray").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    back = checkpoint.load(folder).policy()
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), back.parameters(), strict=True))


def test_a_place_that_cannot_be_written_to_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write to out=.*choose another folder"):
        checkpoint.check_writable(tmp_path / "file" / "run")
    checkpoint.check_writable(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_checkpoint_takes_the_name_of_an_older_one(
    exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(checkpoint, "_exchanged", lambda one, other: False)
    for name in ("made", "step-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "what").write_text(name)
    checkpoint.put(tmp_path / "made", tmp_path / "step-1")
    assert (tmp_path / "step-1/what").read_text() == "made"
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_whenever_it_is_killed_a_checkpoint_of_that_name_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "remove", killed)
    for name in ("made", "step-1"):
        (tmp_path / name).mkdir()
    with pytest.raises(KeyboardInterrupt):
        checkpoint.put(tmp_path / "made", tmp_path / "step-1")
    assert (tmp_path / "step-1").exists()


def test_what_killed_runs_left_is_swept_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    kept = [f".step-0000002.{os.getpid()}", "step-0000001", ".curve.jsonl"]
    for name in (*kept, ".step-0000002.4194305", ".step-0000001.4194305.gone"):
        (tmp_path / name).mkdir()
    checkpoint.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
