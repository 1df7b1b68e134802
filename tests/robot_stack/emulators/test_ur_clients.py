"""What the unmodified ur_rtde does against the emulated UR5e."""

from pathlib import Path

import numpy as np
import pytest

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.ur_client import client


def test_the_receive_interface_reads_the_arm_where_the_scene_has_it(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive = RTDEReceiveInterface(host)
        first = receive.getTimestamp()
        let_pass(0.3)
        result = {"q": receive.getActualQ(), "pose": receive.getActualTCPPose(), "mode": receive.getRobotMode(),
                  "safety": receive.getSafetyMode(), "passed": receive.getTimestamp() - first}
        """,
    )
    state = ur.state()
    assert got["q"] == pytest.approx(state["q"], abs=1e-6)
    assert got["pose"] == pytest.approx(state["tcp_pose"], abs=1e-6)
    assert (got["mode"], got["safety"]) == (7, 1)
    assert got["passed"] > 0.1


def test_the_control_interface_uploads_its_script_and_moves_joints_and_tool(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        q = receive.getActualQ()
        goal = [*q[:5], q[5] + 0.2]
        result["moved"] = control.moveJ(goal, 1.0, 4.0)
        result["joints"] = max(abs(a - b) for a, b in zip(receive.getActualQ(), goal))
        pose = receive.getActualTCPPose()
        pose[2] -= 0.03
        result["straight"] = control.moveL(pose, 0.2, 1.0)
        result["height"] = receive.getActualTCPPose()[2] - pose[2]
        path = [[*q[:5], q[5] + 0.1, 1.0, 4.0, 0.0], [*q[:5], q[5], 1.0, 4.0, 0.0]]
        result["path"] = control.moveJ(path)
        result["back"] = receive.getActualQ()[5] - q[5]
        """,
    )
    assert got["moved"]
    assert got["straight"]
    assert got["path"]
    assert got["joints"] < 2e-3
    assert abs(got["height"]) < 1e-3
    assert abs(got["back"]) < 2e-3
    assert not any(ur.state()["packages"].values())


def test_servoj_streams_at_500_hz_and_every_package_and_cycle_is_remembered(
    ur: EmulatorProcess, tmp_path: Path
) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        q = receive.getActualQ()
        start = time.monotonic()
        for k in range(400):
            control.servoJ([*q[:5], q[5] + 0.1 * (1 - np.cos(k / 60))], 0.0, 0.0, 0.002, 0.05, 600)
            time.sleep(max(0.0, start + 0.002 * (k + 1) - time.monotonic()))
        result = {"last": q[5] + 0.1 * (1 - np.cos(399 / 60)), "q": q, "stopped": control.servoStop()}
        """,
    )
    commands, cycles = ur.log("commands", tmp_path / "commands.npy"), ur.log("cycles", tmp_path / "cycles.npy")
    sent = commands[-400:]
    assert got["stopped"]
    assert sent["values"][-1, 5] == pytest.approx(got["last"])
    assert (np.diff(sent["time"]) > 0.0).all()
    moving = cycles[cycles["timestamp"] >= sent["timestamp"][0]]
    assert np.diff(moving["timestamp"]) == pytest.approx(0.002, abs=1e-6)
    assert np.abs(moving["commanded"] - moving["q"]).max() < 0.01, "the drives follow what the controller commands"
    assert np.abs(np.diff(moving["commanded"], axis=0)).max() < np.pi * 0.002


def test_a_servoj_package_moves_the_arm_within_two_cycles(ur: EmulatorProcess, tmp_path: Path) -> None:
    client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        q = receive.getActualQ()
        for k in range(20):
            until(lambda: max(map(abs, receive.getActualQd())) < 1e-4)
            q[5] += 0.01 if k % 2 else -0.01
            control.servoJ(q, 0.0, 0.0, 0.002, 0.1, 300)
            time.sleep(0.03)
            control.servoStop()
        """,
    )
    commands, cycles = ur.log("commands", tmp_path / "commands.npy"), ur.log("cycles", tmp_path / "cycles.npy")
    delays = []
    for arrived in commands[-20:]["timestamp"]:
        before = cycles["q"][cycles["timestamp"] <= arrived][-1]
        after = cycles[cycles["timestamp"] > arrived]
        moved = np.abs(after["q"] - before).max(axis=1) > 1e-6
        delays.append(after["timestamp"][moved.argmax()] - arrived)
    assert np.median(delays) <= 0.0041


def test_speedj_and_speedl_hold_their_speed_until_they_are_stopped(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        control.speedJ([0, 0, 0, 0, 0, 0.3], 2.0, 0.2)
        until(lambda: abs(receive.getActualQd()[5] - 0.3) < 0.01)
        let_pass(0.3)
        result["joint"] = receive.getActualQd()[5]
        control.speedStop()
        control.speedL([0, 0, -0.05, 0, 0, 0], 1.0, 0.2)
        let_pass(0.4)
        result["tool"] = receive.getActualTCPSpeed()
        control.speedStop()
        let_pass(0.1)
        result["rest"] = max(map(abs, receive.getActualQd()))
        """,
    )
    assert got["joint"] == pytest.approx(0.3, abs=0.01)
    assert got["tool"][:3] == pytest.approx([0.0, 0.0, -0.05], abs=2e-3)
    assert got["rest"] < 0.01


def test_an_asynchronous_move_says_how_it_goes_on_and_can_be_stopped(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        q = receive.getActualQ()
        control.moveJ([*q[:5], q[5] + 1.0], 0.5, 1.0, True)
        let_pass(0.5)
        result["running"] = control.getAsyncOperationProgress()
        control.stopJ(4.0)
        result["ended"] = control.getAsyncOperationProgress()
        result["way"] = receive.getActualQ()[5] - q[5]
        """,
    )
    assert got["running"] >= 0
    assert got["ended"] < 0
    assert 0.0 < got["way"] < 0.9


def test_kinematics_tool_and_payload_are_those_that_were_set(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        offset = [0.0, 0.0, 0.157, 0.0, 0.0, -1.5708]
        flange = receive.getActualTCPPose()
        control.setTcp(offset)
        let_pass(0.05)
        tool = receive.getActualTCPPose()
        result["offset"] = control.getTCPOffset()
        result["composed"] = max(abs(a - b) for a, b in zip(control.poseTrans(flange, offset)[:3], tool[:3]))
        result["inverse"] = max(abs(a - b) for a, b in zip(control.getInverseKinematics(tool), receive.getActualQ()))
        result["reaches"] = [control.getInverseKinematicsHasSolution(p) for p in (tool, [2, 0, 0, 0, 0, 0])]
        control.setPayload(1.2, [0.0, 0.01, 0.05])
        let_pass(0.05)
        result["payload"] = [receive.getPayload(), *receive.getPayloadCog()]
        result["safe"] = [control.isJointsWithinSafetyLimits([x] * 6) for x in (0.0, 7.0)]
        result["steady"] = control.isSteady()
        control.getJacobian()  # the library answers with what the registers held before
        let_pass(0.05)
        speed = np.array(control.getJacobian()).reshape(6, 6).T @ np.array([0.1, 0, 0, 0, 0, 0])
        result["turning"] = [speed[0] + 0.1 * tool[1], speed[1] - 0.1 * tool[0], speed[5]]
        """,
    )
    assert got["offset"] == pytest.approx([0.0, 0.0, 0.157, 0.0, 0.0, -1.5708])
    assert got["composed"] < 1e-5
    assert got["inverse"] < 1e-5
    assert got["reaches"] == [True, False]
    assert got["payload"] == pytest.approx([1.2, 0.0, 0.01, 0.05])
    assert got["safe"] == [True, False]
    assert got["steady"] is True
    assert got["turning"] == pytest.approx([0.0, 0.0, 0.1], abs=1e-5)


def test_outputs_and_the_speed_slider_are_set_over_the_io_interface(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, io = RTDEReceiveInterface(host), RTDEIOInterface(host)
        io.setStandardDigitalOut(3, True)
        io.setToolDigitalOut(1, True)
        io.setAnalogOutputVoltage(0, 0.5)
        io.setSpeedSlider(0.5)
        until(lambda: receive.getTargetSpeedFraction() == 0.5)
        result = {"bits": receive.getActualDigitalOutputBits(), "volts": receive.getStandardAnalogOutput0()}
        """,
    )
    assert got["bits"] == 1 << 3 | 1 << 17
    assert got["volts"] == pytest.approx(5.0)


def test_the_speed_slider_stretches_a_move(ur: EmulatorProcess, tmp_path: Path) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        q = receive.getActualQ()
        control.moveJ([*q[:5], q[5] + 0.3], 1.0, 4.0)
        admin("slider", fraction=0.25)
        let_pass(0.2)
        result = receive.getTimestamp()
        control.moveJ(q, 1.0, 4.0)
        """,
    )
    cycles = ur.log("cycles", tmp_path / "cycles.npy")
    speed, is_slow = np.abs(cycles["dq"][:, 5]), cycles["timestamp"] > got
    assert speed[is_slow].max() == pytest.approx(0.25 * speed[~is_slow][-3000:].max(), rel=0.05)


def test_the_watchdog_stops_the_program_when_nothing_is_sent(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        control = RTDEControlInterface(host)
        control.setWatchdog(2.0)  # so slow that this test is never late
        for _ in range(20):
            time.sleep(0.05)
            control.kickWatchdog()
        result["kicked"] = control.isProgramRunning()
        until(lambda: not control.isProgramRunning())
        """,
    )
    assert got["kicked"]
    expired = [event for event in ur.events() if event["event"] == "watchdog-expired"][-1]
    assert 0.5 <= expired["silence"] < 0.51


def test_a_second_control_client_is_told_that_the_inputs_are_in_use(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        control = RTDEControlInterface(host)
        result["second"] = error_of(lambda: RTDEControlInterface(host))
        result["first"] = control.isProgramRunning()
        readers = [RTDEReceiveInterface(host) for _ in range(3)]
        result["readers"] = all(reader.isConnected() for reader in readers)
        """,
    )
    assert "already in use" in got["second"]
    assert got["first"]
    assert got["readers"]


def test_a_custom_script_runs_and_the_control_script_comes_back(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        q = receive.getActualQ()
        script = "movej([%s], a=4, v=1)\\n" % ", ".join(str(x) for x in [*q[:5], q[5] + 0.1])
        result["sent"] = control.sendCustomScriptFunction("nudge", script)
        result["running"] = control.isProgramRunning()
        result["way"] = receive.getActualQ()[5] - q[5]
        """,
    )
    assert got["sent"]
    assert got["running"]
    assert got["way"] == pytest.approx(0.1, abs=2e-3)


def test_a_person_leads_the_arm_by_hand(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        def lead(force):
            before = receive.getActualTCPPose()
            admin("push", force=force, seconds=60.0)
            let_pass(0.4)
            wrench = receive.getActualTCPForce()[:3]
            admin("push", force=[0, 0, 0])
            let_pass(0.3)
            return wrench, [a - b for a, b in zip(receive.getActualTCPPose()[:3], before[:3])]
        _, result["held"] = lead([20, 0, 0])
        control.teachMode()
        result["wrench"], result["led"] = lead([20, 0, 0])
        control.endTeachMode()
        control.freedriveMode([0, 1, 0, 0, 0, 0])
        _, result["free"] = lead([20, 20, 0])
        control.endFreedriveMode()
        _, result["held again"] = lead([20, 0, 0])
        """,
    )
    assert np.abs(got["held"]).max() < 2e-3
    assert got["wrench"][0] == pytest.approx(20.0, abs=2.0)
    assert got["led"][0] > 0.01
    assert got["free"][1] > 0.01
    assert abs(got["free"][0]) < 2e-3
    assert np.abs(got["held again"]).max() < 2e-3


def test_force_mode_presses_until_something_holds_against(ur: EmulatorProcess) -> None:
    got = client(
        ur,
        """
        receive, control = RTDEReceiveInterface(host), RTDEControlInterface(host)
        control.zeroFtSensor()
        before = receive.getActualTCPPose()[2]
        control.forceMode([0] * 6, [0, 0, 1, 0, 0, 0], [0, 0, -10, 0, 0, 0], 2, [0.05] * 6)
        until(lambda: receive.getActualTCPPose()[2] < before - 0.005)
        admin("block")
        let_pass(1.0)
        result["force"] = receive.getActualTCPForce()[2]
        control.forceModeStop()
        admin("block", on=False)
        """,
    )
    assert got["force"] == pytest.approx(10.0, abs=3.0)
