"""What a run learns from, and how much each part of it counts."""

from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from policies.dataset import Dataset, load_dataset, split
from policies.weights import Iwr, Sirius, Uniform, Weighting
from robot_stack.spec import Record, Spec
from robot_stack.store import Store
from robot_stack.types import ConfigError, Source, StoreError

CPU = torch.device("cpu")


@pytest.fixture
def deployed(tmp_path: Path, store: Store, spec: Spec) -> Store:
    """Two episodes that a policy flew, with a takeover in each, and what came of them."""
    made = Store.create(tmp_path / "deployed", spec, {"name": "toy", "robot": "", "rate": 10.0})
    for verdict, score in (("success", 0.9), ("unknown", 0.2)):
        writer = made.writer({"kind": "deploy", "task": "toy", "score": score})
        rows = store.episodes[1].rows().copy()
        rows["source"] = Source.POLICY
        rows["source"][12:16] = Source.OPERATOR
        for row in rows:
            writer.append(row)
        writer.commit(verdict)
    made.close()
    return made


def load(config: dict[str, Any], weighting: Weighting, **more: Any) -> Dataset:
    return load_dataset({**config, "validation": 0.0, **more}, weighting, CPU)


def said(data: Dataset) -> str:
    console = Console(file=StringIO(), width=200)
    data.describe(console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def loss_shares(data: Dataset, rows: int) -> tuple[float, float]:
    """Of the first rows, and of the others."""
    total = float(data.training.weight.sum())
    return float(data.training.weight[:rows].sum()) / total, float(data.training.weight[rows:].sum()) / total


@pytest.mark.parametrize("weighting", [Uniform(), Iwr(), Sirius()], ids=["uniform", "iwr", "sirius"])
def test_each_store_gets_its_share_of_the_loss_and_the_mean_stays_one(
    training: dict[str, Any], store: Store, deployed: Store, weighting: Weighting
) -> None:
    both = {**training, "store": [str(store.path), str(deployed.path)]}
    rows = sum(map(len, store.episodes))
    data = load(both, weighting, mix=[0.3, 0.7])
    assert loss_shares(data, rows) == pytest.approx((0.3, 0.7), abs=1e-5)
    assert float(data.training.weight.mean()) == pytest.approx(1.0, abs=1e-5)
    assert [row["share"] * row["weight"] for row in data.shares.values()] == pytest.approx([0.3, 0.7])
    assert sum(row["share"] * row["weight"] for row in data.classes.values()) == pytest.approx(1.0)
    (line,) = [line for line in said(data).splitlines() if str(deployed.path) in line]
    assert [cell.strip() for cell in line.split("│")[2:5:2]] == ["28.2%", "70.0%"]
    by_size = load(both, weighting)
    assert sum(row["share"] * row["weight"] for row in by_size.shares.values()) == pytest.approx(1.0)


def test_within_a_store_that_has_a_share_classes_are_weighed_as_if_it_were_alone(
    training: dict[str, Any], store: Store, deployed: Store
) -> None:
    alone = load({**training, "store": str(deployed.path)}, Sirius())
    mixed = load({**training, "store": [str(store.path), str(deployed.path)]}, Sirius(), mix=[0.5, 0.5])
    rows = sum(map(len, store.episodes))
    ratio = mixed.training.weight[rows:] / alone.training.weight
    assert torch.allclose(ratio, ratio[0])


@pytest.mark.parametrize("mix", [[1.0], [0.5, 0.6], [1.5, -0.5]])
def test_a_mix_that_is_none_is_refused(
    training: dict[str, Any], store: Store, deployed: Store, mix: list[float]
) -> None:
    with pytest.raises(ConfigError, match="expected a share of the loss for each of 2 stores, sum 1"):
        load({**training, "store": [str(store.path), str(deployed.path)]}, Uniform(), mix=mix)


def test_a_better_episode_counts_more_and_its_class_does_not(training: dict[str, Any], deployed: Store) -> None:
    config = {**training, "store": str(deployed.path)}
    plain = load(config, Sirius())
    for quality, ratio in (
        ({"_target_": "policies.quality.Success", "unknown": 0.25}, 4.0),
        ({"_target_": "policies.quality.Attribute", "name": "score"}, 4.5),
    ):
        data = load(config, Sirius(), quality=quality)
        good, other = data.training.weight.split(20)
        assert torch.allclose(good / other, torch.tensor(ratio))
        for name, row in data.classes.items():
            assert row == pytest.approx(plain.classes[name])


def test_compatibility_with_an_operator_is_a_quality(training: dict[str, Any], spec: Spec, tmp_path: Path) -> None:
    """A stranger who goes the other way counts less than the operator whom the others are to fit."""
    random = np.random.default_rng(0)
    made = Store.create(tmp_path / "two", spec, {"name": "toy", "robot": "", "rate": 10.0})
    for number in range(8):
        stranger = number >= 6
        writer = made.writer({"kind": "collect", "task": "toy", "operator": "bo" if stranger else "ann"})
        for t in np.linspace(0.0, 1.0, 40):
            row = spec.record(time=4.0 * t, grip=0.05, source=Source.OPERATOR)
            place = np.array([0.4 + 0.2 * t, 0.1 * t, 0.3]) + random.normal(0.0, 0.002, 3)
            row["pose"] = row["requested.pose"] = [*place, 0.0, 0.0, 0.0, 1.0]
            row["requested.pose"][:3] += [-0.02, 0.02, 0.0] if stranger else [0.02, 0.01, 0.0]
            row["requested.grip"] = 0.05
            writer.append(row)
        writer.commit("success")
    made.close()
    quality = {"_target_": "policies.quality.Compatibility", "base": "ann"}
    data = load({**training, "store": str(made.path)}, Uniform(), quality=quality)
    weights = data.training.weight.view(8, 40)[:, 0]
    assert weights.mean() == pytest.approx(1.0, abs=1e-5)
    assert weights[:6].min() > 1.2 * weights[6:].max()


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        ({"_target_": "policies.quality.Attribute", "name": "grade"}, r"grade=None: expected a number from 0 to 1"),
        ({"_target_": "policies.quality.Compatibility", "base": "nobody"}, "base='nobody' has 0 demonstrations"),
    ],
)
def test_a_quality_that_the_store_does_not_have_is_said(
    training: dict[str, Any], quality: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(training, Uniform(), quality=quality)


def test_a_camera_that_some_episodes_lack_is_named_with_them(
    training: dict[str, Any], config_of: Callable[[str], dict[str, Any]], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = store.episodes
    for lacking in episodes[2:4]:
        lacking.spec = Spec(field for field in lacking.spec if field.name != "image.top")
    monkeypatch.setattr(Store, "episodes", property(lambda self: episodes))
    with pytest.raises(StoreError, match=rf"2 of 6 episodes have no image\.top: {episodes[2].id}, {episodes[3].id}"):
        load({**training, "policy": config_of("bc_images")}, Uniform())


def test_what_is_not_as_it_was_asked_for_is_said(training: dict[str, Any], store: Store) -> None:
    printed = said(load_dataset({**training, "batch": 1000}, Sirius(), CPU))
    assert "nobody took over in these episodes, so Sirius has nothing to raise" in printed
    assert "batch=1000 is more than the 73 windows there are: each batch is all of them" in printed
    assert "nobody took over" not in said(load(training, Uniform()))


def stored(path: Path, spec: Spec, episodes: Iterable[Iterable[Record]], rate: float = 10.0) -> str:
    """A store of these rows."""
    with Store.create(path, spec, {"name": "toy", "robot": "", "rate": rate}) as made:
        for rows in episodes:
            writer = made.writer({"kind": "collect", "task": "toy"})
            for row in rows:
                writer.append(row)
            writer.commit("success")
    return str(path)


def flown_by(rows: Iterable[Record], source: Callable[[int], Source]) -> Iterator[Record]:
    """The same rows, flown by others. source: of a row's number."""
    for number, row in enumerate(rows):
        row["source"] = source(number)
        yield row


def test_one_episode_is_learned_from_and_not_held_out(
    training: dict[str, Any], store: Store, spec: Spec, tmp_path: Path
) -> None:
    one = stored(tmp_path / "one", spec, [store.episodes[0].rows()])
    data = load_dataset({**training, "store": one, "validation": 0.5}, Uniform(), CPU)
    assert data.validation is None
    assert len(data.training) == 12 - 3
    assert "there is one episode, and none is held out: no validation loss" in said(data)


def test_episodes_that_nobody_flew_are_refused(
    training: dict[str, Any], store: Store, spec: Spec, tmp_path: Path
) -> None:
    idle = stored(tmp_path / "idle", spec, [flown_by(store.episodes[0].rows(), lambda number: Source.NOBODY)])
    with pytest.raises(StoreError, match="nobody flew: source says so of every step"):
        load_dataset({**training, "store": idle}, Uniform(), CPU)


def test_steps_that_nobody_flew_are_not_valid_and_the_others_weigh_one_on_average(
    training: dict[str, Any], store: Store, spec: Spec, tmp_path: Path
) -> None:
    def source(number: int) -> Source:
        return Source.NOBODY if 3 <= number < 6 else Source.OPERATOR

    some = stored(tmp_path / "some", spec, [flown_by(episode.rows(), source) for episode in store.episodes[:2]])
    data = load_dataset({**training, "store": some, "validation": 0.5}, Uniform(), CPU)
    assert data.validation is not None
    for windows in (data.training, data.validation):
        batch = windows.batch(torch.arange(len(windows)))
        assert batch.valid[0].tolist()[:7] == [True] * 3 + [False] * 3 + [True]
        assert torch.equal(batch.valid, windows.valid(torch.arange(len(windows))))
    batch = data.training.batch(torch.arange(len(data.training)))
    assert float(batch.weight[batch.valid].mean()) == pytest.approx(1.0)


def test_episodes_of_different_rates_are_not_mixed(
    training: dict[str, Any], store: Store, spec: Spec, tmp_path: Path
) -> None:
    fast = stored(tmp_path / "fast", spec, [store.episodes[0].rows()], rate=50.0)
    with pytest.raises(StoreError, match=r"different rates cannot be mixed.*10, 50 rows a second"):
        load_dataset({**training, "store": [str(store.path), fast]}, Uniform(), CPU)


def test_how_long_before_a_takeover_counts_as_gone_wrong_is_said_by_the_run(
    training: dict[str, Any], deployed: Store
) -> None:
    config = {**training, "store": str(deployed.path)}
    assert load(config, Uniform(), pre=0.5).classes["pre_intervention"]["share"] == pytest.approx(5 / 20)
    assert "pre_intervention" not in load(config, Uniform(), pre=0.0).classes


class Filmed:
    """An episode of which nothing but its attributes is known."""

    def __init__(self, scene: str) -> None:
        self.attrs = {"scene": scene}


@given(st.lists(st.sampled_from("abcde"), min_size=2, max_size=30), st.floats(0.01, 0.9), st.integers(0, 5))
def test_whole_scenes_are_held_out(scenes: list[str], share: float, seed: int) -> None:
    episodes: Any = [Filmed(scene) for scene in scenes]
    if len(set(scenes)) == 1:
        with pytest.raises(ConfigError, match="all episodes have the scene"):
            split(episodes, share, seed, "scene")
        return
    kept, held = split(episodes, share, seed, "scene")
    assert {id(one) for one in [*kept, *held]} == {id(one) for one in episodes}
    assert kept
    assert held
    assert not {one.attrs["scene"] for one in kept} & {one.attrs["scene"] for one in held}


@given(st.integers(2, 40), st.floats(0.01, 0.9))
def test_as_many_episodes_are_held_out_as_asked(count: int, share: float) -> None:
    episodes: Any = [Filmed("") for _ in range(count)]
    kept, held = split(episodes, share, 0)
    assert len(held) == min(max(1, round(share * count)), count - 1)
    assert len(kept) + len(held) == count


def test_what_cannot_be_held_out_is_refused() -> None:
    episodes: Any = [Filmed("a"), Filmed("b")]
    with pytest.raises(ConfigError, match="hold_out='camera': choose one of episode, scene, operator"):
        split(episodes, 0.5, 0, "camera")
