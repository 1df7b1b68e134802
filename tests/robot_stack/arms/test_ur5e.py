"""The UR5e driver through the real ur_rtde, before an emulated controller: starting, flying, led by hand, leaving."""

import signal
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.arms import ur_admission
from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.types import ConfigError, DeviceError
from tests.robot_stack.arms.conftest import Fly, is_at_rest, until
from tests.robot_stack.arms.ur5e_flight import FASTEST, PERIOD, SWING, TOOL, Flight, make
from tests.robot_stack.emulators.emulator import next_host

# --- starting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "mend", "words"),
    [
        ({"command": "remote", "on": False}, {"command": "remote"}, "local control: choose Remote Control"),
        (
            {"command": "identify", "model": "UR10"},
            {"command": "identify", "model": "UR5"},
            "is a UR10, expected a UR5",
        ),
        (
            {"command": "identify", "polyscope": "5.4.2.0"},
            {"command": "identify", "polyscope": "5.17.3.0"},
            "PolyScope 5.4.2.0, expected 5.10 or newer",
        ),
        (
            {"command": "identify", "polyscope": "3.15.8.0"},
            {"command": "identify", "polyscope": "5.17.3.0"},
            "PolyScope 3.15.8.0, expected 5.10",
        ),
        (
            {"command": "identify", "polyscope": "10.7.0.0"},
            {"command": "identify", "polyscope": "5.17.3.0"},
            "PolyScope X 10.7.0.0, expected PolyScope 5",
        ),
        ({"command": "safeguard"}, {"command": "safeguard", "open": False}, "safeguard stop .*close the guard"),
    ],
)
def test_a_controller_that_cannot_be_flown_is_refused_with_what_to_do(
    ur: EmulatorProcess, spoil: dict[str, Any], mend: dict[str, Any], words: str
) -> None:
    ur.ask(**spoil)
    try:
        with pytest.raises(DeviceError, match=words), make(ur.host):
            pass
    finally:
        ur.ask(**mend)


def test_an_emergency_stop_is_refused_until_the_button_is_out_and_the_arm_powered(
    ur: EmulatorProcess, fly: Fly
) -> None:
    ur.ask("estop")
    with pytest.raises(DeviceError, match=r"emergency stop .*pull the button out"), make(ur.host):
        pass
    ur.ask("estop", pressed=False)
    with pytest.raises(DeviceError, match=r"powered off .*arm\.power_on=true"), make(ur.host):
        pass
    fly(power_on=True).quit()


def test_a_protective_stop_is_refused(ur: EmulatorProcess) -> None:
    ur.ask("pstop")
    with pytest.raises(DeviceError, match=r"protective stop \(safety mode 3\)"), make(ur.host):
        pass


def test_an_address_where_nobody_listens_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"cannot reach the RTDE interface .*port 30004: the connection was refused"):
        make(next_host()).__enter__()


def test_an_address_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(address: object, timeout: float) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", nobody)
    with pytest.raises(DeviceError, match=r"no answer in 2 s\. Is it switched on"):
        make("192.0.2.1").__enter__()


def test_something_else_than_a_ur_controller_is_refused() -> None:
    with socket.create_server((next_host(), 30004)) as server:

        def greet() -> None:
            peer, _ = server.accept()
            peer.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            peer.recv(100)
            peer.close()

        shell = threading.Thread(target=greet)
        shell.start()
        with pytest.raises(DeviceError, match="does not speak RTDE"):
            make(server.getsockname()[0]).__enter__()
        shell.join()


def test_two_cannot_fly_one_arm(ur: EmulatorProcess, fly: Fly, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fly()
    monkeypatch.setattr(ur_admission, "LEFTOVER", 0.2)
    with pytest.raises(DeviceError, match="runs a program already"):
        make(ur.host).__enter__()
    first.quit()


def test_registers_that_somebody_else_writes_are_refused(ur: EmulatorProcess) -> None:
    with socket.create_connection((ur.host, 30004), 5.0) as other:
        for kind, payload in ((b"V", struct.pack(">H", 2)), (b"I", b"input_int_register_0")):
            other.sendall(struct.pack(">H", 3 + len(payload)) + kind + payload)
            other.recv(100)
        flight = Flight(ur.host)
        assert "somebody else controls the UR controller" in flight.hear("error")
        assert flight.end() == 1


def test_a_tool_that_is_not_that_of_the_model_is_refused_with_both_places(ur: EmulatorProcess) -> None:
    flight = Flight(ur.host, flange_from_tcp=[0.0, 0.0, 0.2, *TOOL[3:]])
    assert "44." in (error := flight.hear("error"))
    assert "mm and" in error
    assert "flange_from_tcp" in error
    assert flight.end() == 1
    assert ur.state()["runtime"] == "STOPPED"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"flange_from_tcp": [0.0, 0.0, 0.1]}, "flange_from_tcp"),
        ({"flange_from_tcp": [0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0]}, "unit quaternion"),
        ({"flange_from_tcp": [float("nan"), *TOOL[1:]]}, "flange_from_tcp"),
        ({"payload": 8.0}, "0..5 kg"),
        ({"payload_center": [0.0, 0.0, float("nan")]}, "payload"),
        ({"lookahead": 0.01}, "lookahead is 0.01, expected 0.03..0.2"),
        ({"gain": float("nan")}, "gain"),
        ({"watchdog": 0.0}, "watchdog"),
    ],
)
def test_arguments_that_cannot_be_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make("192.0.2.1", **wrong)


# --- flying -----------------------------------------------------------------------------------------------------------


def test_it_keeps_every_promise_of_an_arm(ur: EmulatorProcess) -> None:
    flight = Flight(ur.host, "contracts")
    try:
        assert flight.hear("kept", patience=60.0) == 4
    finally:
        flight.kill()


def test_the_arm_follows_and_is_left_at_rest_with_our_program_ended(
    ur: EmulatorProcess, fly: Fly, tmp_path: Path
) -> None:
    flight, began = fly(), now()
    flight.tell("fly")
    time.sleep(1.0)
    flight.quit()
    cycles, commands = ur.log("cycles", tmp_path / "cycles.npy"), ur.log("commands", tmp_path / "commands.npy")
    sent = commands["values"][commands["time"] > began]
    assert 0.9 * FASTEST < np.abs(np.diff(sent, axis=0)).max() / PERIOD < 1.001 * FASTEST
    went = cycles["q"][cycles["time"] > began]
    assert np.abs(went - sent[0]).max() > 0.3 * SWING
    assert is_at_rest(ur)
    events = [event["event"] for event in ur.events(began)]
    assert "watchdog-expired" not in events
    assert events[-1] == "program-stopped"


def test_commands_that_are_none_are_never_sent(ur: EmulatorProcess, fly: Fly) -> None:
    flight = fly()
    flight.tell("stay")
    refusals = {
        "not finite": ["nan", 0, 0, 0, 0, 0],
        "is not finite": [0, 0, 0, 0, 0, "inf"],
        "5 joints": [0, 0, 0, 0, 0],
        "7 joints": [0, 0, 0, 0, 0, 0, 0],
        "0.0200 rad away from the one before in elbow_joint, limit 0.0079": [0, 0, 0.02, 0, 0, 0],
        "past the joint limits": [0, 0, 3.0, 0, 0, 0],
    }
    for words, offset in refusals.items():
        flight.tell("servo", q=offset)
        assert words in flight.hear("refused")
    flight.tell("servo", q=[0, 0, 0.001, 0, 0, 0])
    assert flight.hear("refused") == ""
    flight.quit()


def test_the_first_command_must_be_where_the_arm_is(fly: Fly) -> None:
    flight = fly()
    flight.tell("servo", q=[0.05, 0, 0, 0, 0, 0])
    assert "0.0500 rad away from the arm in shoulder_pan_joint, limit 0.0300" in flight.hear("refused")
    flight.quit()


def test_a_halt_in_motion_ends_it_and_flying_goes_on_from_there(ur: EmulatorProcess, fly: Fly) -> None:
    flight = fly()
    flight.tell("fly")
    time.sleep(0.4)
    flight.tell("halt")
    flight.hear("done", lambda order: order == "halt")
    until(lambda: is_at_rest(ur), 1.0)
    time.sleep(0.3)  # longer than the watchdog's period: resting arms are still fed
    flight.tell("halt")
    flight.tell("fly")
    time.sleep(0.4)
    assert not is_at_rest(ur)
    flight.quit()


def test_a_hand_leads_the_arm_while_guided_and_it_holds_afterwards(ur: EmulatorProcess, fly: Fly) -> None:
    flight = fly()
    flight.tell("fly")
    time.sleep(0.3)
    flight.tell("guide", on=True)
    flight.hear("done", lambda order: order == "guide")
    before = np.array(ur.state()["q"])
    ur.ask("push", force=[0.0, 30.0, 0.0], seconds=0.6)
    time.sleep(0.8)
    flight.tell("servo", q=[0.0] * 6)
    assert "led by hand" in flight.hear("refused")
    flight.tell("guide", on=False)
    flight.hear("done", lambda order: order == "guide")
    led = np.array(ur.state()["q"])
    assert np.abs(led - before).max() > 0.02
    flight.tell("stay")
    time.sleep(0.3)
    assert np.abs(np.array(ur.state()["q"]) - led).max() < 0.01
    flight.quit()


# --- our own process --------------------------------------------------------------------------------------------------


def test_a_process_that_hangs_is_taken_for_dead_and_must_be_recovered(ur: EmulatorProcess, fly: Fly) -> None:
    flight, began = fly(), now()
    flight.tell("fly")
    time.sleep(0.4)
    flight.signal(signal.SIGSTOP)
    until(lambda: ur.state()["runtime"] == "STOPPED" and is_at_rest(ur))
    assert "watchdog-expired" in [event["event"] for event in ur.events(began)]
    flight.signal(signal.SIGCONT)
    assert "our program on the controller is stopped" in flight.hear("fault", bool)
    flight.tell("recover")
    flight.hear("fault", lambda fault: not fault)
    flight.quit()


def test_a_process_that_is_killed_leaves_an_arm_at_rest_which_the_next_takes_over(
    ur: EmulatorProcess, fly: Fly
) -> None:
    flight = fly()
    flight.tell("fly")
    time.sleep(0.4)
    flight.kill()
    until(lambda: ur.state()["runtime"] == "STOPPED" and is_at_rest(ur))
    fly().quit()
