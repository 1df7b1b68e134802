"""The recorder, end to end in one process: topics in, an episode in a store out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.recorder import Recorder, open_store
from robot_stack.bus import LocalBus
from robot_stack.clock import VirtualClock
from robot_stack.spec import Record
from robot_stack.station import EPISODE, GRIPPER, RECORDING, Station
from robot_stack.store import Store
from robot_stack.types import Source, StoreError

STATION = Station("test", 6, {"front": (24, 32)}, rate=10.0)


class Cell:
    """A station whose devices publish when they are told to, a recorder, and a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(100.0)
        self.bus = LocalBus()
        self.store = open_store(folder / "store", STATION, "ur5e")
        self.control = self.bus.publisher(STATION.control)
        self.gripper = self.bus.publisher(GRIPPER)
        self.camera = self.bus.publisher(STATION.camera("front"))
        self.episode = self.bus.publisher(EPISODE)
        self.answers = self.bus.subscriber(RECORDING)
        self.recorder = Recorder(self.bus, STATION, self.store, {"kind": "collect", "task": "lift"}, self.clock)

    def publish(self, camera: bool = True) -> None:
        time = self.clock() - 0.001
        q = np.full(6, time)
        self.control.send(STATION.control.spec.record(time=time, q=q, source=Source.OPERATOR, target__q=q + 0.5))
        self.gripper.send(GRIPPER.spec.record(time=time, opening=0.04))
        if camera:
            self.camera.send(STATION.camera("front").spec.record(time=time, image=np.full((24, 32, 3), 7)))

    def want(self, number: int, recording: bool, verdict: int = -1) -> None:
        self.episode.send(
            EPISODE.spec.record(
                time=self.clock(), number=number, recording=recording, verdict=verdict, seed=41 + number
            )
        )

    def run(self, rows: int, camera: bool = True) -> None:
        for _ in range(rows):
            self.clock.advance(0.1)
            self.publish(camera)
            self.recorder.step(self.clock())

    @property
    def answer(self) -> Record:
        answer = self.answers.latest()
        assert answer is not None
        return answer


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    cell = Cell(tmp_path)
    yield cell
    cell.store.close()


def test_episode_holds_every_row_with_the_times_the_sources_and_the_verdict(cell: Cell) -> None:
    cell.run(3)
    cell.want(1, True)
    cell.run(20)
    assert (cell.answer["number"], cell.answer["rows"]) == (1, 20)
    cell.want(1, False, verdict=1)
    cell.run(1)
    assert (cell.answer["number"], cell.answer["committed"]) == (-1, 1)
    (episode,) = cell.store.episodes
    assert episode.attrs["verdict"] == "success"
    assert episode.attrs["seed"] == 42
    assert episode.attrs["task"] == "lift"
    np.testing.assert_allclose(np.diff(episode["time"]), 0.1)
    np.testing.assert_allclose(episode["time"] - episode["image.front.time"], 0.001)
    np.testing.assert_allclose(episode["target.q"] - episode["q"], 0.5)
    assert (episode["source"] == Source.OPERATOR).all()
    assert (episode["image.front"] == 7).all()


@pytest.mark.parametrize(("verdict", "word"), [(1, "success"), (0, "failure"), (-1, "unknown")])
def test_each_verdict_is_stored_as_a_word(cell: Cell, verdict: int, word: str) -> None:
    cell.run(1)
    cell.want(1, True)
    cell.run(3)
    cell.want(1, False, verdict)
    cell.run(1)
    assert [episode.attrs["verdict"] for episode in cell.store.episodes] == [word]


def test_discarded_episode_leaves_nothing(cell: Cell) -> None:
    cell.run(1)
    cell.want(1, True)
    cell.run(3)
    cell.want(1, False, verdict=-2)
    cell.run(1)
    assert len(cell.store) == 0
    assert cell.store.salvage() == []


def test_rows_that_cannot_be_made_are_counted(cell: Cell) -> None:
    cell.want(1, True)
    cell.run(4, camera=False)
    assert (cell.answer["rows"], cell.answer["missed"]) == (0, 4)
    cell.run(5)
    cell.recorder.step(cell.clock(), missed=2)
    assert (cell.answer["rows"], cell.answer["missed"]) == (6, 6)


def test_episode_that_ends_before_its_first_row_is_no_episode(cell: Cell) -> None:
    cell.want(1, True)
    cell.want(1, False, verdict=1)
    cell.run(1)
    assert len(cell.store) == 0
    assert cell.answer["number"] == -1


def test_next_episode_closes_one_whose_end_was_never_heard(cell: Cell) -> None:
    cell.run(1)
    cell.want(1, True)
    cell.run(3)
    cell.want(2, True)
    cell.run(3)
    cell.want(2, False, verdict=0)
    cell.run(1)
    assert [episode.attrs["verdict"] for episode in cell.store.episodes] == ["unknown", "failure"]


def test_session_that_ends_keeps_the_open_episode_without_a_verdict(cell: Cell) -> None:
    cell.run(1)
    cell.want(1, True)
    cell.run(3)
    cell.recorder.close()
    assert [episode.attrs["verdict"] for episode in cell.store.episodes] == ["unknown"]


def test_restarted_recorder_does_not_resume_half_an_episode(cell: Cell) -> None:
    cell.run(1)
    cell.want(1, True)
    cell.clock.advance(1.0)
    late = Recorder(cell.bus, STATION, cell.store, {"kind": "collect"}, cell.clock)
    cell.publish()
    late.step(cell.clock())
    assert cell.answer["number"] == -1


def test_store_is_made_once_and_refused_for_another_station(tmp_path: Path) -> None:
    open_store(tmp_path / "a" / "store", STATION, "ur5e").close()
    open_store(tmp_path / "a" / "store", STATION, "ur5e").close()
    other = Station("test", 6, {"front": (48, 64)}, rate=10.0)
    with pytest.raises(StoreError, match=r"image\.front is uint8\[48, 64, 3\], expected uint8\[24, 32, 3\]"):
        open_store(tmp_path / "a" / "store", other, "ur5e")
    assert Store.open(tmp_path / "a" / "store").spec == STATION.row


def test_a_recorder_that_was_held_up_makes_up_the_rows_of_the_last_quarter_of_a_second(cell: Cell) -> None:
    cell.run(3)
    cell.want(1, True)
    cell.run(2)
    for _ in range(40):
        cell.clock.advance(0.01)
        cell.publish()
    cell.recorder.catch_up(cell.clock(), 0.1, 3)
    assert (cell.answer["rows"], cell.answer["missed"]) == (5, 1)
    cell.want(1, False, verdict=1)
    cell.run(1)
    (episode,) = cell.store.episodes
    assert episode.attrs["missed"] == 1
    np.testing.assert_allclose(np.diff(episode["time"]), [0.1, 0.2, 0.1, 0.1])
    assert (episode["time"] - episode["state.time"] < 0.0111).all()  # each of what was measured at its own time


def test_rows_from_before_an_episode_are_not_made_up(cell: Cell) -> None:
    cell.run(5)
    cell.want(1, True)
    cell.clock.advance(0.05)
    cell.publish()
    cell.recorder.catch_up(cell.clock(), 0.1, 2)
    assert (cell.answer["rows"], cell.answer["missed"]) == (1, 0)


def test_beside_the_rows_lies_every_message_as_it_came(cell: Cell) -> None:
    cell.run(20)
    cell.want(1, True)
    for tick in range(100):
        cell.clock.advance(0.01)
        cell.publish(camera=tick % 3 == 0)
        if tick % 10 == 9:
            cell.recorder.step(cell.clock())
    cell.want(1, False, verdict=1)
    cell.run(1)
    (episode,) = cell.store.episodes
    assert len(episode) == 10
    assert episode.streams.keys() == {"control", "gripper", "operator", "camera.front"}
    control = episode.stream("control")
    columns = episode.streams["control"]
    assert columns[:2] == ["time", "q.0"]
    assert "requested.q.0" not in columns  # what changes no more often than a row is in the rows
    np.testing.assert_allclose(np.diff(control[-101:-1, 0]), 0.01)
    assert 0.3 < episode["time"][0] - control[0, 0] < 0.8
    np.testing.assert_allclose(control[:, 1], control[:, 0])
    assert set(episode["state.time"]) <= set(control[:, 0])  # a row's state is one of the messages
    frames = episode.stream("camera.front")
    assert set(episode["image.front.time"]) <= set(frames[:, 0])
    assert episode.attrs["streams"]["control"]["count"] == len(control)
    assert episode.attrs["streams"]["camera.front"]["longest_gap"] == pytest.approx(0.1)
