"""An episode as a film in a page."""

import base64
import io
import re
from pathlib import Path

import av
import numpy as np
import pytest

from deploy.report import film
from robot_stack.spec import Field, Spec
from robot_stack.store import Episode, Store
from robot_stack.types import Source

HALF = (40, 60)


def episode(folder: Path, rows: int = 20, cameras: int = 2) -> Episode:
    pictures = [Field(f"image.c{k}", (*HALF, 3), "u1") for k in range(cameras)]
    spec = Spec([Field("time", unit="s"), Field("source", dtype="u1"), *pictures])
    with Store.create(folder / "store", spec, {"name": "test", "rate": 10.0}, codec="zstd") as store:
        writer = store.writer({"kind": "deploy", "task": "lift"})
        for k in range(rows):
            row = spec.record(time=k / 10, source=Source.POLICY if k < rows // 2 else Source.OPERATOR)
            for number in range(cameras):
                row[f"image.c{number}"] = 200 * number + 20
            writer.append(row)
        writer.commit("success")
        return store.episodes[-1]


def frames(html: str) -> list[np.ndarray]:
    source = re.search(r'src="data:video/mp4;base64,([^"]+)"', html)
    assert source is not None
    with av.open(io.BytesIO(base64.b64decode(source[1]))) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_film_shows_every_row_its_cameras_side_by_side_and_who_flew(tmp_path: Path) -> None:
    shown = frames(film.film(episode(tmp_path)))
    assert len(shown) == 20
    height, width = film.HEIGHT, film.HEIGHT * HALF[1] // HALF[0]
    assert shown[0].shape == (height + film.BAND, 2 * width, 3)
    assert abs(int(shown[0][100, 100].mean()) - 20) < 6
    assert abs(int(shown[0][100, width + 100].mean()) - 220) < 6
    flown, taken_over = shown[0][-6, 100].astype(int), shown[-1][-6, 100].astype(int)
    assert flown[1] > flown[0], "green: the policy"
    assert taken_over[0] > taken_over[2], "orange: the person"


def test_a_long_episode_is_shown_faster_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "LONGEST", 8)
    html = film.film(episode(tmp_path))
    assert len(frames(html)) == 7
    assert "3 times as fast" in html


def test_an_episode_without_a_camera_has_no_film(tmp_path: Path) -> None:
    assert film.film(episode(tmp_path, cameras=0)) == ""
