"""Any teleoperation device on the virtual clock of `robot_stack.lockstep`."""

import numpy as np

from robot_stack.lockstep import Operator
from robot_stack.spec import Record
from robot_stack.station import Station
from teleop import OperatorInput, TeleopDevice, View


def operator(device: TeleopDevice, station: Station) -> Operator:
    """What `Lockstep.advance` asks 100 times a second, answered by a device."""

    def ask(now: float, control: Record, gripper: Record, world: Record) -> Record:
        return message(device.read(now, View(control, gripper, world)), station, now)

    return ask


def message(asked: OperatorInput, station: Station, now: float) -> Record:
    """What an operator asks for at `now` [s], as a record of the topic `operator`."""
    record = np.zeros((), station.operator.spec.dtype)
    record["time"], record["engaged"], record["kind"] = now, asked.engaged, asked.kind
    record["grip"], record["verdict"] = asked.grip, asked.verdict
    if asked.pose is not None:
        record["pose"] = asked.pose
    if asked.q is not None:
        record["q"] = asked.q
    return record
