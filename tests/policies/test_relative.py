from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from policies import checkpoint
from policies.actions import ActionSpace
from policies.relative import Delta, Relative, compose, seen_from
from policies.windows import Windows
from robot_stack import pose as se3
from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.types import ConfigError

SPEC = Spec(
    [
        Field("pose", (7,), unit="m,1", frame="base_from_tcp"),
        Field("q", (2,), unit="rad"),
        Field("grip", unit="m"),
        Field("requested.pose", (7,), unit="m,1", frame="base_from_tcp"),
        Field("requested.q", (2,), unit="rad"),
        Field("requested.grip", unit="m"),
    ]
)
OBSERVE, ACT = ["pose", "q", "grip"], ["requested.grip", "requested.pose", "requested.q"]
TO = {"requested.pose": "pose", "requested.q": "q", "requested.position": "agent"}
POSES = (
    arrays(float, (7,), elements=st.floats(-1.0, 1.0)).filter(lambda a: np.linalg.norm(a[3:]) > 0.1).map(se3.normalize)
)
BOTH = pytest.mark.parametrize("actions", [Relative(TO), Delta(TO)], ids=["relative", "delta"])


def flown(poses: list[np.ndarray]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Poses as targets of a chunk, and a history that ends at the first of them."""
    now, targets = torch.from_numpy(poses[0]), torch.from_numpy(np.stack(poses[1:]))
    steps = torch.linspace(0.0, 1.0, len(targets), dtype=torch.float64)[:, None]
    vector = torch.cat([0.08 - 0.05 * steps, targets, steps, steps**2 + 3.0], dim=1)[None]
    history = {"pose": torch.stack([targets[-1], now])[None], "q": torch.tensor([[[9.0, 9.0], [0.3, -0.2]]])}
    return vector, history


@BOTH
@settings(max_examples=50, deadline=None)
@given(poses=st.lists(POSES, min_size=4, max_size=4))
def test_what_is_encoded_comes_back(actions: ActionSpace, poses: list[np.ndarray]) -> None:
    targets = actions.build(SPEC, OBSERVE, ACT)
    vector, history = flown(poses)
    numbers = targets.encode(vector, history)
    assert numbers.shape == (1, 3, targets.size)
    assert targets.bounded.shape == (targets.size,)
    back, wanted = targets.split(targets.decode(numbers, history)), targets.split(vector)
    for name in ("requested.grip", "requested.q"):
        assert torch.allclose(back[name], wanted[name])
    for one, other in zip(back["requested.pose"][0].numpy(), wanted["requested.pose"][0].numpy(), strict=True):
        metres, radians = se3.distance(one, other)
        assert metres < 1e-6
        assert radians < 1e-6


@settings(max_examples=50, deadline=None)
@given(POSES, POSES)
def test_poses_are_composed_as_on_the_ground(a: np.ndarray, b: np.ndarray) -> None:
    one, other = torch.from_numpy(a), torch.from_numpy(b)
    assert max(se3.distance(compose(one, other).numpy(), se3.compose(a, b))) < 1e-6
    assert max(se3.distance(seen_from(one, other).numpy(), se3.compose(se3.inverse(a), b))) < 1e-6


@BOTH
@settings(max_examples=20, deadline=None)
@given(poses=st.lists(POSES, min_size=4, max_size=4), base=POSES)
def test_the_numbers_do_not_depend_on_where_the_base_stands(
    actions: ActionSpace, poses: list[np.ndarray], base: np.ndarray
) -> None:
    targets = actions.build(SPEC, OBSERVE, ACT)
    here, there = (targets.encode(*flown(seen)) for seen in (poses, [se3.compose(base, one) for one in poses]))
    assert torch.allclose(here, there, atol=1e-6)


def test_a_trajectory_is_seen_from_the_newest_row_and_a_step_from_the_one_before() -> None:
    poses = [np.array([x, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]) for x in (1.0, 1.1, 1.3, 1.6)]
    ahead = {}
    for actions in (Relative(TO), Delta(TO)):
        targets = actions.build(SPEC, OBSERVE, ACT)
        ahead[type(actions)] = targets.encode(*flown(poses))[0, :, 1]
        assert targets.encode(*flown(poses))[0, :, 0].tolist() == pytest.approx([0.08, 0.055, 0.03])  # the opening
    assert ahead[Relative].tolist() == pytest.approx([0.1, 0.3, 0.6])
    assert ahead[Delta].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_a_turned_tool_goes_ahead_along_its_own_axis() -> None:
    """A quarter turn about z: to the tool, the base's y is ahead."""
    turned = np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])
    further = turned + [0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]
    numbers = Relative(TO).build(SPEC, OBSERVE, ACT).encode(*flown([turned, further]))
    assert numbers[0, 0, 1:].tolist()[:9] == pytest.approx([0.2, 0, 0, 1, 0, 0, 0, 1, 0], abs=1e-9)


def test_small_turns_between_steps_are_scaled_and_large_ones_are_not() -> None:
    relative, delta = (actions(TO).build(SPEC, OBSERVE, ACT) for actions in (Relative, Delta))
    assert int(relative.bounded.sum()) == 6
    assert int(delta.bounded.sum()) == 0


def test_what_cannot_be_seen_from_anything_is_said() -> None:
    with pytest.raises(ConfigError, match=r"none of requested\.grip is seen from anything"):
        Relative(TO).build(SPEC, OBSERVE, ["requested.grip"])
    with pytest.raises(ConfigError, match=r"seen from pose, which the policy does not observe \(it observes q\)"):
        Relative(TO).build(SPEC, ["q"], ["requested.pose"])
    with pytest.raises(ConfigError, match="shape, unit and frame must agree"):
        Relative({"requested.q": "pose"}).build(SPEC, OBSERVE, ACT)


@pytest.mark.parametrize("name", ["Relative", "Delta"])
def test_a_policy_learns_ways_to_go_and_proposes_places(
    name: str, config_of: Callable[[str], dict[str, Any]], store: Store, spec: Spec
) -> None:
    actions = {"_target_": f"policies.relative.{name}", "relative_to": {"requested.pose": "pose"}}
    config = {**config_of("bc"), "actions": actions}
    torch.manual_seed(0)
    policy = checkpoint.build(config, spec)
    data = Windows(store.episodes, config["observe"], config["act"], policy.window)
    policy.fit(data.observe, data.numbers())
    batch = data.batch(torch.arange(0, 64, 4))
    numbers = policy.encode(batch.action, batch.observe)[batch.valid]
    assert numbers.abs().max() <= 1.0 + 1e-5
    optimiser = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    for _ in range(400):
        optimiser.zero_grad()
        (policy.loss(batch) * batch.valid).mean().backward()
        optimiser.step()
    with torch.inference_mode():
        chunk = policy.eval().act(batch.observe)
    assert (chunk - batch.action)[batch.valid][:, :3].abs().mean() < 0.01
