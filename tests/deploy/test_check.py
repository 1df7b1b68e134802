import pytest

from deploy import check
from robot_stack.cli import main
from robot_stack.doctor.finding import Level
from robot_stack.types import DeviceError


def test_a_simulated_robot_passes_its_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "seconds=0.5"]) == 0
    printed = capsys.readouterr().out
    for subject in ("arm", "joints", "rest", "pose", "gripper", "opening", "camera front", "camera wrist", "pacing"):
        assert subject in printed
    assert "This robot can be flown." in printed


def test_a_device_that_cannot_be_reached_is_a_finding_with_its_own_words() -> None:
    def unreachable() -> list[check.Finding]:
        raise DeviceError("no arm at this address")

    [finding] = check.attempt("arm", unreachable)
    assert finding.level is Level.FAIL
    assert "no arm at this address" in finding.found
