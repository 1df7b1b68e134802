"""What fences the client library in: its sockets are looked at from outside, and its calls are waited for so long."""

import socket
import struct
import subprocess
import sys
import time

import pytest

from robot_stack.arms.ur_sockets import Connections

RESET = struct.pack("ii", 1, 0)  # linger on, 0 s: closing sends RST


@pytest.mark.parametrize("resets", [False, True], ids=["fin", "rst"])
def test_a_connection_that_the_other_side_ends_is_seen_at_once(resets: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as own:
        peer, _ = server.accept()
        connections = Connections("127.0.0.1", server.getsockname()[1])
        assert len(connections) == 1
        assert not connections.is_any_closed()
        own.sendall(b"x")
        peer.sendall(b"unread")
        assert not connections.is_any_closed()
        if resets:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        assert connections.is_any_closed()
        connections.release()


def test_connections_to_other_places_are_none_of_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()
        connections = Connections("127.0.0.1", 1)
        assert len(connections) == 0
        assert not connections.is_any_closed()


def test_what_is_watched_stays_open_until_it_is_released() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        own = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        connections = Connections("127.0.0.1", server.getsockname()[1])
        own.close()
        peer.settimeout(0.1)
        with peer:
            with pytest.raises(TimeoutError):
                peer.recv(1)
            connections.release()
            assert peer.recv(1) == b""


def _run(code: str) -> subprocess.CompletedProcess[str]:
    code = f"import time, logging; logging.basicConfig(); from robot_stack.arms.ur_library import *\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0)


def test_a_call_that_does_not_return_ends_the_process_with_the_reason() -> None:
    began = time.monotonic()
    ended = _run("from robot_stack.arms.ur_library import _Watch; _Watch().begin(0.1); time.sleep(60.0)")
    assert ended.returncode == 1
    assert "the client library does not return" in ended.stderr
    assert time.monotonic() - began < 50.0


def test_calls_that_return_end_nothing_however_many() -> None:
    ended = _run(
        "from robot_stack.arms.ur_library import _Watch\n"
        "watch = _Watch()\n"
        "for _ in range(100):\n"
        "    watch.begin(0.1); time.sleep(0.005); watch.end()\n"
        "time.sleep(0.3); watch.close(); print('well')"
    )
    assert ended.stdout == "well\n", ended.stderr


def test_a_constructor_that_does_not_return_ends_the_process_with_where_it_was() -> None:
    ended = _run(
        "from robot_stack.arms import ur_library\n"
        "ur_library.CONNECTING = 0.3\n"
        "with ur_library._ended_by_force():\n"
        "    import ctypes; ctypes.PyDLL(None).sleep(60)"  # holds the interpreter's lock, as the library does
    )
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
