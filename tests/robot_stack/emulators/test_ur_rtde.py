"""RTDE byte by byte. The vectors are those of the tests of UR's own client library (Apache-2.0, c5d1e26c)."""

import random
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from robot_stack.emulators.process import EmulatorProcess
from robot_stack.emulators.ur.variables import OUTPUTS, layout

PROTOCOL_2, PROTOCOL_1, VERSION = "0005560002", "0005560001", "000376"
OUTPUTS_2 = "001d4f407f40000000000061637475616c5f712c61637475616c5f7164"
OUTPUTS_1 = "00154f61637475616c5f712c61637475616c5f7164"
SLIDER = "002a4973706565645f736c696465725f6d61736b2c73706565645f736c696465725f6672616374696f6e"
START, PAUSE, UNKNOWN = "000353", "000350", "0005020000"


class Wire:
    """A bare connection."""

    def __init__(self, host: str) -> None:
        self.socket = socket.create_connection((host, 30004), 10.0)
        self._pending = b""

    def ask(self, vector: str) -> str:
        """Send bytes in hex, return the next package in hex."""
        self.socket.sendall(bytes.fromhex(vector))
        return self.next()

    def next(self) -> str:
        while len(self._pending) < 3 or len(self._pending) < struct.unpack(">H", self._pending[:2])[0]:
            data = self.socket.recv(4096)
            assert data, "closed"
            self._pending += data
        size = struct.unpack(">H", self._pending[:2])[0]
        package, self._pending = self._pending[:size], self._pending[size:]
        return package.hex()


@pytest.fixture
def wire(ur: EmulatorProcess) -> Iterator[Wire]:
    connection = Wire(ur.host)
    yield connection
    connection.socket.close()


def test_requests_of_urs_own_client_get_the_answers_of_a_controller(wire: Wire) -> None:
    assert wire.ask(PROTOCOL_2) == "00045601"
    assert wire.ask(VERSION) == "001376" + "00000005" + "00000017" + "00000000" * 2  # 5.23
    assert wire.ask(SLIDER) == "0011490155494e5433322c444f55424c45"
    assert wire.ask(OUTPUTS_2) == "00154f01" + b"VECTOR6D,VECTOR6D".hex()
    assert wire.ask(START) == "00045301"
    data = bytes.fromhex(wire.next())
    assert data[2] == ord("U")
    assert len(data) == 4 + 12 * 8


def test_protocol_1_has_neither_a_frequency_nor_recipe_numbers(wire: Wire, ur: EmulatorProcess) -> None:
    assert wire.ask(PROTOCOL_1) == "00045601"
    assert wire.ask(OUTPUTS_1) == "00144f" + b"VECTOR6D,VECTOR6D".hex()
    wire.ask(START)
    data = bytes.fromhex(wire.next())
    assert struct.unpack(">6d", data[3:51]) == pytest.approx(ur.state()["q"], abs=1e-6)


def test_pausing_ends_the_flow(wire: Wire) -> None:
    wire.ask(PROTOCOL_2)
    wire.ask(OUTPUTS_2)
    wire.ask(START)
    wire.socket.sendall(bytes.fromhex(PAUSE))
    while (package := wire.next())[4:6] == "55":
        pass
    assert package == "00045001"
    wire.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        wire.socket.recv(1)


def test_packages_may_be_split_and_joined(wire: Wire) -> None:
    whole = bytes.fromhex(PROTOCOL_2 + VERSION + SLIDER)
    for index in range(len(whole)):
        wire.socket.sendall(whole[index : index + 1])
    kinds = [wire.next()[4:6] for _ in range(3)]
    assert kinds == ["56", "76", "49"]


def test_an_unknown_package_is_counted_and_passed_over(wire: Wire, ur: EmulatorProcess) -> None:
    before = ur.state()["packages"]["unknown"]
    assert wire.ask(UNKNOWN + VERSION)[4:6] == "76"
    assert ur.state()["packages"]["unknown"] == before + 1


def test_a_size_that_cannot_be_closes_the_connection(wire: Wire) -> None:
    wire.socket.sendall(b"\x00\x01U")
    assert wire.socket.recv(16) == b""


def test_names_that_do_not_exist_are_refused_by_name(wire: Wire) -> None:
    wire.ask(PROTOCOL_2)
    names = b"actual_q,nonsense"
    answer = bytes.fromhex(wire.ask(struct.pack(">HBd", 11 + len(names), ord("O"), 500.0).hex() + names.hex()))
    assert answer[3:] == b"\x00VECTOR6D,NOT_FOUND"
    answer = bytes.fromhex(wire.ask(struct.pack(">HB", 11, ord("I")).hex() + b"nonsense".hex()))
    assert answer[3:] == b"\x00NOT_FOUND"


def test_an_input_belongs_to_one_connection_until_that_is_closed(wire: Wire, ur: EmulatorProcess) -> None:
    second = Wire(ur.host)
    assert wire.ask(SLIDER)[6:8] == "01"
    assert bytes.fromhex(second.ask(SLIDER))[3:] == b"\x00IN_USE,IN_USE"
    wire.socket.close()
    while second.ask(SLIDER)[6:8] != "01":
        pass
    second.socket.close()


def test_a_client_that_does_not_read_misses_packages_and_delays_nobody(wire: Wire, ur: EmulatorProcess) -> None:
    lazy = Wire(ur.host)
    lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    names = ",".join(OUTPUTS).encode()
    for connection in (lazy, wire):
        connection.ask(PROTOCOL_2)
        connection.ask(struct.pack(">HBd", 11 + len(names), ord("O"), 500.0).hex() + names.hex())
        connection.ask(START)
    size = 1 + layout(kind for kind, _ in OUTPUTS.values()).size
    for _ in range(1500):  # three seconds, some 3 MB: more than the kernel keeps for one connection
        assert len(wire.next()) == 2 * (3 + size)
    lazy.socket.close()
    for _ in range(5):
        wire.next()
    assert ur.state()["packages"]["skipped"] > 0


def test_the_rate_is_the_next_that_divides_500(wire: Wire) -> None:
    wire.ask(PROTOCOL_2)
    wire.ask(struct.pack(">HBd", 20, ord("O"), 30.0).hex() + b"timestamp".hex())
    wire.ask(START)
    stamps = [struct.unpack(">d", bytes.fromhex(wire.next())[4:])[0] for _ in range(12)]
    assert np.median(np.diff(stamps)) == pytest.approx(0.032), "a cycle that this machine had no time for is a leap"


def test_a_stop_is_told_in_words_to_those_whose_data_flow(wire: Wire, ur: EmulatorProcess) -> None:
    silent = Wire(ur.host)
    silent.ask(PROTOCOL_2)
    wire.ask(PROTOCOL_2)
    wire.ask(OUTPUTS_2)
    wire.ask(START)
    ur.ask("pstop", reason="look here")
    while (package := bytes.fromhex(wire.next()))[2] != ord("M"):
        pass
    assert package[3:] == b"\x09look here" + b"\x0aController" + b"\x01"
    assert silent.ask(VERSION)[4:6] == "76"
    silent.socket.close()


@pytest.mark.parametrize("port", [30004, 29999, 30003, 63352])
def test_no_bytes_end_the_emulator(ur: EmulatorProcess, port: int) -> None:
    chance = random.Random(port)
    kinds = [*b"VvOISPUM", 0, 255]
    for _ in range(30):
        with socket.create_connection((ur.host, port), 10.0) as connection:
            for _ in range(20):
                payload = chance.randbytes(chance.randint(0, 40))
                header = struct.pack(">HB", 3 + len(payload), chance.choice(kinds)) if chance.random() < 0.9 else b""
                try:
                    connection.sendall(header + payload + b"\nend\n" * (port == 30003))
                except OSError:
                    break  # it had enough of us
    assert ur.state()["robot_mode"] == "RUNNING"
