"""`robot-stack data import` and `data export`: what a person types, and what is printed."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from robot_stack.cli import main
from robot_stack.store import Store

from .sources import SPEC, fill


def test_import_says_what_came_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = zarr.open_group(tmp_path / "z", mode="w", zarr_format=2)
    root.create_array("meta/episode_ends", data=np.array([3, 3, 5]))
    root.create_array("data/action", data=np.ones((5, 2)))
    words = ["data", "import", f"from={tmp_path / 'z'}", f"store={tmp_path / 's'}", "rate=20"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "warning: episode 1: left out: it has no steps" in printed
    assert "2 episodes came in, each read back and compared: 5 steps" in printed
    assert main(words) == 0
    assert "0 episodes came in, each read back and compared, 2 were there before" in capsys.readouterr().out
    assert Store.open(tmp_path / "s").station["rate"] == 20


def test_export_says_what_went_out_and_what_could_not_be_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "s", SPEC, [3, 4])
    words = ["data", "export", f"store={tmp_path / 's'}"]
    assert main([*words, f"to={tmp_path / 'out.hdf5'}", "format=robomimic", "action=[q]"]) == 0
    assert "2 episodes written, each read back and compared: 7 steps" in capsys.readouterr().out
    assert main([*words, f"to={tmp_path / 'one.csv'}", "format=csv", "episodes=[ep-000001]"]) == 0
    assert "warning: image.top is left out" in capsys.readouterr().out


def test_a_missing_rate_is_a_wrong_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = zarr.open_group(tmp_path / "z", mode="w", zarr_format=2)
    root.create_array("meta/episode_ends", data=np.array([3]))
    root.create_array("data/action", data=np.ones((3, 2)))
    assert main(["data", "import", f"from={tmp_path / 'z'}", f"store={tmp_path / 's'}"]) == 2
    assert "say rate=" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["import", "export"])
def test_each_has_a_manual(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", action, "--help"]) == 0
    assert f"usage: robot-stack data {action} key=value" in capsys.readouterr().out
