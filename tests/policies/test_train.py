import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from policies import checkpoint, train
from policies.ema import Ema
from policies.train import Stop, learning_rate, stop_at_interrupt
from robot_stack.cli import main
from robot_stack.store import Store
from robot_stack.types import CheckpointError, ConfigError, RobotStackError, StoreError

QUIET = Console(quiet=True)


def run(config: dict[str, Any], stop: Stop | None = None) -> Path:
    return train.train(config, stop or Stop(), QUIET)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors") | load_file(folder / "training.safetensors")


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> Stop:
    """Ctrl-C in the middle of a step."""
    stop = Stop()
    learn = train.State.learn

    def learn_and_stop(state: train.State, batch: Any) -> Any:
        stop.requested = state.step + 1 == step
        return learn(state, batch)

    monkeypatch.setattr(train.State, "learn", learn_and_stop)
    return stop


@pytest.mark.parametrize("name", ["perceptrons", "unet", "bc_images"])
def test_an_interrupted_run_resumes_to_the_same_bits(
    name: str,
    training: dict[str, Any],
    config_of: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights, their average and its counter, moments of the optimiser, generators, learning curve."""
    training["policy"] = config_of(name)
    training["policy"]["net"] = {**training["policy"]["net"], **({} if name == "unet" else {"dropout": 0.1})}
    whole = run({**training, "out": str(tmp_path / "whole")})
    with monkeypatch.context() as patch:
        stopped = run(training, stop_after(patch, 13))
    assert stopped.name == "step-0000013"
    torch.manual_seed(999)  # what a new process would not share
    resumed = run({**training, "resume": str(stopped.parent)})
    assert resumed.name == whole.name == "step-0000030"
    expected, found = tensors(whole), tensors(resumed)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    numbers = [checkpoint.load_training(folder)[0] for folder in (whole, resumed)]
    assert numbers[0]["updates"] == numbers[1]["updates"] == 30
    curves = [[{**point, "seconds": 0.0} for point in n["curve"]] for n in numbers]
    assert curves[0] == curves[1]


def test_only_the_newest_checkpoint_is_kept_and_the_curve_is_beside_it(training: dict[str, Any]) -> None:
    folder = run({**training, "checkpoint_every": 10})
    assert sorted(path.name for path in folder.parent.iterdir()) == ["curve.jsonl", "step-0000030"]
    curve = [json.loads(line) for line in (folder.parent / "curve.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == [5, 10, 15, 20, 25, 30]
    assert [point["step"] for point in curve if "validation" in point] == [10, 20, 30]
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_the_card_says_what_it_was_trained_on(training: dict[str, Any], store: Store) -> None:
    card = checkpoint.load(run(training)).card
    (noted,) = card["stores"]
    assert noted["store"] == str(store.path)
    assert (len(noted["training"]), len(noted["held_out"]), noted["left_out"]) == (5, 1, {})
    content = {episode.id: episode.attrs["content"] for episode in store.episodes}
    assert noted["training"] | noted["held_out"] == content
    assert card["classes"] == {"demonstration": {"share": 1.0, "weight": 1.0}}
    assert (card["rate"], card["step"], card["task"]) == (10.0, 30, "toy")


def test_a_store_that_changed_under_a_run_is_refused(
    training: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stopped = run(training, stop_after(patch, 7))
    writer = store.writer({"kind": "collect", "task": "toy"})
    for row in store.episodes[0].rows():
        writer.append(row)
    writer.commit("success")
    store.close()
    with pytest.raises(CheckpointError, match="the store changed"):
        run({**training, "resume": str(stopped)})


def test_failed_episodes_are_left_out(training: dict[str, Any], store: Store) -> None:
    with pytest.raises(StoreError, match=r"no episode .* verdicts"):
        run({**training, "verdicts": ["unknown"]})


def test_another_run_is_not_overwritten(training: dict[str, Any]) -> None:
    folder = run(training).parent
    with pytest.raises(ConfigError, match=f"resume={folder}"):
        run(training)


def test_divergence_is_noticed_and_said(training: dict[str, Any]) -> None:
    with pytest.raises(RobotStackError, match=r"not finite at step .*rate="):
        run({**training, "rate": 1e30, "clip": 1e30})
    assert not list(Path(training["out"]).glob("step-*"))


def test_control_c_asks_once_and_insists_twice() -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals arrive in the main thread only")
    with pytest.raises(KeyboardInterrupt), stop_at_interrupt() as stop:  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGINT)


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = {"warmup": 10, "steps": 100, "rate": 1.0}
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.0)
    assert all(np.diff(rates[10:]) <= 0.0)


def test_the_average_warms_up_as_published(training: dict[str, Any], store: Store) -> None:
    """decay(n) = 1 - (1 + n)^-0.75, at most 0.9999 (diffusion_policy's ema_model.py)."""
    policy = checkpoint.build(training["policy"], store.spec)
    ema = Ema(policy)
    assert ema.decay() == 0.0
    for updates, decay in [(1, 0.405396), (10, 0.834440), (1000, 0.994381), (10_000_000, 0.9999)]:
        ema.updates = updates
        assert ema.decay() == pytest.approx(decay, abs=2e-6)


def test_a_run_is_verified_against_its_store(
    training: dict[str, Any], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run({**training, "verdicts": ["success"]})
    assert main(["data", "verify", f"checkpoint={folder.parent}"]) == 0
    assert "6 same" in capsys.readouterr().out


def test_a_run_of_an_older_version_can_be_flown_but_not_resumed(training: dict[str, Any]) -> None:
    folder = run(training)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "stores": training["store"], "episodes": ["12ab"]}))
    assert checkpoint.load(folder).policy() is not None
    with pytest.raises(CheckpointError, match="neither resumed nor verified"):
        run({**training, "resume": str(folder)})


def test_a_view_is_trained_on_and_noted_as_such(training: dict[str, Any], store: Store) -> None:
    with Store.open(store.path) as opened:
        opened.relabel(["ep-000001", "ep-000004"], verdict="failure")
        opened.filter("verdict == 'success'", "good")
    folder = run({**training, "store": f"{store.path}@good", "verdicts": ["success", "failure"]})
    (noted,) = checkpoint.load(folder).card["stores"]
    assert noted["store"] == f"{store.path}@good"
    learned = noted["training"].keys() | noted["held_out"].keys()
    assert learned == {"ep-000000", "ep-000002", "ep-000003", "ep-000005"}


def test_several_stores_are_trained_on_together(training: dict[str, Any], store: Store, tmp_path: Path) -> None:
    copy = shutil.copytree(store.path, tmp_path / "copy")
    card = checkpoint.load(run({**training, "store": [str(store.path), str(copy)]})).card
    assert [noted["store"] for noted in card["stores"]] == [str(store.path), str(copy)]
    assert sum(len(noted["training"]) + len(noted["held_out"]) for noted in card["stores"]) == 12
