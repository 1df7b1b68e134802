"""What the real client library sees of a link that fails, a controller that boots, and one of another version."""

import pytest

from robot_stack.emulators.process import EmulatorProcess
from robot_stack.types import DeviceError
from tests.robot_stack.emulators.emulator import start_ur
from tests.robot_stack.emulators.ur_client import client


@pytest.mark.parametrize("reset", [False, True])
def test_a_dropped_connection_is_noticed_at_once_and_can_be_made_again(ur: EmulatorProcess, reset: bool) -> None:
    got = client(
        ur,
        f"""
        receive = RTDEReceiveInterface(host)
        admin("drop", reset={reset})
        until(lambda: not receive.isConnected(), patience=1.5)
        stale = receive.getTimestamp()
        result["again"] = receive.reconnect()
        until(lambda: receive.getTimestamp() > stale)
        """,
    )
    assert got["again"]


def test_a_pulled_cable_tells_nobody(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        q = receive.getActualQ()
        admin("silence")
        time.sleep(0.2)
        last = receive.getTimestamp()
        time.sleep(0.3)
        result["connected"] = receive.isConnected()
        result["servo"] = control.servoJ([*q[:5], q[5] + 0.05], 0.0, 0.0, 0.002, 0.1, 300)
        result["stood"] = receive.getTimestamp() == last
        result["way"] = admin("state")["q"][5] - q[5]
        until(lambda: not receive.isConnected(), patience=8.0)
        admin("silence", on=False)
        result["again"] = receive.reconnect()
        """,
    )
    assert got["connected"]
    assert got["servo"], "the library takes commands for a link that is dead"
    assert got["stood"]
    assert abs(got["way"]) < 1e-4
    assert got["again"]


def test_a_controller_that_boots_refuses_and_then_accepts(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive = RTDEReceiveInterface(host)
        admin("reboot", seconds=1.0)
        until(lambda: not receive.isConnected(), patience=1.5)
        result["refused"] = error_of(lambda: RTDEReceiveInterface(host))
        time.sleep(1.2)
        result["control"] = RTDEControlInterface(host).isProgramRunning()
        """,
    )
    assert got["refused"]
    assert got["control"]


def test_packages_are_late_by_the_delay_that_was_asked_for(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive = RTDEReceiveInterface(host)
        def age():
            newest = receive.getTimestamp()
            return admin("state")["timestamp"] - newest
        def typical():
            let_pass(0.3)
            return float(np.median([age() for _ in range(100)]))
        result["before"] = typical()
        admin("delay", seconds=0.2, jitter=0.01)
        result["after"] = typical()
        """,
    )
    assert got["after"] > got["before"] + 0.1


def test_a_frozen_controller_goes_on_sending_what_it_knew(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive = RTDEReceiveInterface(host)
        admin("freeze")
        time.sleep(0.1)
        last = receive.getTimestamp()
        time.sleep(0.3)
        result = {"stood": receive.getTimestamp() == last, "connected": receive.isConnected()}
        admin("freeze", on=False)
        until(lambda: receive.getTimestamp() > last)
        """,
    )
    assert got == {"stood": True, "connected": True}


def test_an_old_controller_sends_125_times_a_second() -> None:
    with start_ur(polyscope="3.15.8.0") as ur:
        got = client(
            ur,
            """
            receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
            stamps = set()
            until(lambda: stamps.add(receive.getTimestamp()) or len(stamps) > 20)
            result["period"] = float(np.median(np.diff(sorted(stamps))))
            result["version"], result["running"] = dashboard().polyscopeVersion(), control.isProgramRunning()
            """,
        )
        ur.ask("identify", polyscope="5.12.4.0", model="UR10", serial="20260000002")
        again = client(
            ur,
            """
            panel = dashboard()
            result = [panel.polyscopeVersion(), panel.getRobotModel(), panel.getSerialNumber()]
            """,
        )
    assert got["period"] == pytest.approx(0.008)
    assert got["version"] == "3.15.8.0"
    assert got["running"]
    assert again == ["5.12.4.0", "UR10", "20260000002"]


def test_polyscope_x_has_no_dashboard_and_takes_scripts() -> None:
    with start_ur(polyscope="10.11.0.0", faults=["power-off", "delay seconds=0.002"]) as ur:
        assert ur.state()["robot_mode"] == "POWER_OFF"
        ur.ask("reset")
        got = client(
            ur,
            """
            result["dashboard"] = error_of(dashboard)
            result["control"] = RTDEControlInterface(host).isProgramRunning()
            """,
        )
    assert got["dashboard"]
    assert got["control"]


def test_a_busy_port_is_said_to_be_busy(ur: EmulatorProcess, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceError, match="did not start"):
        start_ur(host=ur.host)
    assert f"cannot serve port 30004 of {ur.host}" in capfd.readouterr().err
