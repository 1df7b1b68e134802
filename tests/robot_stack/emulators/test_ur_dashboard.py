"""The dashboard line by line, and as the real client library uses it."""

import socket
from collections.abc import Iterator

import pytest

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.ur_client import client


class Panel:
    """A bare connection."""

    def __init__(self, host: str) -> None:
        self.socket = socket.create_connection((host, 29999), 10.0)
        self._answers = self.socket.makefile("r")
        self.greeting = self._answers.readline().strip()

    def ask(self, line: str) -> str:
        self.socket.sendall(f"{line}\n".encode())
        return self._answers.readline().strip()

    def close(self) -> None:
        self._answers.close()
        self.socket.close()


@pytest.fixture
def panel(ur: EmulatorProcess) -> Iterator[Panel]:
    panel = Panel(ur.host)
    yield panel
    panel.close()


def test_it_greets_and_says_what_the_robot_is(panel: Panel) -> None:
    assert panel.greeting == "Connected: Universal Robots Dashboard Server"
    assert panel.ask("PolyscopeVersion").startswith("URSoftware 5.23.0.0 (")
    assert panel.ask("get serial number").isdigit()
    assert panel.ask("get robot model") == "UR5"
    assert panel.ask("robotmode") == "Robotmode: RUNNING"
    assert panel.ask("safetystatus") == "Safetystatus: NORMAL"
    assert panel.ask("programState").startswith("STOPPED ")
    assert panel.ask("running") == "Program running: false"
    assert panel.ask("is in remote control") == "true"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("play", "Failed to execute: play"),
        ("pause", "Failed to execute: pause"),
        ("stop", "Stopped"),
        ("close popup", "closing popup"),
        ("close safety popup", "closing safety popup"),
        ("popup Mind your head", "showing popup"),
        ("addToLog it began", "Added log message"),
        ("load pick.urp", "Loading program: pick.urp"),
        ("load pick.txt", "File not found: pick.txt"),
        ("open the pod bay doors", "could not understand: 'open the pod bay doors'"),
    ],
)
def test_each_command_has_its_answer(panel: Panel, line: str, answer: str) -> None:
    assert panel.ask(line) == answer


def test_power_and_brakes_are_two_steps(panel: Panel, ur: EmulatorProcess) -> None:
    panel.ask("power off")
    assert panel.ask("robotmode") == "Robotmode: POWER_OFF"
    assert panel.ask("power on") == "Powering on"
    assert panel.ask("robotmode") == "Robotmode: IDLE"
    assert panel.ask("brake release") == "Brake releasing"
    assert ur.state()["robot_mode"] == "RUNNING"


def test_in_local_control_it_answers_questions_and_refuses_commands(panel: Panel, ur: EmulatorProcess) -> None:
    ur.ask("remote", on=False)
    assert panel.ask("is in remote control") == "false"
    assert panel.ask("robotmode") == "Robotmode: RUNNING"
    assert "local control" in panel.ask("power off")
    assert ur.state()["robot_mode"] == "RUNNING"


def test_leaving_ends_the_connection(panel: Panel) -> None:
    assert panel.ask("quit") == "Disconnected"
    assert panel.socket.recv(16) == b""


def test_the_real_client_understands_all_of_it(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        panel = dashboard()
        result = [panel.polyscopeVersion(), panel.robotmode(), panel.safetymode(), panel.programState(),
                  panel.isInRemoteControl(), panel.running(), panel.getSerialNumber(), panel.getRobotModel()]
        panel.popup("hello"), panel.closePopup(), panel.addToLog("hello"), panel.loadURP("pick.urp")
        panel.powerOff(), panel.powerOn(), panel.brakeRelease()
        """,
    )
    assert got[:2] == ["5.23.0.0", "Robotmode: RUNNING"]
    assert got[4:6] == [True, False]
