import json
import os
import shutil
import signal
import subprocess
import sys
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
from policies.best import Best
from policies.card import code_commit as card_commit
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

    def learn_and_stop(state: train.State, index: Any, following: Any) -> Any:
        stop.requested = state.step + 1 == step
        return learn(state, index, following)

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
    """Weights, their average and its counter, moments of the optimiser, learning curve, what was the best so far."""
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
    numbers = [checkpoint.training_numbers(folder) for folder in (whole, resumed)]
    assert numbers[0]["updates"] == numbers[1]["updates"] == 30
    assert numbers[0]["best"] == numbers[1]["best"]
    assert numbers[0]["best"]["worths"]
    curves = [[{**point, "seconds": 0.0} for point in n["curve"]] for n in numbers]
    assert curves[0] == curves[1]


def test_only_the_newest_checkpoint_is_kept_and_the_curve_is_beside_it(training: dict[str, Any]) -> None:
    folder = run({**training, "checkpoint_every": 10})
    assert sorted(path.name for path in folder.parent.iterdir()) == ["best", "curve.jsonl", "step-0000030"]
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
    config = {"warmup": 10, "steps": 100, "rate": 1.0, "schedule": "cosine"}
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


def test_a_batch_cut_into_parts_teaches_the_same(
    training: dict[str, Any], config_of: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    training = {**training, "policy": config_of("bc"), "steps": 5}
    whole = run({**training, "out": str(tmp_path / "whole")})
    parts = run({**training, "out": str(tmp_path / "parts"), "accumulate": 4})
    expected, found = load_file(whole / "model.safetensors"), load_file(parts / "model.safetensors")
    for name, tensor in expected.items():
        assert torch.allclose(tensor, found[name], atol=1e-5), name


def test_a_batch_that_cannot_be_cut_is_refused(training: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a batch of 16 windows cannot be cut into 3 equal shares"):
        run({**training, "accumulate": 3})


def test_two_processes_teach_as_one_and_lose_patience_as_one(
    training: dict[str, Any],
    config_of: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often = {"log_every": 1, "validate_every": 1, "patience": 3}
    training = {**training, "policy": config_of("bc"), "steps": 100, **often}
    losses = [5.0, 3.0, 4.0, 3.5, 6.0, 1.0]
    monkeypatch.setattr(train.State, "validate", lambda state: losses[state.step - 1])
    one = run({**training, "out": str(tmp_path / "one")})
    assert one.name == "step-0000005"
    (tmp_path / "two.json").write_text(json.dumps({**training, "out": str(tmp_path / "two")}))
    code = f"""
import json
from rich.console import Console
from policies.train import State, Stop, train
State.validate = lambda state: {losses}[state.step - 1]
train(json.load(open({str(tmp_path / "two.json")!r})), Stop(), Console(quiet=True))
"""
    (tmp_path / "two.py").write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "two.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110.0)
    assert done.returncode == 0, done.stderr[:4000]
    two = checkpoint.newest(tmp_path / "two")
    assert two.name == one.name
    expected, found = (load_file(f / "model.safetensors") for f in (one, two))
    for name, tensor in expected.items():
        assert torch.allclose(tensor, found[name], atol=1e-5), name


def test_the_best_are_kept_and_a_run_that_gets_no_better_ends(
    training: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, 3.0, 4.0, 3.5, 6.0, 1.0])
    monkeypatch.setattr(train.State, "validate", lambda state: next(losses))
    folder = run({**training, "keep": 2, "patience": 3, "validate_every": 5, "steps": 100})
    assert folder.name == "step-0000025"
    best = [checkpoint.load(folder.parent / name).card for name in ("best", "best-2")]
    assert [card["step"] for card in best] == [10, 20]
    assert [card["validation"] for card in best] == [3.0, 3.5]
    assert not (folder.parent / "best-3").exists()


def test_it_is_flown_while_it_trains(training: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    flown = []

    def fly(folder: Path, config: dict[str, Any]) -> float:
        flown.append(checkpoint.newest(folder).name)
        return {10: 0.2, 20: 0.9, 30: 0.4}[int(flown[-1][-7:])]

    monkeypatch.setattr(train, "fly_in_training", fly)
    folder = run({**training, "rollouts": 4})
    assert flown == ["step-0000010", "step-0000020", "step-0000030"]
    assert checkpoint.load(folder.parent / "best").card["score"] == 0.9
    assert checkpoint.load(folder).card["score"] == 0.4


def test_the_curve_is_in_tensorboard_too(training: dict[str, Any]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run({**training, "tracker": "tensorboard"})
    events = EventAccumulator(str(folder.parent / "tensorboard")).Reload()
    curve = [json.loads(line) for line in (folder.parent / train.CURVE).read_text().splitlines()]
    seen = {event.step: event.value for event in events.Scalars("loss")}
    assert seen == pytest.approx({point["step"]: point["loss"] for point in curve})


def test_an_unknown_tracker_schedule_or_precision_is_refused(training: dict[str, Any]) -> None:
    for key in ("tracker", "schedule", "precision"):
        with pytest.raises(ConfigError, match=f"{key}='wrong': choose one of"):
            run({**training, key: "wrong"})


def test_out_of_memory_says_what_to_change(training: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(train.State, "learn", full)
    with pytest.raises(RobotStackError, match="batch=16, accumulate=1: double accumulate"):
        run(training)


def test_the_card_says_how_fast_it_is_and_from_which_code_it_came(training: dict[str, Any]) -> None:
    card = checkpoint.load(run(training)).card
    assert 0.0 < card["latency"]["p50"] <= card["latency"]["p99"]
    assert card["latency"]["device"] == "cpu"
    assert card["software"]["commit"] == card_commit()
    assert 0.0 <= card["waited"] < 1.0


def test_a_run_that_draws_otherwise_is_not_resumed(training: dict[str, Any]) -> None:
    folder = run(training)
    numbers = json.loads((folder / "training.json").read_text())
    del numbers["best"]
    (folder / "training.json").write_text(json.dumps(numbers))
    with pytest.raises(CheckpointError, match="older version"):
        run({**training, "resume": str(folder.parent)})


def test_a_checkpoint_of_a_diverged_run_is_never_written(
    training: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = train.State.learn

    def burst(state: train.State, index: Any, following: Any) -> torch.Tensor:
        loss = learn(state, index, following)
        return loss * float("nan") if state.step == 16 else loss

    monkeypatch.setattr(train.State, "learn", burst)
    with pytest.raises(RobotStackError, match="not finite at step 16"):
        run({**training, "checkpoint_every": 8, "log_every": 100, "validate_every": 100})
    assert checkpoint.newest(training["out"]).name == "step-0000008"


def test_a_run_that_was_moved_goes_on_where_it_is_and_touches_no_other(
    training: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        run(training, stop_after(patch, 12))
    (tmp_path / "run").rename(tmp_path / "first")
    other = run({**training, "steps": 20})
    assert run({**training, "resume": str(tmp_path / "first")}) == tmp_path / "first/step-0000030"
    assert other.exists()


def test_the_best_is_there_until_a_better_one_is_whole(tmp_path: Path) -> None:
    def save(number: float) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            folder.mkdir()
            (folder / "number").write_text(str(number))

        return write

    def fail(folder: Path) -> None:
        raise OSError("no space left on device")

    best = Best(keep=1, patience=2)
    best.offer(tmp_path, 1.0, save(1.0))
    with pytest.raises(OSError, match="no space"):
        best.offer(tmp_path, 2.0, fail)
    assert (tmp_path / "best/number").read_text() == "1.0"
    best.offer(tmp_path, 3.0, save(3.0))
    best.offer(tmp_path, float("nan"), save(4.0))
    assert (tmp_path / "best/number").read_text() == "3.0"
    assert (best.worths, best.since) == ([3.0], 1)


def test_best_ones_that_a_killed_run_left_are_no_hindrance(tmp_path: Path) -> None:
    for name in ("best", "best-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "number").write_text(name)
    best = Best(keep=2, patience=0)
    best.restore({"worths": [1.0], "since": 0})  # of the checkpoint before
    best.offer(tmp_path, 2.0, lambda folder: folder.mkdir())
    assert (tmp_path / "best-2/number").read_text() == "best"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "best-2"]


def test_a_flight_that_was_cut_off_is_made_when_the_run_goes_on(
    training: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, config: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fly_in_training", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run({**training, "rollouts": 4})
    monkeypatch.setattr(train, "fly_in_training", lambda folder, config: 0.5)
    folder = run({**training, "resume": str(training["out"])})
    curve = checkpoint.training_numbers(folder)["curve"]
    assert [point["step"] for point in curve if "score" in point] == [10, 20, 30]


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps", 0), ("batch", 0), ("accumulate", -1), ("validation", 2), ("keep", 0), ("seed", -1), ("clip", 0.0),
     ("rate", -1.0), ("patience", -1), ("out", None), ("ema_power", -1)],
)  # fmt: skip
def test_a_number_out_of_range_is_named(training: dict[str, Any], key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{key}="):
        run({**training, key: value})


def test_weights_that_are_not_finite_are_not_saved(training: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    stop = train.Stop()
    learn = train.State.learn

    def burst(state: train.State, index: Any, following: Any) -> torch.Tensor:
        loss = learn(state, index, following)
        if state.step == 13:
            next(state.policy.parameters()).data.fill_(float("inf"))
            stop.requested = True
        return loss

    monkeypatch.setattr(train.State, "learn", burst)
    with pytest.raises(RobotStackError, match="not finite at step 13"):
        run({**training, "checkpoint_every": 10}, stop)
    assert checkpoint.newest(training["out"]).name == "step-0000010"
