"""Episodes go out as tables that other programs read."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats import export
from robot_stack.types import ConfigError

from .sources import fill

SPEC = Spec(
    [
        Field("time", unit="s"),
        Field("q", (2,), unit="rad"),
        Field("keypoints", (2, 2), "f4"),
        Field("held", dtype="?"),
        Field("count", dtype="i8"),
        Field("image.top", (40, 40, 3), "u1"),
        Field("depth", (50, 60), "u2"),
    ]
)
POINTS = [f"keypoints.{row}.{column}" for row in (0, 1) for column in (0, 1)]
COLUMNS = ["time", "q.0", "q.1", *POINTS, "held", "count"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return fill(tmp_path / "store", SPEC, [4, 3])


def test_a_csv_has_a_column_a_number_with_all_its_digits(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out", "csv")
    with (tmp_path / "out" / "ep-000001.csv").open(newline="") as file:
        names, *rows = csv.reader(file)
    assert names == COLUMNS
    episode = store["ep-000001"]
    assert [float(row[2]) for row in rows] == episode["q"][:, 1].tolist()
    assert [row[7] == "True" for row in rows] == episode["held"].tolist()
    assert json.loads((tmp_path / "out" / "ep-000001.json").read_text()) == episode.attrs


def test_one_episode_goes_to_one_file(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "one.parquet", "parquet", episodes=["ep-000000"])
    table = pd.read_parquet(tmp_path / "one.parquet")
    assert list(table.columns) == COLUMNS
    episode = store["ep-000000"]
    assert np.array_equal(table["keypoints.1.0"], episode["keypoints"][:, 1, 0])
    assert table["keypoints.1.0"].dtype == np.float32
    assert table["held"].dtype == bool
    with pytest.raises(ConfigError, match=r"one.csv holds one episode: say episodes=\[ep-000001\], or to=<folder>"):
        export(store, tmp_path / "one.csv", "csv")


def test_pictures_are_left_out_by_name(store: Store, tmp_path: Path) -> None:
    warnings = export(store, tmp_path / "out", "parquet").warnings
    assert "image.top is left out: a table holds no pictures; images=true writes .png" in warnings
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ep-000000.json",
        "ep-000000.parquet",
        "ep-000001.json",
        "ep-000001.parquet",
    ]


def test_pictures_can_lie_beside_the_table_without_loss(store: Store, tmp_path: Path) -> None:
    warnings = export(store, tmp_path / "out", "csv", images=True).warnings
    assert not any("image.top" in warning or "depth" in warning for warning in warnings)
    picture = cv2.imread(str(tmp_path / "out/ep-000000/image.top/000003.png"))[..., ::-1]
    assert np.array_equal(picture, store["ep-000000"]["image.top"][3])
    depth = cv2.imread(str(tmp_path / "out/ep-000000/depth/000002.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(depth, store["ep-000000"]["depth"][2])
    with pytest.raises(ConfigError, match="images=true needs a folder"):
        export(store, tmp_path / "one.csv", "csv", episodes=["ep-000000"], images=True)
