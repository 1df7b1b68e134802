"""How the emulated UR5e stops, and what brings it back: with the real client library."""

import pytest

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.ur_client import client

STREAM = """
receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
q = receive.getActualQ()

def stream(offsets):
    for offset in offsets:
        if not control.servoJ([*q[:5], q[5] + offset], 0.0, 0.0, 0.002, 0.1, 300):
            return False
        time.sleep(0.002)
    return True
"""


def reasons(ur: EmulatorProcess) -> list[str]:
    return [event["reason"] for event in ur.events() if event["event"] == "protective-stop"]


def test_a_protective_stop_pauses_the_program_and_servoj_says_no(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        STREAM
        + """
result["flew"] = stream(0.1 * k / 100 for k in range(100))
admin("pstop", reason="as a test")
until(receive.isProtectiveStopped)
result["servo"], result["move"] = stream([0.1]), control.moveJ(q)
result["state"] = [receive.getSafetyMode(), receive.getRobotMode(), receive.getRuntimeState()]
let_pass(0.3)
result["rest"] = max(map(abs, receive.getActualQd()))
""",
    )
    assert got["flew"]
    assert got["servo"] is got["move"] is False
    assert got["state"] == [3, 7, 4]
    assert got["rest"] < 1e-3
    assert reasons(ur)[-1] == "as a test"


def test_playing_after_a_protective_stop_goes_on_with_the_old_motion(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        STREAM
        + """
control.moveJ([*q[:5], q[5] + 1.0], 0.5, 2.0, True)
let_pass(0.5)
admin("pstop")
let_pass(1.2)
stopped = receive.getActualQ()[5]
panel = dashboard()
panel.unlockProtectiveStop()
panel.play()
let_pass(0.5)
result = {"stopped": stopped - q[5], "after": receive.getActualQ()[5] - stopped}
""",
    )
    assert 0.1 < got["stopped"] < 0.5
    assert got["after"] > 0.05


def test_recovery_is_to_unlock_then_stop_then_upload_again(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        STREAM
        + """
panel = dashboard()
admin("pstop")
until(receive.isProtectiveStopped)
result["too soon"] = error_of(panel.unlockProtectiveStop)
let_pass(1.1)
panel.closeSafetyPopup()
panel.unlockProtectiveStop()
control.reuploadScript()
let_pass(0.4)
result["without stop"] = control.isProgramRunning()
admin("pstop")
let_pass(1.1)
panel.unlockProtectiveStop()
panel.stop()
control.reuploadScript()
until(control.isProgramRunning)
result["moves"] = control.moveJ(q, 1.0, 2.0)
""",
    )
    assert "until 5s after occurrence" in got["too soon"]
    assert got["without stop"] is False, "a script that arrives while the program is paused only stops it"
    assert got["moves"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("[*q[:5], q[5] + 0.2]", "goals 0.200 rad apart"),
        ("[*q[:5], float('nan')]", "beyond"),
        ("[*q[:5], 7.0]", "beyond"),
    ],
)
def test_a_target_that_cannot_be_is_a_protective_stop(ur: EmulatorProcess, target: str, words: str) -> None:
    got = client(
        ur,
        STREAM
        + f"""
control.servoJ({target}, 0.0, 0.0, 0.002, 0.1, 300)
until(receive.isProtectiveStopped)
result["way"] = max(abs(a - b) for a, b in zip(receive.getActualQ(), q))
""",
    )
    assert words in reasons(ur)[-1]
    assert got["way"] < 1e-3


@pytest.mark.parametrize("values", [5, 7])
def test_a_package_of_another_length_is_counted(ur: EmulatorProcess, values: int) -> None:
    before = ur.state()["packages"]
    client(ur, STREAM + f"control.servoJ([*q, 0.0][:{values}], 0.0, 0.0, 0.002, 0.1, 300)")
    counted = ur.state()["packages"]
    name = "too_short" if values < 6 else "too_long"
    assert counted[name] == before[name] + 1


def test_a_blocked_arm_and_a_hard_push_are_protective_stops(ur: EmulatorProcess) -> None:
    client(
        ur,
        STREAM
        + """
admin("block")
control.speedL([0, 0, -0.2, 0, 0, 0], 1.0, 0.2)
until(receive.isProtectiveStopped)
""",
    )
    assert reasons(ur)[-1].startswith(("C153", "C158"))
    ur.ask("reset")
    client(ur, STREAM + "admin('push', force=[300, 0, 0], seconds=0.1)\nuntil(receive.isProtectiveStopped)")
    assert reasons(ur)[-1].startswith("C158: collision")


def test_an_emergency_stop_takes_the_power_and_the_program(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        STREAM
        + """
panel = dashboard()
admin("estop")
until(receive.isEmergencyStopped)
result["state"] = [receive.getSafetyMode(), receive.getRobotMode(), panel.safetystatus()]
until(lambda: not stream([0.0]))
admin("estop", pressed=False)
panel.powerOn()
panel.brakeRelease()
until(lambda: receive.getRobotMode() == 7)
control.reuploadScript()
until(control.isProgramRunning)
result["moves"] = control.moveJ(q, 1.0, 2.0)
""",
    )
    assert got["state"] == [7, 3, "Safetystatus: ROBOT_EMERGENCY_STOP"]
    assert got["moves"]


def test_a_safeguard_stop_ends_when_the_input_closes_and_resumes_nothing(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        STREAM
        + """
admin("safeguard")
until(lambda: receive.getSafetyMode() == 5)
result["open"] = receive.getRuntimeState()
admin("safeguard", open=False)
until(lambda: receive.getSafetyMode() == 1)
let_pass(0.1)
result["closed"] = receive.getRuntimeState()
""",
    )
    assert got == {"open": 4, "closed": 4}


def test_in_local_control_nothing_from_the_network_moves_the_robot(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        admin("remote", on=False)
        panel = dashboard()
        result["remote"] = panel.isInRemoteControl()
        result["control"] = error_of(lambda: RTDEControlInterface(host))
        result["power"] = error_of(panel.powerOff)
        result["reads"] = len(RTDEReceiveInterface(host).getActualQ())
        """,
    )
    assert got["remote"] is False
    assert "enable remote control" in got["control"]
    assert got["reads"] == 6
    assert ur.state()["robot_mode"] == "RUNNING"


def test_a_script_connection_opened_in_local_control_stays_read_only(ur: EmulatorProcess) -> None:
    client(
        ur,
        """
        admin("remote", on=False)
        def send(script):
            script.sendall(b"def nudge():\\n textmsg(1)\\nend\\n")
            time.sleep(0.4)
            return [event["event"] for event in admin("events")][-1]
        old = socket.create_connection((host, 30003))
        time.sleep(0.1)
        admin("remote", on=True)
        assert send(old) == "script-ignored"
        assert send(socket.create_connection((host, 30003))) == "program-stopped"
        """,
    )


def test_a_robot_without_power_takes_no_program(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        admin("power-off")
        result["control"] = error_of(lambda: RTDEControlInterface(host))
        result["mode"] = dashboard().robotmode()
        """,
    )
    assert "Failed to start control script" in got["control"]
    assert got["mode"] == "Robotmode: POWER_OFF"
    assert ur.events()[-1]["event"] == "program-refused"
