from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policies import Window, checkpoint
from policies.inference import OneGraph
from policies.pictures import Pictures
from policies.pilot import Pilot, engage
from policies.windows import Windows
from robot_stack.spec import Field, Spec
from robot_stack.station import Station
from robot_stack.store import Store
from robot_stack.types import CheckpointError, ConfigError, Source, StoreError, TargetKind

STATION = Station("toy", joints=6, cameras={"top": (48, 64)})


@pytest.fixture(params=["perceptrons", "bc_images"])
def pilot(
    request: pytest.FixtureRequest, config_of: Callable[[str], dict[str, Any]], store: Store, tmp_path: Path
) -> Pilot:
    """Flies a policy that knows the limits of the data; its camera is twice as large as what it looks at."""
    config = config_of(request.param)
    spec = Spec(Field(f.name, (48, 64, 3), "u1") if f.name == "image.top" else f for f in store.spec)
    torch.manual_seed(0)
    policy = checkpoint.build(config, spec)
    data = Windows(store.episodes, ["pose", "grip"], config["act"], Window(2, 8, 4))
    policy.fit(data.observe, data.numbers())
    checkpoint.save(tmp_path / "run" / "step-0000001", policy, {"policy": config}, {"rate": 10.0})
    return Pilot(tmp_path / "run", device="cpu")


def rows_of(count: int, first: float = 100.0) -> list[Any]:
    random = np.random.default_rng(0)
    rows = []
    for i in range(count):
        row = STATION.row.record(time=first + i / 10.0, grip=0.04)
        row["pose"] = [0.4, 0.0, 0.3 + 0.01 * i, 0.0, 0.0, 0.0, 1.0]
        row["image.top"] = random.integers(0, 255, (48, 64, 3))
        rows.append(row)
    return rows


def test_the_first_waypoint_is_now_and_the_others_follow_at_the_rate_of_the_rows(pilot: Pilot) -> None:
    chunk = pilot.chunk(rows_of(2), STATION)
    assert chunk.dtype == STATION.chunk.spec.dtype
    assert (chunk["count"], chunk["source"], chunk["kind"]) == (8, Source.POLICY, TargetKind.POSE)
    assert chunk["observed"] == chunk["times"][0] == 100.1
    assert np.allclose(np.diff(chunk["times"][:8]), 0.1)
    assert np.allclose(np.linalg.norm(chunk["pose"][:8, 3:], axis=1), 1.0, atol=1e-4)
    assert (chunk["pose"][8:] == 0.0).all()


def test_what_is_flown_on_is_what_is_trained_on(pilot: Pilot) -> None:
    """The rows of an episode through the data path of training, and through the pilot, give the same chunk."""
    rows = rows_of(6)

    class Recorded:
        id, attrs, spec = "ep-000000", {}, STATION.row

        def __len__(self) -> int:
            return len(rows)

        def read(self, name: str, start: int, stop: int) -> np.ndarray:
            return self[name][start:stop]

        def __getitem__(self, name: str) -> np.ndarray:
            return np.array([row[name] for row in rows])

    resolution = pilot.policy.observation.images.resolution if pilot.policy.observation.images else None
    observe, act = pilot.policy.observes, pilot.policy.acts
    data = Windows([Recorded()], observe, act, Window(2, 8, 1), pictures=Pictures(resolution))
    with torch.inference_mode():
        expected = pilot.policy.act(data.batch(torch.tensor([4])).observe, None, [torch.Generator().manual_seed(0)])
    chunk = pilot.chunks([rows[3:5]], STATION, [torch.Generator().manual_seed(0)])[0]
    assert np.array_equal(chunk["pose"][:8].astype(np.float32), expected[0, :, :7].numpy())
    assert np.array_equal(chunk["grip"][:8].astype(np.float32), expected[0, :, 7].numpy())


def test_another_rate_is_refused(pilot: Pilot) -> None:
    with pytest.raises(CheckpointError, match="trained on 10 rows a second, the cell makes 20"):
        pilot.check(Station("cell", joints=6, cameras={"top": (48, 64)}, rate=20.0), "the cell")


def test_the_cameras_that_it_needs_are_known(pilot: Pilot) -> None:
    assert pilot.cameras == ({"top": (48, 64)} if pilot.policy.observation.images else {})


@pytest.fixture
def listener(config_of: Callable[[str], dict[str, Any]], store: Store, tmp_path: Path) -> Callable[..., Pilot]:
    """Makes a pilot by the config of `eval`, of a policy that is told by `conditioning`."""

    def made(conditioning: dict[str, Any] | None, **config: Any) -> Pilot:
        policy = {**config_of("perceptrons"), "conditioning": conditioning}
        torch.manual_seed(0)
        built = checkpoint.build(policy, store.spec)
        data = Windows(store.episodes, ["pose", "grip"], policy["act"], Window(2, 8, 4))
        built.fit(data.observe, data.numbers())
        folder = checkpoint.save(tmp_path / "told" / "step-0000001", built, {"policy": policy}, {"rate": 10.0})
        return engage({"checkpoint": str(folder), "device": "cpu", **config})

    return made


GOAL = {"_target_": "policies.goal.Goal", "fields": ["pose"]}
WORDS = {"_target_": "policies.instruction.Instruction"}


def proposed(pilot: Pilot) -> np.ndarray[Any, Any]:
    return pilot.chunks([rows_of(2)], STATION, [torch.Generator().manual_seed(0)])[0]["pose"][:8]


def test_a_policy_is_told_a_recorded_row_or_words(listener: Callable[..., Pilot], store: Store) -> None:
    first = store.episodes[0].id
    untold = proposed(listener(GOAL))
    last = proposed(listener(GOAL, goal=f"{store.path}:{first}"))
    assert not np.array_equal(untold, last)
    assert np.array_equal(last, proposed(listener(GOAL, goal=f"{store.path}:{first}:11")))  # it has twelve
    assert not np.array_equal(last, proposed(listener(GOAL, goal=f"{store.path}:{first}:0")))
    assert not np.array_equal(proposed(listener(WORDS)), proposed(listener(WORDS, language="pick the red one")))


def test_what_cannot_be_told_is_refused(listener: Callable[..., Pilot], store: Store) -> None:
    with pytest.raises(ConfigError, match="was trained without conditioning=goal"):
        listener(None, goal=f"{store.path}:{store.episodes[0].id}")
    with pytest.raises(ConfigError, match="expected STORE:EPISODE or STORE:EPISODE:ROW"):
        listener(GOAL, goal="somewhere")
    with pytest.raises(StoreError, match="has no row 99"):
        listener(GOAL, goal=f"{store.path}:{store.episodes[0].id}:99")


def test_sampler_and_guidance_are_chosen_at_run_time(listener: Callable[..., Pilot]) -> None:
    assert not np.array_equal(proposed(listener(GOAL)), proposed(listener(GOAL, sampler="ddpm")))
    with pytest.raises(ConfigError, match="sampler"):
        listener(GOAL, sampler="wrong")
    told = {"goal": None, "guidance": 2.0}
    assert listener(GOAL, **told).policy.guidance == 2.0


def test_a_setting_that_the_policy_has_not_is_refused(
    config_of: Callable[[str], dict[str, Any]], store: Store, tmp_path: Path
) -> None:
    built = checkpoint.build(config_of("bc"), store.spec)
    checkpoint.save(tmp_path / "bc" / "step-0000001", built, {"policy": config_of("bc")}, {"rate": 10.0})
    with pytest.raises(ConfigError, match="BehaviourCloning has no sampler"):
        Pilot(tmp_path / "bc", device="cpu", sampler="ddim")


def test_one_graph_answers_as_its_network(pilot: Pilot) -> None:
    net = pilot.policy.net
    assert isinstance(net, OneGraph)
    seen: list[tuple[torch.Tensor, ...]] = []
    handle = net.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    pilot.chunks([rows_of(2)], STATION, [torch.Generator().manual_seed(0)])
    handle.remove()
    assert seen  # it was traced
    with torch.inference_mode():
        assert torch.allclose(net(*seen[0]), net.net(*seen[0]), atol=1e-5)


class Drawn(torch.nn.Module):
    """What answers otherwise each time."""

    def forward(self, chunk: torch.Tensor) -> torch.Tensor:
        return chunk + torch.rand_like(chunk)


class Unreadable(torch.nn.Module):
    """What no tracer can follow."""

    def forward(self, chunk: torch.Tensor) -> object:
        return object(), chunk + 1.0


@pytest.mark.parametrize(("net", "reason"), [(Drawn(), "it answers otherwise than its graph"), (Unreadable(), "")])
def test_a_network_that_cannot_be_one_graph_is_called_as_it_is_and_that_is_said(
    net: torch.nn.Module, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    graph = OneGraph(net.eval())
    graph(torch.ones(1, 1000))
    assert graph._graphs[(torch.Size([1, 1000]),)] is net
    (said,) = (record.getMessage() for record in caplog.records if record.name == "policies.inference")
    assert said.startswith(f"{type(net).__name__} is called as it is, slower than as one graph: {reason}")
