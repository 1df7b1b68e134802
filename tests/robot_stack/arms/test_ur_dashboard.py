import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from robot_stack.arms.ur_dashboard import GREETING, PORT, Dashboard
from robot_stack.types import DeviceError
from tests.robot_stack.emulators.emulator import next_host


@contextmanager
def _server(*lines: str) -> Iterator[str]:
    """Greets with the first line, answers with the others, then hangs up; its address."""
    with socket.create_server((next_host(), PORT)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                for number, line in enumerate(lines):
                    if number == 0 or peer.recv(1000):
                        peer.sendall(f"{line}\n".encode())
                peer.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(server.getsockname()[0])
        thread.join()


def test_states_are_read_as_their_numbers() -> None:
    answers = "Robotmode: IDLE", "Safetystatus: PROTECTIVE_STOP", "Safetystatus: NEW"
    with _server(GREETING, *answers) as host, Dashboard(host) as dashboard:
        assert dashboard.robot_mode() == 5
        assert dashboard.safety_mode() == 3
        assert dashboard.safety_mode() == -2


@pytest.mark.parametrize(
    ("state", "name"), [("STOPPED pick.urp", ""), ("PLAYING pick.urp", "pick.urp"), ("PAUSED", "?")]
)
def test_a_program_is_somebodys_unless_it_is_stopped(state: str, name: str) -> None:
    with _server(GREETING, state) as host, Dashboard(host) as dashboard:
        assert dashboard.playing() == name


def test_another_server_is_none() -> None:
    with _server("SSH-2.0-OpenSSH_9.6") as host, pytest.raises(DeviceError, match="greets with 'SSH"):
        Dashboard(host)


def test_an_order_that_is_not_followed_is_an_error_in_the_controllers_words() -> None:
    error = pytest.raises(DeviceError, match="answers 'stop' with 'Failed to execute: stop', expected 'Stopped'")
    with _server(GREETING, "Failed to execute: stop") as host, Dashboard(host) as dashboard, error:
        dashboard.order("stop", "Stopped")


def test_a_server_that_is_silent_is_not_waited_for_long() -> None:
    error = pytest.raises(DeviceError, match="did not answer 'a greeting': timed out")
    with socket.create_server((next_host(), PORT)) as server, error:
        Dashboard(server.getsockname()[0], timeout=0.1)


def test_a_server_that_hangs_up_is_an_error() -> None:
    error = pytest.raises(DeviceError, match="ended the connection instead of answering 'robotmode'")
    with _server(GREETING) as host, Dashboard(host) as dashboard, error:
        dashboard.robot_mode()
