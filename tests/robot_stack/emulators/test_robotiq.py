"""The emulated gripper through its socket."""

import socket
from collections.abc import Iterator

import pytest

from robot_stack.clock import now
from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.emulator import start_robotiq


class Client:
    """What a driver does: a line asks, the answer is read."""

    def __init__(self, host: str) -> None:
        self.socket = socket.create_connection((host, 63352), 10.0)
        self._answers = self.socket.makefile("r")

    def ask(self, line: str) -> str:
        self.socket.sendall(f"{line}\n".encode())
        return self._answers.readline().strip()

    def get(self, name: str) -> int:
        answered, value = self.ask(f"GET {name}").split()
        assert answered == name
        return int(value)

    def wait(self, name: str, value: int, patience: float = 20.0) -> None:
        deadline = now() + patience
        while (found := self.get(name)) != value:
            assert now() < deadline, f"{name} is {found}, not {value}"

    def activate(self) -> None:
        assert self.ask("SET ACT 0") == "ack"
        self.wait("STA", 0)
        assert self.ask("SET ACT 1") == "ack"
        self.wait("STA", 3)
        assert self.ask("SET GTO 1 SPE 255 FOR 100") == "ack"

    def close(self) -> None:
        self._answers.close()
        self.socket.close()


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    with start_robotiq() as emulator:
        yield emulator


@pytest.fixture
def client(process: EmulatorProcess) -> Iterator[Client]:
    connection = Client(process.host)
    yield connection
    connection.close()


def test_a_gripper_that_is_not_activated_does_not_move_and_says_so(client: Client) -> None:
    client.ask("SET ACT 0")
    before = client.get("POS")
    assert client.ask("SET GTO 1 POS 255") == "ack"
    assert client.get("FLT") == 7
    assert client.get("STA") == 0
    assert client.get("POS") == before


def test_activation_passes_through_its_states(client: Client) -> None:
    client.ask("SET ACT 0")
    assert client.get("STA") == 0
    client.ask("SET ACT 1")
    assert client.get("STA") == 1
    assert client.get("FLT") == 0
    client.wait("STA", 3)


def test_the_fingers_go_where_they_are_asked_and_say_when_they_are_there(
    client: Client, process: EmulatorProcess
) -> None:
    client.activate()
    client.ask("SET POS 130")
    assert client.get("PRE") == 130
    assert client.get("OBJ") == 0
    client.wait("OBJ", 3)
    assert client.get("POS") == pytest.approx(130, abs=5)
    assert process.state()["opening"] == pytest.approx(0.085 * (230 - 130) / 227, abs=0.002)
    client.ask("SET POS 255")
    client.wait("OBJ", 3)
    assert client.get("POS") == pytest.approx(230, abs=4)
    client.ask("SET POS 0")
    client.wait("OBJ", 3)
    assert client.get("POS") == pytest.approx(3, abs=3)


def test_a_lower_speed_takes_longer(client: Client, process: EmulatorProcess) -> None:
    client.activate()

    def seconds(speed: int, position: int) -> float:
        client.ask(f"SET SPE {speed} POS {position}")
        start = process.state()["steps"]
        client.wait("OBJ", 3)
        return float(process.state()["steps"] - start)

    fast = seconds(255, 180)
    assert seconds(0, 10) > 2.0 * fast


def test_what_is_not_understood_is_answered_with_nack(client: Client) -> None:
    assert [client.ask(line) for line in ("SET", "SET STA 3", "SET POS x", "SET POS 1 GTO", "JUMP")] == ["nack"] * 5
    assert client.ask("GET NONSENSE") == "?"


def test_a_fault_is_read_and_cleared_by_activation(client: Client, process: EmulatorProcess) -> None:
    client.activate()
    process.ask("gripper-fault", code=8)
    assert client.get("FLT") == 8
    assert client.get("STA") == 0
    client.activate()
    assert client.get("FLT") == 0


def test_a_gripper_that_is_absent_refuses_connections(client: Client, process: EmulatorProcess) -> None:
    process.ask("gripper-absent")
    with pytest.raises(ConnectionRefusedError):
        Client(process.host)
    process.ask("gripper-absent", on=False)
    again = Client(process.host)
    assert again.get("STA") == 0
    again.close()


def test_an_object_between_the_fingers_is_noticed(ur: EmulatorProcess) -> None:
    """The arm brings the open fingers around the cube of the task, and they close on it."""
    from tests.robot_stack.emulators.ur_client import client as run

    gripper = Client(ur.host)
    gripper.activate()
    gripper.ask("SET POS 0")
    gripper.wait("OBJ", 3)
    run(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        control.setTcp([0.0, 0.0, 0.157, 0.0, 0.0, -1.5708])
        time.sleep(0.1)
        cube, pose = admin("state")["objects"]["cube"], receive.getActualTCPPose()
        control.moveL([cube[0], cube[1], 0.12, *pose[3:]], 0.4, 2.0)
        control.moveL([cube[0], cube[1], 0.02, *pose[3:]], 0.2, 1.0)
        """,
    )
    gripper.ask("SET POS 255")
    gripper.wait("OBJ", 2)
    assert gripper.get("POS") < 200
    assert ur.state()["opening"] > 0.02
    gripper.ask("SET POS 0")
    gripper.wait("OBJ", 3)
    gripper.close()
