"""The rival: the arm's loop as diffusion_policy runs it, written anew after its `rtde_interpolation_controller.py`
(commit 0237379), on the same ur_rtde, with the settings of its `real_env.py`.

servoL at 125 Hz with lookahead 0.1 s and gain 300; straight lines between waypoints, at most 0.25 m/s and 0.16 rad/s;
paced by the library's own waitPeriod; no real-time priority; the state is read and kept in every period. Its waypoints
come as our chunks on the bus, where the original has a queue in shared memory.
"""

from typing import Any

import numpy as np

from deploy import cell
from deploy.bench.control_rival_path import RivalPath
from deploy.worker import Context
from robot_stack import pose as se3
from robot_stack.clock import now
from robot_stack.spec import Record
from robot_stack.types import Array

RATE = 125.0
"""[Hz]"""
LOOKAHEAD, GAIN = 0.1, 300
SPEED, ROTATION = 0.25, 0.16
"""Of waypoints [m/s], [rad/s]."""
KEPT = 128
"""States in its ring."""
STATE = (
    "ActualTCPPose",
    "ActualTCPSpeed",
    "ActualQ",
    "ActualQd",
    "TargetTCPPose",
    "TargetTCPSpeed",
    "TargetQ",
    "TargetQd",
)


def run(context: Context) -> None:
    """The process: config station, host, tool (flange_from_tcp (7,)), payload, payload_center."""
    from rtde_control import RTDEControlInterface
    from rtde_receive import RTDEReceiveInterface

    config = context.config
    control, receive = RTDEControlInterface(config["host"], RATE), RTDEReceiveInterface(config["host"], RATE)
    control.setPayload(config["payload"], config["payload_center"])
    control.setTcp(_ur(np.array(config["tool"])))
    try:
        _fly(context, control, receive)
    finally:
        control.servoStop()
        control.stopScript()
        control.disconnect()
        receive.disconnect()


def _fly(context: Context, control: Any, receive: Any) -> None:
    station = cell.from_json(context.config["station"])
    chunks = context.bus.subscriber(station.chunk, keep=station.chunk.depth)
    states = {key: np.zeros((KEPT, 6)) for key in STATE}
    period, last = 1.0 / RATE, now()
    path = RivalPath([last], [_pose(receive.getActualTCPPose())])
    number = 0
    while not context.stop():
        begun = control.initPeriod()
        time = now()
        control.servoL(_ur(path.at(time)), 0.5, 0.5, period, LOOKAHEAD, GAIN)
        for key, ring in states.items():
            ring[number % KEPT] = getattr(receive, "get" + key)()
        for chunk in chunks.drain():
            path, last = _schedule(path, last, chunk, time + period)
        number += 1
        context.health.beat(now() - time)
        control.waitPeriod(begun)


def _schedule(path: RivalPath, last: float, chunk: Record, time: float) -> tuple[RivalPath, float]:
    """Take over the waypoints of a plan that are not past at `time` [s]; the path, and when its last one is due."""
    for due, pose in zip(chunk["times"][: chunk["count"]].tolist(), chunk["pose"], strict=False):
        if due > time:
            path, last = path.scheduled(pose, due, time, last, SPEED, ROTATION), due
    return path, last


def _ur(pose: Array) -> list[float]:
    """Position and rotation vector, as UR has poses."""
    return [*pose[:3].tolist(), *se3.rotation_vector(pose[3:])]


def _pose(ur: list[float]) -> Array:
    pose = se3.exp(np.array([0.0, 0.0, 0.0, *ur[3:]]))
    pose[:3] = ur[:3]
    return pose
