"""The wire of the Franka control interface, byte by byte: what libfranka's two dialects expect."""

import struct

import numpy as np
import pytest

from robot_stack.emulators.franka.errors import ERRORS, bits
from robot_stack.emulators.franka.messages import command_layout, state_layout
from robot_stack.emulators.franka.protocol import HEADER, V5, V10, Command, Request, Requests, Status, Version
from robot_stack.types import ConfigError

SIZES = [(V10, 1377, 371), (V5, 2373, 370)]


@pytest.mark.parametrize(("version", "state", "command"), SIZES, ids=["v10", "v5"])
def test_datagrams_have_the_size_that_clients_insist_on(version: Version, state: int, command: int) -> None:
    assert state_layout(version).itemsize == state
    assert command_layout(version).itemsize == command


def test_state_of_version_10_has_its_fields_where_the_protocol_note_says() -> None:
    fields = state_layout(V10).fields
    assert fields is not None
    expected = {"O_T_EE": 8, "tau_J": 512, "q": 596, "tau_ext_hat_filtered": 840, "O_F_ext_hat_K": 868, "dtheta": 1116}
    assert {name: fields[name][1] for name in expected} == expected
    assert fields["motion_generator_mode"][1] == 1288


@pytest.mark.parametrize("version", [V10, V5], ids=["v10", "v5"])
def test_requests_are_understood_however_the_stream_is_cut(version: Version) -> None:
    payload = struct.pack("<7d", *range(7))
    number = version.commands.index(Command.SET_JOINT_IMPEDANCE)
    stream = b"".join(HEADER.pack(number, id, HEADER.size + len(payload)) + payload for id in (3, 4))
    for cut in range(len(stream)):
        requests = Requests(version)
        heard = requests.feed(stream[:cut]) + requests.feed(stream[cut:])
        assert heard == [Request(Command.SET_JOINT_IMPEDANCE, id, tuple(range(7))) for id in (3, 4)]


@pytest.mark.parametrize("header", [(99, 0, 12), (2, 0, 13), (1, 0, 12)], ids=["unknown", "too long", "too short"])
def test_what_is_no_request_is_refused(header: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"request number|expected"):
        Requests(V10).feed(HEADER.pack(*header))


def test_statuses_have_the_codes_of_their_version() -> None:
    expected = {
        (V10, Command.MOVE, Status.STARTED): 1,
        (V10, Command.MOVE, Status.REFLEX): 8,
        (V10, Command.MOVE, Status.EMERGENCY): 9,
        (V5, Command.MOVE, Status.REFLEX): 6,
        (V5, Command.MOVE, Status.EMERGENCY): 7,
        (V10, Command.AUTOMATIC_ERROR_RECOVERY, Status.MANUAL): 3,
        (V5, Command.AUTOMATIC_ERROR_RECOVERY, Status.MANUAL): 2,
        (V10, Command.SET_LOAD, Status.INVALID): 2,
        (V10, Command.CONNECT, Status.INCOMPATIBLE): 1,
    }
    for (version, command, status), code in expected.items():
        assert version.code(command, status) == code


def test_response_echoes_command_and_id() -> None:
    response = V10.response(Request(Command.CONNECT, 7, (10, 5000)), Status.SUCCESS, b"\x0a\x00")
    assert response == struct.pack("<IIIBH", 0, 7, 15, 0, 10)


def test_errors_stand_at_their_bits() -> None:
    assert len(ERRORS) == 41
    for name, bit in (("joint_reflex", 6), ("cartesian_reflex", 7), ("communication_constraints_violation", 25)):
        assert np.flatnonzero(bits([name])).tolist() == [bit]
    with pytest.raises(ConfigError, match=r"no reflex 'cartesian_reflux'; there are: .*cartesian_reflex"):
        bits(["cartesian_reflux"])
