"""The back door: over its port, and typed."""

import json
import socket
import subprocess
import sys

import pytest

from robot_stack.emulators.process import EmulatorProcess
from robot_stack.types import DeviceError
from tests.robot_stack.emulators.emulator import next_host


def test_a_command_that_does_not_exist_is_answered_with_those_that_do(ur: EmulatorProcess) -> None:
    with pytest.raises(DeviceError, match=r"no command 'psotp'; there are: .*pstop"):
        ur.ask("psotp")


def test_wrong_arguments_are_answered_with_the_right_ones(ur: EmulatorProcess) -> None:
    with pytest.raises(DeviceError, match=r"expected push\(force"):
        ur.ask("push", strength=3)
    with pytest.raises(DeviceError, match="push: "):
        ur.ask("push", force="hard")
    with pytest.raises(DeviceError, match=r"no table 'motion'; there are: cycles, commands"):
        ur.ask("save", table="motion", path="nowhere")


def test_a_line_that_is_no_json_is_answered_and_the_next_one_served(ur: EmulatorProcess) -> None:
    with socket.create_connection(("127.0.0.1", ur.admin)) as door, door.makefile("r") as answers:
        door.sendall(b'hello\n[1]\n{"command": "state"}\n')
        assert "expected" in json.loads(answers.readline())["error"]
        assert "expected" in json.loads(answers.readline())["error"]
        assert json.loads(answers.readline())["ok"]["robot_mode"] == "RUNNING"


def test_commands_can_be_typed_and_the_emulator_ends_with_its_standard_input() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "robot_stack", "emulate", "robotiq", f"host={next_host()}", "stdin_owner=true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        output, errors = process.communicate("gripper-fault code=8\nstate\nhelp\nnonsense\n", timeout=60)
    ready, fault, state, *help = output.splitlines()
    assert json.loads(ready)["ready"] == "robotiq"
    assert fault == "null"
    assert json.loads(state)["FLT"] == 8
    assert any(line.split()[:2] == ["drop", "[reset=False]"] for line in help)
    assert "no command 'nonsense'" in errors
    assert process.returncode == 0


def test_a_person_is_told_what_is_served_and_how_to_connect() -> None:
    host = next_host()
    with subprocess.Popen(
        [sys.executable, "-m", "robot_stack", "emulate", "ur5e", f"host={host}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while "Ctrl-C ends it." not in lines[-1]:
            assert lines[-1], "ended"
            lines.append(process.stdout.readline())
        process.terminate()
        process.communicate(timeout=30)
    text = "".join(lines)
    assert f"emulated on {host}" in text
    assert "30004 RTDE, 29999 dashboard" in text
    assert f'RTDEControlInterface("{host}")' in text
