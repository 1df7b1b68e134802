import socket

import pytest

from robot_stack.tcp import connect
from robot_stack.types import DeviceError


def test_a_connection_is_one() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        connect("127.0.0.1", server.getsockname()[1], "it") as client,
    ):
        peer, _ = server.accept()
        with peer:
            client.sendall(b"hello")
            assert peer.recv(10) == b"hello"
        assert client.gettimeout() == 2.0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer in 2 s. Is it switched on"),
        (ConnectionRefusedError(), "the connection was refused. Nothing listens there"),
        (socket.gaierror(-2, "Name or service not known"), "no address of that name (Name or service not known)"),
        (OSError(101, "Network is unreachable"), "Network is unreachable. Check `host` and the cable"),
    ],
)
def test_no_connection_is_an_error_that_says_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    def fail(address: object, timeout: float) -> socket.socket:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(DeviceError) as raised:
        connect("robot", 1, "the arm")
    assert str(raised.value).startswith("cannot reach the arm at robot, port 1: ")
    assert words in str(raised.value)
