import socket
import subprocess
import time
from pathlib import Path

import pytest

from robot_stack import doctor
from robot_stack.cli import main
from robot_stack.doctor import devices, machine, software
from robot_stack.doctor.finding import Finding, Level


def trial(code: int, out: str = "", err: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, out, err)


def test_this_machine_can_run_robot_stack(capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    assert main(["doctor", "port=0"]) == 0
    assert time.monotonic() - start < 20.0  # 2 s on an idle machine
    printed = capsys.readouterr().out
    for subject in ("Python", "MuJoCo", "OpenCV", "bus", "rendering", "GPU", "kernel", "priority", "port", "RealSense"):
        assert subject in printed
    assert "This machine can run robot-stack" in printed


def test_whatever_is_not_well_says_what_it_costs_and_what_to_do() -> None:
    for finding in doctor.examine("127.0.0.1", 0, "data"):
        if finding.level is not Level.OK:
            assert finding.cost, finding
            assert finding.remedy, finding


def test_something_missing_without_which_nothing_works_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Finding("rendering", Level.FAIL, "EGL does not work", "no pictures", "install it")
    monkeypatch.setattr(software, "rendering", lambda: broken)
    assert main(["doctor", "port=0"]) == 1
    printed = capsys.readouterr().out
    assert "cannot run robot-stack yet: rendering" in printed
    assert "install it" in printed


def test_a_port_in_use_is_noticed() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        finding = machine.port("127.0.0.1", listener.getsockname()[1])
    assert finding.level is Level.WARN
    assert "port=" in finding.remedy


def test_a_store_that_is_not_there_yet_is_judged_by_the_folder_above(tmp_path: Path) -> None:
    assert str(tmp_path) in machine.disk(str(tmp_path / "not" / "yet")).found


def test_a_cv2_that_cannot_calibrate_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "attempt", lambda code: trial(0, "5.0.0 False\n"))
    assert software.opencv().level is Level.FAIL


def test_rendering_that_crashes_fails_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "attempt", lambda code, **environment: trial(-6, "", "trace\nno EGL display\n"))
    finding = software.rendering()
    assert finding.level is Level.FAIL
    assert "no EGL display" in finding.found


def test_a_missing_libusb_costs_the_cameras_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "attempt", lambda code: trial(1, "", "ImportError: libusb-1.0.so.0"))
    finding = devices.realsense()
    assert finding.level is Level.WARN
    assert "libusb" in finding.found + finding.remedy


def test_a_trial_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "TRIAL", 0.2)
    assert "no answer" in software.attempt("import time; time.sleep(60)").stderr
