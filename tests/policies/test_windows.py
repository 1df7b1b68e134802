from pathlib import Path

import numpy as np
import pytest
import torch

from policies import Window
from policies.windows import Order, Windows
from robot_stack.types import ConfigError, StoreError

PUSHT = Path(__file__).parents[3] / "shared" / "data" / "pusht_human_v7" / "lowdim.npz"


class Episode:
    """An episode whose field x counts its rows from `first`."""

    def __init__(self, length: int, first: float = 0.0) -> None:
        self.id = "ep-000000"
        self.attrs: dict[str, object] = {}
        self.x = first + np.arange(length, dtype=np.float64)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.x


def windows(*episodes: Episode, **more: object) -> Windows:
    return Windows(list(episodes), ["x"], ["x"], Window(history=2, horizon=4, execute=2), **more)


def test_history_is_padded_at_the_start_and_actions_at_the_end() -> None:
    data = windows(Episode(5), Episode(3, first=100.0))
    assert len(data) == (5 - 1) + (3 - 1)
    batch = data.batch(torch.tensor([0, 3, 4, 5]))
    assert batch.observe["x"].tolist() == [[0, 0], [2, 3], [100, 100], [100, 101]]
    assert batch.action[..., 0].tolist() == [[0, 1, 2, 3], [3, 4, 4, 4], [100, 101, 102, 102], [101, 102, 102, 102]]
    assert batch.valid.sum(dim=1).tolist() == [4, 2, 3, 2]


def test_weights_follow_the_steps_of_the_action() -> None:
    data = windows(Episode(4), weight=[np.array([0.0, 1.0, 2.0, 3.0])])
    assert data.batch(torch.tensor([1])).weight.tolist() == [[1.0, 2.0, 3.0, 3.0]]


def test_pusht_has_as_many_windows_as_in_diffusion_policy() -> None:
    """Horizon 16, padded by 1 before and 7 after: 206 episodes, 25,650 steps, 24,208 windows."""
    if not PUSHT.exists():
        pytest.skip("the PushT demonstrations are not beside this repository")
    ends = np.load(PUSHT)["episode_ends"]
    episodes = [Episode(length) for length in np.diff(ends, prepend=0)]
    assert len(Windows(episodes, ["x"], ["x"], Window(history=2, horizon=16, execute=8))) == 24_208


def test_too_short_episodes_are_refused() -> None:
    with pytest.raises(StoreError, match="longest of 1 episodes has 1 rows"):
        windows(Episode(1))


def test_a_number_that_is_not_finite_is_named() -> None:
    bad = Episode(5)
    bad.x[3] = np.nan
    with pytest.raises(StoreError, match="ep-000000, row 3: x is not finite"):
        windows(bad)


def test_an_epoch_shows_every_window_once_and_the_order_is_a_function_of_the_step() -> None:
    order = Order(count=10, batch=5, seed=3)
    epoch = torch.cat([order(0), order(1)])
    assert sorted(epoch.tolist()) == list(range(10))
    assert order(2).tolist() != order(0).tolist()
    assert Order(count=10, batch=5, seed=3)(7).tolist() == [order(i) for i in range(8)][7].tolist()


def test_who_asks_for_the_next_step_first_gets_the_same_order() -> None:
    order, ahead = (Order(count=10, batch=5, seed=3) for _ in range(2))
    for step in range(8):
        following = ahead(step + 1)
        assert ahead(step).tolist() == order(step).tolist()
        assert following.tolist() == order(step + 1).tolist()


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    order = Order(count=3, batch=100, seed=0)
    assert sorted(order(4).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("wrong", [{"history": 0}, {"execute": 17}, {"horizon": 65}])
def test_an_impossible_window_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="a window needs"):
        Window(**wrong)
