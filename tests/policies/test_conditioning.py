"""What a policy is told: rows to reach, and texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Generator

from policies import Batch, Policy, Window, checkpoint, train
from policies.conditioning import Conditioning
from policies.goal import Goal, stored_row
from policies.instruction import Instruction, tokens
from policies.train import Stop
from policies.windows import Windows
from robot_stack.spec import Spec
from robot_stack.store import Store
from robot_stack.types import ConfigError, StoreError

GOAL = {"_target_": "policies.goal.Goal", "fields": ["pose"], "drop": 0.2}
INSTRUCTION = {"_target_": "policies.instruction.Instruction", "words": 8, "vocabulary": 64, "size": 8, "drop": 0.2}
SEEN, ACT = ["pose", "grip"], ["requested.pose", "requested.grip"]
WINDOW = Window(history=2, horizon=8, execute=4)
TOLD = pytest.mark.parametrize("told", [GOAL, INSTRUCTION], ids=["goal", "instruction"])


def made(told: dict[str, Any]) -> Conditioning:
    arguments = {name: value for name, value in told.items() if name != "_target_"}
    return Goal(**arguments) if told is GOAL else Instruction(**arguments)


def windows(store: Store, told: Conditioning) -> Windows:
    return Windows(store.episodes, SEEN, ACT, WINDOW, conditioning=told)


def built(config: dict[str, Any], spec: Spec, data: Windows) -> Policy:
    torch.manual_seed(0)
    policy = checkpoint.build(config, spec)
    policy.fit(data.observe, data.numbers())
    return policy


@pytest.mark.parametrize("when", ["future", "last"])
def test_a_goal_is_a_later_row_of_the_same_episode(store: Store, when: str) -> None:
    data = windows(store, Goal(["time", "pose"], when))
    batch = data.batch(torch.arange(len(data)))
    now = [row / 10.0 for episode in store.episodes for row in range(len(episode) - 3)]
    last = [(len(episode) - 1) / 10.0 for episode in store.episodes for _ in range(len(episode) - 3)]
    goal = batch.observe["goal.time"]
    assert goal.shape == (len(data), 1)
    assert batch.observe["goal.pose"].shape == (len(data), 1, 7)
    assert "time" not in batch.observe
    assert (goal[:, 0] > torch.tensor(now)).all()
    assert (goal[:, 0] <= torch.tensor(last) + 1e-6).all()
    assert torch.allclose(goal[:, 0], torch.tensor(last)) == (when == "last")


def test_every_row_after_now_is_as_likely_a_goal() -> None:
    drawn = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    rows = Goal(["x"]).later(torch.full((1000,), 10), torch.full((1000,), 14), drawn)
    assert torch.bincount(rows)[10:].tolist() == [0, 250, 250, 250, 250]
    assert Goal(["x"]).later(torch.tensor([14]), torch.tensor([14]), drawn[:1]).tolist() == [14]  # the end is its goal


def test_goals_are_a_function_of_the_windows_in_a_batch_and_change_with_them(store: Store) -> None:
    data = windows(store, Goal(["pose"]))
    index = torch.arange(30)
    torch.manual_seed(1)
    first = data.batch(index).observe["goal.pose"]
    torch.manual_seed(2)
    assert torch.equal(data.batch(index).observe["goal.pose"], first)
    assert not torch.equal(data.batch(index.flip(0)).observe["goal.pose"].flip(0), first)


def test_an_instruction_is_the_text_of_its_episode(store: Store) -> None:
    store.relabel([store.episodes[1].id], language="Put red on blue!")
    data = windows(store, Instruction(words=8, vocabulary=64))
    words = data.batch(torch.arange(len(data))).observe["instruction"]
    assert words.shape == (len(data), 1, 8)
    assert words.dtype == torch.int64
    assert torch.equal(words[0, 0], tokens("toy", 8, 64))
    assert torch.equal(words[9, 0], tokens("put red on blue", 8, 64))  # the first episode has nine windows


def test_words_are_numbers_and_their_order_matters() -> None:
    assert tokens("", 4, 10).tolist() == [0, 0, 0, 0]
    assert tokens("Open  it.", 4, 100).tolist() == tokens("open it", 4, 100).tolist()
    assert sorted(tokens("red on blue", 5, 4096)[:3]) == sorted(tokens("blue on red", 5, 4096)[:3])
    assert sorted(tokens("red on blue", 5, 4096)) != sorted(tokens("blue on red", 5, 4096))
    assert 0 < int(tokens("a", 1, 2)) < 2


@TOLD
@pytest.mark.parametrize(
    "name", ["bc", "bctransformer", "gru", "act", "perceptrons", "unet", "transformer", "beso", "flow"]
)
def test_every_policy_can_be_told(
    name: str, told: dict[str, Any], config_of: Callable[[str], dict[str, Any]], store: Store, spec: Spec
) -> None:
    data = windows(store, made(told))
    policy = built({**config_of(name), "conditioning": told}, spec, data)
    batch = data.batch(torch.arange(16))
    loss = policy.loss(batch)
    assert loss.shape == (16, 8)
    loss.sum().backward()
    assert policy.conditioning is not None
    for which, parameter in policy.conditioning.named_parameters():
        assert parameter.grad is not None, which
        assert parameter.grad.abs().sum() > 0.0, which
    policy.eval()
    untold = {name: value for name, value in batch.observe.items() if name in SEEN}
    with torch.inference_mode():
        conditions = [policy.condition(*of) for of in ((batch.observe,), (untold,), (batch.observe, False))]
        chunks = [
            policy.act(seen, generators=[Generator().manual_seed(i) for i in range(16)])
            for seen in (batch.observe, untold)
        ]
    assert torch.equal(conditions[1], conditions[2])
    assert not torch.equal(conditions[0], conditions[1])
    assert not torch.equal(chunks[0], chunks[1])


def test_what_is_dropped_is_the_whole_goal_of_a_sample(config_of: Callable[..., Any], store: Store, spec: Spec) -> None:
    data = windows(store, Goal(["pose", "grip"], drop=0.3))
    told = {**GOAL, "fields": ["pose", "grip"], "drop": 0.3}
    reader = built({**config_of("bc"), "conditioning": told}, spec, data).conditioning
    assert reader is not None
    one = {name: value.expand(2000, *value.shape[1:]) for name, value in data.batch(torch.tensor([5])).observe.items()}
    vectors = reader(one, 2000, told=True)
    dropped = (vectors == reader.untold).all(dim=1)
    assert dropped.float().mean() == pytest.approx(0.3, abs=0.04)
    assert torch.equal(vectors[~dropped], reader.eval()(one, 2000, told=True)[~dropped])


@TOLD
def test_what_only_the_telling_says_is_learned(
    told: dict[str, Any], config_of: Callable[[str], dict[str, Any]], store: Store, spec: Spec
) -> None:
    """All windows look alike, and each wants the opening that it is told, by a height to reach or by a word."""
    tokens_of = [tokens(text, 8, 64) for text in ("open", "close")]
    data = windows(store, made(told))
    policy = built({**config_of("bc"), "conditioning": {**told, "drop": 0.5}}, spec, data)
    seen = data.batch(torch.tensor([0] * 32))
    wide = torch.arange(32) % 2 == 0
    seen.action[..., 7] = torch.where(wide, 0.08, 0.02)[:, None]
    if told is GOAL:
        seen.observe["goal.pose"] = seen.observe["goal.pose"].clone()
        seen.observe["goal.pose"][..., 2] = torch.where(wide, 0.4, 0.3)[:, None]
    else:
        seen.observe["instruction"] = torch.stack([tokens_of[0 if w else 1] for w in wide])[:, None]
    optimiser = torch.optim.AdamW(policy.parameters(), lr=3e-3, weight_decay=0.0)
    torch.manual_seed(0)
    for _ in range(300):
        optimiser.zero_grad()
        policy.loss(seen).mean().backward()
        optimiser.step()
    policy.eval()
    untold = {name: value for name, value in seen.observe.items() if name in SEEN}
    with torch.inference_mode():
        opening, blind = policy.act(seen.observe)[..., 7], policy.act(untold)[..., 7]
    assert torch.allclose(opening, seen.action[..., 7], atol=0.01)
    assert blind.mean() == pytest.approx(0.05, abs=0.01)  # as often the one as the other


def test_a_row_or_a_text_tells_a_policy_in_flight_what_training_told_it(
    config_of: Callable[[str], dict[str, Any]], store: Store, spec: Spec
) -> None:
    data = windows(store, Goal(["pose", "image.top"], "last"))
    told = {**GOAL, "fields": ["pose", "image.top"]}
    reader = built({**config_of("bc_images"), "conditioning": told}, spec, data).conditioning
    assert reader is not None
    entries = reader.entries(stored_row(str(store.path), store.episodes[0].id, ["pose", "image.top"]))
    batch = data.batch(torch.tensor([3]))
    assert {name for name in batch.observe if name.startswith("goal.")} == set(entries)
    for name, value in entries.items():
        assert torch.equal(value, batch.observe[name])
        assert value.dtype == batch.observe[name].dtype
    talked = windows(store, Instruction(8, 64, 8)).batch(torch.tensor([3]))
    spoken = built({**config_of("bc"), "conditioning": INSTRUCTION}, spec, data).conditioning
    assert spoken is not None
    assert torch.equal(spoken.entries("toy")["instruction"], talked.observe["instruction"])


@TOLD
def test_a_run_that_is_told_ends_with_the_same_bits_when_it_is_interrupted(
    told: dict[str, Any], training: dict[str, Any], tmp_path: Path
) -> None:
    config = {**training, "policy": {**training["policy"], "conditioning": told}, "steps": 8, "checkpoint_every": 4}
    whole = train.train({**config, "out": str(tmp_path / "whole")}, Stop(), Console(quiet=True))
    half = {**config, "out": str(tmp_path / "half")}

    class AfterFour(Stop):
        asked = 0

        @property
        def requested(self) -> bool:  # type: ignore[override]
            self.asked += 1
            return self.asked > 4

        @requested.setter
        def requested(self, value: bool) -> None: ...

    assert train.train(half, AfterFour(), Console(quiet=True)).name == "step-0000004"
    again = train.train({**half, "resume": half["out"]}, Stop(), Console(quiet=True))
    tensors, expected = load_file(again / "model.safetensors"), load_file(whole / "model.safetensors")
    assert [name for name in expected if not torch.equal(expected[name], tensors[name])] == []
    assert any("conditioning" in name for name in expected)


def test_what_cannot_tell_is_said(
    store: Store, spec: Spec, config_of: Callable[[str], dict[str, Any]], batch_of: Callable[[Windows], Batch]
) -> None:
    with pytest.raises(ConfigError, match=r"conditioning\.when=soon: choose one of future, last"):
        Goal(["pose"], "soon")
    with pytest.raises(ConfigError, match=r"conditioning\.fields is empty"):
        Goal([])
    with pytest.raises(StoreError, match="no row 99: it has the rows 0 to 11"):
        stored_row(str(store.path), store.episodes[0].id, ["pose"], 99)
    data = windows(store, Goal(["pose", "grip"]))
    policy = built({**config_of("bc"), "conditioning": {**GOAL, "fields": ["pose", "grip"]}}, spec, data)
    half = batch_of(data).observe
    del half["goal.grip"]
    with pytest.raises(ConfigError, match="a goal without grip: it needs all of pose, grip"):
        policy.condition(half)


@pytest.fixture
def batch_of() -> Callable[[Windows], Batch]:
    return lambda data: data.batch(torch.arange(4))
