"""`bench train`: both trainers really train, on the same data, in turn; and its judges can say no."""

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from deploy.bench import train as bench
from deploy.bench import train_data, train_reward
from deploy.bench.train_trainer import Trainer, notes
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose
from robot_stack.store import Store
from robot_stack.store.formats.lerobot.source import LeRobotSource
from robot_stack.store.formats.replay_layout import PUSHT, PUSHT_RATE
from robot_stack.types import ConfigError, RobotStackError, Source

TINY = ["seconds=0.3", "turns=1", "episodes=2", "rows=40", "batch=8", "channels=[8,16,16]", "workers=[0]", "device=cpu"]


def test_both_train_a_network_of_one_size_and_are_measured_in_turn() -> None:
    config = compose(CONFIGS, "bench_train", [*TINY, "only=[states]"])
    figures = {figure.what.split(": ")[1]: figure for figure in bench.measure(config, Console(quiet=True))}
    for name in ("policies.train", "LeRobot, no workers"):
        assert figures[f"samples of {name}"].values[""] > 0.0
        assert 0.0 <= figures[f"waiting for data, {name}"].values[""] < 1.0
        assert figures[f"a core's time for a sample, {name}"].values[""] > 0.0
        assert figures[f"memory, {name}"].values[""] > 50e6
        assert 0.0 < figures[f"first step, {name}"].values["after"] < 180.0
    assert figures["policies.train / LeRobot, no workers"].target == ">= 1.5 x"


@pytest.mark.parametrize("pictures", [False, True], ids=["states", "pictures"])
def test_both_get_the_same_rows_and_no_column_that_is_not_read(pictures: bool, tmp_path: Path) -> None:
    store, lerobot = train_data.make(tmp_path, pictures, episodes=2, rows=40)
    ours, theirs = Store.open(store), LeRobotSource(str(lerobot))
    for number, episode in enumerate(ours.episodes):
        (rows,) = theirs.rows(number)
        for name in (train_data.STATE, train_data.ACTION):
            assert np.array_equal(episode[name], rows[name])
        assert np.abs(np.diff(episode[train_data.STATE], axis=0)).max() > 1.0, "the disc moves"
    assert (train_data.PICTURE in ours.spec) == pictures != (train_data.ENVIRONMENT in ours.spec)


def test_networks_of_different_size_are_not_compared() -> None:
    bench.check_sizes(1000, 1010)
    with pytest.raises(RobotStackError, match="not of one size: 1000 parameters, LeRobot's has 1030"):
        bench.check_sizes(1000, 1030)


def test_a_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no part images .* there are: states, pictures, reward"):
        bench.measure(compose(CONFIGS, "bench_train", ["only=[images]"]), Console(quiet=True))


class Clockwork(Trainer):
    """A trainer whose steps are noted by a process that does nothing else: 10 ms a step, 4 of them waiting."""

    def __post_init__(self) -> None:
        self.folder.mkdir()
        code = f"""
import time
file = open({str(self.folder / "steps.txt")!r}, "a", buffering=1)
while True:
    time.sleep(0.01)
    file.write(f"{{time.monotonic()}} 0.004 7\\n")
"""
        self._process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        self._wait_for(3)
        self._pause()


def test_a_trainer_does_nothing_while_the_other_has_its_turn(tmp_path: Path) -> None:
    given: dict[str, Any] = {"batch": 10}
    trainers = [Clockwork(name, tmp_path / name, given) for name in ("one", "other")]
    try:
        for _ in range(2):
            for trainer in trainers:
                trainer.turn(0.3, least=2)
    finally:
        for trainer in trainers:
            trainer.end()
    for trainer in trainers:
        assert len(trainer.rates) == 2
        assert all(rate <= 10 / 0.01 for rate in trainer.rates)
        assert all(0.0 < share <= 0.4 for share in trainer.waits)
        assert trainer.gpu_memory == 7
    first, second = (sorted(end for end, _, _ in notes(trainer.folder)) for trainer in trainers)
    turns = [who for _, who in sorted([*((end, 0) for end in first), *((end, 1) for end in second)])]
    assert sum(a != b for a, b in pairwise(turns)) == 5, "warm and two turns of each, no step between"
    assert all(trainer._process.returncode == -signal.SIGKILL for trainer in trainers)


def test_a_trainer_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RobotStackError, match=r"(?s)ours did not come to step 3:.*KeyError"):
        Trainer("ours", tmp_path / "ours", {"threads": 1})


def test_rewards_are_told_for_both_after_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_reward, "CHECKPOINTS", 2)
    with Store.create(tmp_path / "store", PUSHT, {"name": "pusht", "robot": "", "rate": PUSHT_RATE}) as store:
        for seed in range(2):
            writer = store.writer({"kind": "collect", "task": "pusht"})
            for number in range(40):
                row = PUSHT.record(time=0.1 * number, source=Source.OPERATOR)
                for name in ("agent", "keypoints", "requested.position"):
                    row[name] = np.random.default_rng(seed).uniform(0.0, 512.0, row[name].shape) + number
                writer.append(row)
            writer.commit("success")
    said = [*TINY, "only=[reward]", f"store={tmp_path / 'store'}", "minutes=0.05", "starts=1"]
    figures = bench.measure(compose(CONFIGS, "bench_train", said), Console(quiet=True))
    names = [figure.what.split(" min of ")[1] for figure in figures[:-1]]
    assert names == ["policies.train"] * 2 + ["LeRobot"] * 2
    minutes = [float(figure.what.split()[2]) for figure in figures[:-1]]
    assert minutes[:2] == sorted(minutes[:2])
    assert minutes[2:] == sorted(minutes[2:])
    assert all(0.0 <= figure.values["mean"] <= 1.0 for figure in figures[:-1])
    ours, theirs = figures[1].values["mean"], figures[3].values["mean"]
    assert figures[-1].values["mean"] == pytest.approx(ours - theirs)
    with pytest.raises(ConfigError, match=r"needs demonstrations of PushT: store="):
        bench.measure(compose(CONFIGS, "bench_train", ["only=[reward]"]), Console(quiet=True))
