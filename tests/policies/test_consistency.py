"""A student learns from a saved teacher, and is a policy of its own after."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Generator

from policies import Batch, Policy, Window, checkpoint, train
from policies.consistency import Student
from policies.ema import Ema
from policies.goal import Goal
from policies.windows import Windows
from robot_stack.spec import Spec
from robot_stack.store import Store
from robot_stack.types import CheckpointError, ConfigError

WINDOW = Window(history=2, horizon=8, execute=4)
KINDS = {
    "policies.diffusion.Diffusion": "policies.consistency.DiffusionStudent",
    "policies.beso.Beso": "policies.consistency.BesoStudent",
}


@pytest.fixture(params=["perceptrons", "beso"])
def taught(request: pytest.FixtureRequest, config_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The config of a teacher."""
    return config_of(request.param)


@pytest.fixture
def data(store: Store, taught: dict[str, Any]) -> Windows:
    return Windows(store.episodes, taught["observe"], taught["act"], WINDOW)


@pytest.fixture
def teacher(taught: dict[str, Any], data: Windows, spec: Spec, tmp_path: Path) -> Path:
    """A run with a checkpoint."""
    torch.manual_seed(0)
    policy = checkpoint.build(taught, spec)
    policy.fit(data.observe, data.numbers())
    return checkpoint.save(tmp_path / "teacher" / "step-0000001", policy, {"policy": taught}, {"rate": 10.0}).parent


@pytest.fixture
def config(taught: dict[str, Any], teacher: Path) -> dict[str, Any]:
    """Of a student."""
    return {**taught, "_target_": KINDS[taught["_target_"]], "teacher": str(teacher), "teacher_steps": 4, "steps": 1}


@pytest.fixture
def student(config: dict[str, Any], data: Windows, spec: Spec) -> Policy:
    torch.manual_seed(1)
    built = checkpoint.build(config, spec)
    built.fit(data.observe, data.numbers())
    return built


@pytest.fixture
def batch(data: Windows) -> Batch:
    return data.batch(torch.arange(0, len(data), len(data) // 8)[:8])


def seeds(count: int) -> list[Generator]:
    return [Generator().manual_seed(i) for i in range(count)]


def test_it_starts_with_the_weights_and_limits_of_its_teacher(student: Policy, teacher: Path) -> None:
    known = load_file(checkpoint.newest(teacher) / "model.safetensors")
    own = student.state_dict()
    assert own.keys() == known.keys()  # and has nothing more, no teacher among it
    assert all(torch.equal(own[name], known[name]) for name in own)


@pytest.mark.parametrize("taught", ["perceptrons"], indirect=True)  # no weights make the estimate of BESO constant
@pytest.mark.parametrize("method", ["consistency", "regression"])
def test_what_knows_where_all_ways_end_has_nothing_to_learn(
    method: str, taught: dict[str, Any], config: dict[str, Any], data: Windows, batch: Batch, spec: Spec, tmp_path: Path
) -> None:
    """A teacher whose estimate is one chunk, whatever the noise, leads there in one step too."""
    policy = checkpoint.build(taught, spec)
    policy.fit(data.observe, data.numbers())
    last = policy.net.net[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.uniform_(last.bias, -0.9, 0.9)
    saved = checkpoint.save(tmp_path / "step-0000001", policy, {"policy": taught}, {})
    student = checkpoint.build({**config, "teacher": str(saved), "method": method}, spec)
    student.fit(data.observe, data.numbers())
    assert torch.allclose(student.loss(batch), torch.zeros(8, 8), atol=1e-10)
    with torch.inference_mode():
        chunk = student.eval().act(batch.observe, 1, seeds(8))
    assert torch.allclose(student.encode(chunk, batch.observe)[..., 9], last.bias.view(8, 10)[:, 9], atol=1e-5)


@pytest.mark.parametrize("method", ["consistency", "regression"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_its_loss_is_per_step_and_teaches_every_weight(
    method: str, precision: torch.dtype, config: dict[str, Any], data: Windows, batch: Batch, spec: Spec
) -> None:
    """Under autocast too, which keeps what it cast without gradients."""
    student = checkpoint.build({**config, "method": method}, spec)
    student.fit(data.observe, data.numbers())
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        loss = student.loss(batch)
    assert loss.shape == (8, 8)
    loss.mean().backward()
    for name, weight in student.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0.0, name


def test_learning_changes_neither_the_teacher_nor_its_file(student: Policy, teacher: Path, batch: Batch) -> None:
    file = checkpoint.newest(teacher) / "model.safetensors"
    before = file.read_bytes()
    torch.manual_seed(0)
    first = student.loss(batch)
    optimiser = torch.optim.SGD(student.parameters(), lr=0.1)
    first.mean().backward()
    optimiser.step()
    assert file.read_bytes() == before
    average = Ema(student).policy
    assert average.state_dict().keys() == student.state_dict().keys()
    assert torch.isfinite(average.loss(batch)).all()


def test_it_is_told_what_its_teacher_is_told(
    taught: dict[str, Any], store: Store, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = {"_target_": "policies.goal.Goal", "fields": ["pose"], "drop": 0.5}
    told = {**taught, "conditioning": goal}
    data = Windows(store.episodes, told["observe"], told["act"], WINDOW, conditioning=Goal(["pose"]))
    policy = checkpoint.build(told, spec)
    policy.fit(data.observe, data.numbers())
    saved = checkpoint.save(tmp_path / "step-0000001", policy, {"policy": told}, {})
    student = checkpoint.build({**told, "_target_": KINDS[told["_target_"]], "teacher": str(saved)}, spec)
    student.fit(data.observe, data.numbers())
    assert isinstance(student, Student)
    batch, conditions = data.batch(torch.arange(32)), []

    def noted(teacher: Policy, seen: torch.Tensor, clean: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        conditions.append((seen[-1], condition))
        return clean

    monkeypatch.setattr(student, "_consistency", noted)
    student.train().loss(batch)
    ((theirs, own),) = conditions
    assert torch.allclose(theirs, own, atol=1e-6)
    untold = (own == student.condition(batch.observe, told=False)).all(dim=1)
    assert 0 < int(untold.sum()) < 32


def test_it_acts_without_its_teacher(
    student: Policy, config: dict[str, Any], teacher: Path, batch: Batch, tmp_path: Path
) -> None:
    saved = checkpoint.save(tmp_path / "student" / "step-0000001", student, {"policy": config}, {})
    with torch.inference_mode():
        expected = student.eval().act(batch.observe, 2, seeds(8))
    shutil.rmtree(teacher)
    alone = checkpoint.load(saved).policy()
    with torch.inference_mode():
        assert torch.equal(alone.act(batch.observe, 2, seeds(8)), expected)
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        alone.fit(batch.observe, [])


def test_a_student_of_two_steps_asks_its_network_twice(student: Policy, batch: Batch) -> None:
    calls: list[float] = []
    student.net.register_forward_hook(lambda net, inputs, output: calls.append(float(inputs[1][0])))
    with torch.inference_mode():
        student.eval().act(batch.observe, 2, seeds(8))
    assert len(calls) == 2
    assert calls[0] > calls[1]


DELTA = {"_target_": "policies.relative.Delta", "relative_to": {"requested.pose": "pose"}}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"window": {"_target_": "policies.Window", "horizon": 8, "execute": 2}}, "its window is .*execute=4"),
        ({"act": ["requested.grip"]}, "its acts is"),
        ({"actions": DELTA}, "its actions are made by FieldVector, the student's by Steps"),
        ({"net": {"_target_": "policies.networks.mlp.MlpDenoiser", "_partial_": True, "width": 32}}, "another network"),
    ],
)
def test_a_teacher_of_another_kind_is_refused(
    change: Mapping[str, Any], sentence: str, config: dict[str, Any], spec: Spec
) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.build({**config, **change}, spec).fit({}, [])


def test_a_teacher_of_another_class_is_refused_and_told_what_would_do(
    config: dict[str, Any], config_of: Callable[[str], dict[str, Any]], spec: Spec, tmp_path: Path
) -> None:
    flow = config_of("flow")
    saved = checkpoint.save(tmp_path / "step-0000001", checkpoint.build(flow, spec), {"policy": flow}, {})
    with pytest.raises(CheckpointError, match=r"is a Flow, .*policy=consistency_beso or consistency_unet for Beso"):
        checkpoint.build({**config, "teacher": str(saved)}, spec).fit({}, [])


@pytest.mark.parametrize(("key", "known"), [("method", "consistency, regression"), ("sampler", "jump")])
def test_an_unknown_choice_is_refused_with_those_there_are(
    key: str, known: str, config: dict[str, Any], spec: Spec
) -> None:
    with pytest.raises(ConfigError, match=f"choose one of {known}"):
        checkpoint.build({**config, key: "ddim"}, spec)


def test_a_student_that_predicts_the_noise_is_refused(config_of: Callable[[str], dict[str, Any]], spec: Spec) -> None:
    student = {"_target_": "policies.consistency.DiffusionStudent", "teacher": "runs/teacher"}
    with pytest.raises(ConfigError, match=r"prediction=noise.*policy\.prediction=velocity"):
        checkpoint.build({**config_of("unet"), **student}, spec)


def test_an_interrupted_run_resumes_to_the_same_bits(
    training: dict[str, Any], config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training["policy"] = config
    quiet, stop = Console(quiet=True), train.Stop()
    whole = train.train({**training, "out": str(tmp_path / "whole"), "steps": 8}, train.Stop(), quiet)
    learn = train.State.learn
    with monkeypatch.context() as patch:

        def learn_and_stop(state: train.State, *step: Any) -> Any:
            stop.requested = state.step + 1 == 3
            return learn(state, *step)

        patch.setattr(train.State, "learn", learn_and_stop)
        stopped = train.train({**training, "out": str(tmp_path / "run"), "steps": 8}, stop, quiet)
    assert stopped.name == "step-0000003"
    resumed = train.train({**training, "resume": str(stopped.parent)}, train.Stop(), quiet)
    for file in ("model.safetensors", "training.safetensors"):
        expected, found = load_file(whole / file), load_file(resumed / file)
        assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
