from pathlib import Path

import numpy as np
import pytest

from robot_stack.sim.pusht import LIMIT, PushT
from robot_stack.spec import Record
from robot_stack.store.formats.replay_layout import PUSHT
from robot_stack.types import ConfigError

DATA = Path(__file__).parents[4] / "shared" / "data" / "pusht_human_v7" / "lowdim.npz"


def chunk(game: PushT, *positions: tuple[float, float]) -> Record:
    record = game.station.chunk.spec.record(time=game.time, observed=game.time, count=len(positions))
    record["times"][: len(positions)] = game.time + np.arange(len(positions)) / game.rate
    record["position"][: len(positions)] = positions
    return record


def test_rows_have_the_fields_of_the_imported_demonstrations() -> None:
    assert PushT({"top": (96, 96)}).row == PUSHT
    assert PUSHT.difference(PushT().row) == ["image.top is missing"]


def test_the_same_seed_is_the_same_start() -> None:
    game, other = PushT(), PushT()
    game.reset(100_000)
    other.reset(100_000)
    assert np.array_equal(game.observe(1)[0], other.observe(1)[0])
    other.reset(100_001)
    assert not np.array_equal(game.observe(1)[0]["block"], other.observe(1)[0]["block"])


def test_history_is_repeated_at_the_start_and_then_grows() -> None:
    game = PushT()
    assert [float(row["time"]) for row in game.observe(2)] == [0.0, 0.0]
    game.advance(None)
    game.advance(None)
    assert [float(row["time"]) for row in game.observe(3)] == pytest.approx([0.0, 0.1, 0.2])


def test_each_row_is_flown_with_the_waypoint_that_is_due() -> None:
    game = PushT()
    plan = chunk(game, (100.0, 100.0), (120.0, 100.0), (140.0, 100.0))
    for _ in range(4):
        game.advance(plan)
    asked = [row["requested.position"][0] for row in game.observe(5)[:4]]
    assert asked == [100.0, 120.0, 140.0, 140.0]


def test_an_attempt_ends_when_its_time_is_up_and_the_score_never_falls() -> None:
    game = PushT()
    game.reset(100_003)
    scores = []
    while not game.done:
        game.advance(chunk(game, (256.0 + 200 * np.sin(len(scores) / 9), 256.0 + 200 * np.cos(len(scores) / 7))))
        scores.append(game.score)
    assert len(scores) == LIMIT or game.success
    assert (np.diff(scores) >= 0.0).all()
    assert 0.0 <= game.score <= 1.0


def test_another_camera_is_refused() -> None:
    with pytest.raises(ConfigError, match="one camera, top"):
        PushT({"wrist": (96, 96)})


def test_pictures_show_the_world() -> None:
    picture = PushT({"top": (96, 96)}).observe(1)[0]["image.top"]
    assert picture.shape == (96, 96, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_a_persons_commands_move_the_block_as_they_did() -> None:
    """Open loop: the recorded commands give the recorded path to a thousandth of a pixel, and the keypoints."""
    if not DATA.exists():
        pytest.skip("the PushT demonstrations are not beside this repository")
    data = np.load(DATA)
    game = PushT()
    for episode in (0, 3):
        rows = slice(*np.concatenate([[0], data["episode_ends"]])[episode : episode + 2])
        state, actions, keypoints = (data[name][rows].astype(float) for name in ("state", "action", "keypoint"))
        game.restore(state[0, :2], state[0, 2:])
        for step, action in enumerate(actions):
            row = game.observe(1)[0]
            assert np.allclose(row["block"][:2], state[step, 2:4], atol=1e-3)
            assert np.allclose(row["agent"], state[step, :2], atol=1e-3)
            assert np.abs(row["keypoints"] - keypoints[step]).max() < 0.1
            game.advance(chunk(game, tuple(action)))
        assert game.score > 0.8
