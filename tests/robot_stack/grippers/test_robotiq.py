"""The Robotiq driver before an emulated gripper, and before sockets that answer as no gripper should."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from robot_stack.grippers.robotiq import PORT, Robotiq
from robot_stack.robots import robot
from robot_stack.types import ConfigError, DeviceError
from tests import contracts
from tests.robot_stack.emulators.emulator import next_host, start_robotiq

STROKE = robot("ur5e").opening


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    process = start_robotiq()
    yield process
    process.stop()


@pytest.fixture
def gripper(emulator: EmulatorProcess) -> Iterator[EmulatorProcess]:
    """Plugged in and without a fault."""
    yield emulator
    emulator.ask("gripper-fault", code=0)
    emulator.ask("gripper-absent", on=False)


def test_the_gripper_opens_and_closes(gripper: EmulatorProcess) -> None:
    contracts.gripper_opens_and_closes(lambda: Robotiq(gripper.host), STROKE)


def test_a_gripper_that_is_not_activated_is_activated_only_if_it_may(gripper: EmulatorProcess) -> None:
    gripper.ask("gripper-absent")
    gripper.ask("gripper-absent", on=False)
    with pytest.raises(DeviceError, match=r"not activated: .*gripper\.activate=true"):
        Robotiq(gripper.host, activate=False).__enter__()
    with Robotiq(gripper.host):
        assert gripper.state()["STA"] == 3
    with Robotiq(gripper.host, activate=False):  # now it is
        pass


def test_leaving_keeps_the_grip_as_it_is(gripper: EmulatorProcess) -> None:
    with Robotiq(gripper.host) as driver:
        driver.move(0.03)
        _until(lambda: abs(driver.read().opening - 0.03) < 0.003)
    time.sleep(0.2)
    assert abs(gripper.state()["opening"] - 0.03) < 0.004


def test_an_opening_beyond_the_stroke_is_the_stroke(gripper: EmulatorProcess) -> None:
    with Robotiq(gripper.host) as driver:
        driver.move(1.0)
        _until(lambda: driver.read().opening > STROKE - 0.003)
        driver.move(-1.0)
        _until(lambda: driver.read().opening < 0.003)


def test_speed_and_force_are_those_of_the_configuration(gripper: EmulatorProcess) -> None:
    with Robotiq(gripper.host, speed=0.0849, force=235.0) as driver:
        driver.move(0.04)
        state = gripper.state()
    assert (state["SPE"], state["FOR"], state["GTO"]) == (127, 255, 1)


def test_an_opening_that_is_no_number_is_refused(gripper: EmulatorProcess) -> None:
    with Robotiq(gripper.host) as driver, pytest.raises(DeviceError, match="an opening of nan m"):
        driver.move(float("nan"))


def test_a_fault_is_told_in_the_words_of_the_manual(gripper: EmulatorProcess) -> None:
    with Robotiq(gripper.host) as driver:
        gripper.ask("gripper-fault", code=14)
        with pytest.raises(DeviceError, match="fault 14: overcurrent"):
            driver.read()


def test_a_gripper_that_is_unplugged_is_lost(gripper: EmulatorProcess) -> None:
    with Robotiq(gripper.host) as driver:
        gripper.ask("gripper-absent")
        with pytest.raises(DeviceError, match=r"link to the gripper at .* lost"):
            driver.read()
    with pytest.raises(DeviceError, match=f"Robotiq URCap .*port {PORT}: the connection was refused"):
        Robotiq(gripper.host).__enter__()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"speed": 0.5}, r"speed is 0.5, expected 0.02..0.15"),
        ({"force": float("nan")}, "force is nan, expected 20.0..235.0"),
        ({"open": 230, "closed": 3}, "open is 230 and closed 3"),
    ],
)
def test_arguments_that_cannot_be_are_refused(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Robotiq("192.0.2.1", **wrong)  # type: ignore[arg-type]


# --- other answers ----------------------------------------------------------------------------------------------------


def test_answers_may_come_in_pieces_and_without_newlines_and_what_was_asked_is_asked_once() -> None:
    with _answering(b"STA 3", b"POS 3\nST|A 3\nFLT 0", b"ack") as host, Robotiq(host) as driver:
        driver.move(0.01)
        driver.move(0.01)  # would not be answered


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([b"STA ?\n"], "the gripper is silent: is it plugged in"),
        ([b"POS 3\n"], r"answers 'POS 3\\n', asked for STA"),
        ([b"STA 3\n", b"POS 3\nSTA 0\nFLT 0\n"], r"not activated any more \(status 0\)"),
        ([b"STA 3\n", b"POS 3\nSTA 3\nFLT 8\n"], "fault 8: it is too hot"),
        ([b""], "the URCap ended the connection"),
    ],
)
def test_answers_that_no_gripper_gives_are_errors(answers: list[bytes], words: str) -> None:
    with _answering(*answers) as host, pytest.raises(DeviceError, match=words):
        Robotiq(host).__enter__()


def test_an_order_that_is_not_taken_is_an_error() -> None:
    refused = pytest.raises(DeviceError, match=r"answers SET POS 3 .* with 'nack', expected 'ack'")
    with _answering(b"STA 3", b"POS 3\nSTA 3\nFLT 0", b"nack") as host, Robotiq(host) as driver, refused:
        driver.move(STROKE)


class _answering:  # noqa: N801  reads as what it is: with _answering(...) as host
    """A socket that answers so, with a moment's pause at each `|`; after an empty answer it hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers

    def __enter__(self) -> str:
        self._server = socket.create_server((next_host(), PORT))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return str(self._server.getsockname()[0])

    def __exit__(self, *error: object) -> None:
        self._thread.join(5.0)
        self._server.close()

    def _serve(self) -> None:
        peer, _ = self._server.accept()
        with peer:
            for answer in self._answers:
                peer.recv(1000)
                for piece in answer.split(b"|"):
                    peer.sendall(piece)
                    time.sleep(0.02)
            while self._answers[-1] and peer.recv(1000):
                pass


def _until(true: Callable[[], bool], patience: float = 10.0) -> None:
    deadline = now() + patience
    while not true():
        assert now() < deadline, f"not within {patience:.0f} s"
        time.sleep(0.02)
