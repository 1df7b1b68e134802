"""What is trained on in `bench train`: PushT, pushed about at random, as a store of ours and as LeRobot's data set.

Fields are called as LeRobot calls its features, so that its data set has no more columns than its own of PushT.
"""

from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats.exporting import export
from robot_stack.store.formats.replay_layout import PUSHT_RATE

STATE, ENVIRONMENT, ACTION, PICTURE = "observation.state", "observation.environment_state", "action", "image.top"
OBSERVED, ACTED = ("agent", "keypoints"), ("requested.position",)
"""What the same are called in a store of demonstrations."""
SIZE = (96, 96)
"""Height, width of a picture [px]."""
_REACH, _SLOWEST = 180.0, 40
"""How far from the middle the disc is sent [px], and rows of its slowest swing."""


def spec(pictures: bool) -> Spec:
    """Of a row: the disc, where it is sent, and nine points of the T, or what is seen from above."""
    seen = Field(PICTURE, (*SIZE, 3), "u1") if pictures else _pixels(ENVIRONMENT, 18)
    return Spec([Field("time", unit="s"), _pixels(STATE, 2), _pixels(ACTION, 2), seen])


def _pixels(name: str, count: int) -> Field:
    return Field(name, (count,), "f4", unit="px", frame="image")


def make(folder: Path, pictures: bool, episodes: int, rows: int) -> tuple[Path, Path]:
    """The store, and the data set that is its export."""
    store = folder / "store"
    with Store.create(store, spec(pictures), {"name": "pusht", "robot": "", "rate": PUSHT_RATE}) as made:
        for episode in range(episodes):
            writer = made.writer({"kind": "collect", "task": "pusht"})
            for row in _episode(pictures, rows, episode):
                writer.append(row)
            writer.commit("success")
    export(Store.open(store), folder / "lerobot", "lerobot")
    return store, folder / "lerobot"


def renamed(source: Path, folder: Path) -> Path:
    """People's demonstrations of PushT, states only, as LeRobot's data set with features that its policies know."""
    with Store.create(folder / "renamed", spec(False), {"name": "pusht", "robot": "", "rate": PUSHT_RATE}) as made:
        for episode in Store.open(source).episodes:
            writer = made.writer({"kind": "collect", "task": "pusht"})
            names = ("time", *OBSERVED, *ACTED)
            for time, agent, keypoints, target in zip(*(episode[name] for name in names), strict=True):
                row = made.spec.record(time=time)
                row[STATE], row[ENVIRONMENT], row[ACTION] = agent, keypoints.reshape(-1), target
                writer.append(row)
            writer.commit("success")
    export(Store.open(folder / "renamed"), folder / "lerobot", "lerobot")
    return folder / "lerobot"


def _episode(pictures: bool, rows: int, seed: int) -> list[Any]:
    """Rows of a disc that swings about and takes the T along."""
    from robot_stack.sim.pusht import PushT  # with pygame, which others need not load

    generator = np.random.default_rng(seed)
    turns = generator.uniform(2 * np.pi / _SLOWEST, 4 * np.pi / _SLOWEST, 2)
    phases = generator.uniform(0.0, 2 * np.pi, 2)
    world = PushT({"top": SIZE} if pictures else None)
    world.reset(seed)
    made = []
    for number in range(rows):
        target = 256.0 + _REACH * np.sin(turns * number + phases)
        seen = world.observe(1)[0]
        row = spec(pictures).record(time=seen["time"])
        row[STATE], row[ACTION] = seen["agent"], target
        if pictures:
            row[PICTURE] = seen[PICTURE]
        else:
            row[ENVIRONMENT] = seen["keypoints"].reshape(-1)
        made.append(row)
        chunk = world.station.chunk.spec.record(count=1)
        chunk["position"][0] = target
        world.advance(chunk)
    return made
