import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from deploy import check, probe
from deploy.consent import agree
from deploy.worker import spawn
from robot_stack.cli import main
from robot_stack.configuration import compose
from robot_stack.doctor.finding import Level, fail, ok, warn
from robot_stack.types import ConfigError, DeviceError

CONFIGS = Path(check.__file__).parents[1] / "configs"
HERE = {"PYTHONPATH": str(Path(__file__).parent)}


def test_a_simulated_robot_passes_its_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "seconds=0.5"]) == 0
    printed = capsys.readouterr().out
    for subject in ("arm", "joints", "rest", "wrench", "pose", "driver", "limits", "gripper", "opening", "pacing"):
        assert subject in printed
    assert "camera front" in printed
    assert "camera wrist" in printed
    assert "This robot can be flown" in printed
    assert "Next: robot-stack check --move." in printed


def test_a_driver_that_gives_up_is_a_finding_in_its_own_words(tmp_path: Path) -> None:
    worker = spawn("test_check:give_up", "check-test", {}, tmp_path, environment=HERE)
    [finding] = check.conclude("camera front", worker, None, tmp_path / "none.json", 60.0)
    assert (finding.subject, finding.level) == ("camera front", Level.FAIL)
    assert finding.found == "no camera 17; there are: 3, 4"


def test_a_driver_that_takes_its_process_along_is_a_finding(tmp_path: Path) -> None:
    worker = spawn("test_check:crash", "check-test", {}, tmp_path, environment=HERE)
    [finding] = check.conclude("arm", worker, None, tmp_path / "none.json", 60.0)
    assert finding.found == "its driver was killed by signal 11"


def test_a_library_that_has_the_last_word_does_not_hide_why_a_driver_gave_up(tmp_path: Path) -> None:
    def last_words(kind: str) -> str:
        worker = spawn(f"test_check:{kind}", "check-test", {}, tmp_path, "driver", HERE)
        worker.wait(60.0)
        worker.stop()
        return worker.reason

    assert last_words("leave") == "link lost"
    assert last_words("crash") == "", "the log goes on where it was, and what stands there is of an earlier run"


def leave(context: object) -> None:
    logging.getLogger(__name__).error("link lost")
    print("(2) End of file", flush=True)
    os._exit(1)


def give_up(context: object) -> None:
    raise DeviceError("no camera 17; there are: 3, 4")


def crash(context: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def test_an_address_where_nobody_is_is_told_within_seconds(tmp_path: Path) -> None:
    config: Any = OmegaConf.to_container(compose(CONFIGS, "check", ["robot=ur5e", "robot.arm.host=127.99.0.1"]))
    asked = {"robot": "ur5e", "task": "lift", "seconds": 1.0, "rate": 500.0, "answer": str(tmp_path / "answer.json")}
    asked |= {"driver": config["robot"]["arm"], "limits": config["robot"]["limits"]}
    worker = spawn("deploy.probe:arm", "check-test", asked, tmp_path)
    [finding] = check.conclude("arm", worker, None, tmp_path / "answer.json", 60.0)
    assert finding.level is Level.FAIL
    assert "127.99.0.1" in finding.found
    assert "Traceback" not in finding.found


def test_no_driver_is_allowed_to_move_anything_by_itself() -> None:
    driver = {"_target_": "x", "host": "y", "activate": True, "power_on": True}
    assert probe.still(driver) == {"_target_": "x", "host": "y", "activate": False, "power_on": False}


def test_the_verdict_names_what_failed_and_what_comes_next() -> None:
    assert check.verdict([fail("arm", "", "", ""), ok("rest", "")], moved=False) == (
        "\nDo not fly this robot yet: arm."
    )
    assert "It was not moved." in check.verdict([fail("arm", "", "", "")], moved=True)
    assert check.verdict([warn("pose", "", "", "")], moved=True) == ("\nThis robot can be flown, with 1 thing to know.")


def test_nothing_moves_where_nobody_can_agree() -> None:
    with pytest.raises(ConfigError, match="yes=true"):
        agree("The arm will move.", yes=False)


@pytest.mark.parametrize(("said", "agreed"), [("yes", True), (" YES ", True), ("y", False), ("", False)])
def test_only_a_whole_yes_is_agreement(said: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: said)
    assert agree("The arm will move.", yes=False) is agreed


@pytest.mark.parametrize(("error", "level"), [("allow it: activate=true", Level.WARN), ("no gripper", Level.FAIL)])
def test_a_device_that_only_lacks_leave_to_move_is_no_failure(error: str, level: Level, tmp_path: Path) -> None:
    asked = {"robot": "ur5e", "task": "lift", "seconds": 0.1, "answer": str(tmp_path / "answer.json")}
    asked["driver"] = {"_target_": "test_check.NeedsActivation", "activate": True, "error": error}
    asked["limits"] = {"_target_": "robot_stack.safety.Limits"}
    worker = spawn("deploy.probe:gripper", "check-test", asked, tmp_path, environment=HERE)
    [finding] = check.conclude("gripper", worker, None, tmp_path / "answer.json", 60.0)
    assert (finding.found, finding.level) == (error, level)


class NeedsActivation:
    """A gripper that cannot be entered without leave."""

    def __init__(self, activate: bool, error: str) -> None:
        self._activate, self._error = activate, error

    def __enter__(self) -> None:
        raise DeviceError("it moved" if self._activate else self._error)

    def __exit__(self, *_: object) -> None: ...
