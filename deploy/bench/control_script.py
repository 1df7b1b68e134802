"""An episode to be replayed: ten minutes of reaches, so that the arm moves nearly always."""

from pathlib import Path

import numpy as np

from deploy.bench.control_cell import Bench
from deploy.bench.control_stream import reaches
from robot_stack.kinematics import Kinematics
from robot_stack.sim import station
from robot_stack.store import Store

SECONDS = 600.0
REFINED = 3
"""Times that the inverse kinematics goes on from its own result."""


def script(bench: Bench) -> Path:
    """A store with that one episode; it is made once."""
    path = bench.shared / "script.zarr"
    if path.exists():
        return path
    bench.say("writing the script")
    where = station(bench.robot, bench.config["task"]["name"], {}, bench.station.rate)
    kinematics = Kinematics(bench.robot)
    home = kinematics.robot.home
    poses = reaches(kinematics.forward(home), SECONDS, int(bench.config["seed"])).poses
    with Store.create(path, where.row, {"name": where.name, "robot": bench.robot, "rate": where.rate}) as store:
        writer = store.writer({"kind": "collect", "task": bench.config["task"]["name"], "seed": 0}, {})
        q = home
        for number, pose in enumerate(poses):
            for _ in range(REFINED):
                q = kinematics.inverse(pose, q)
            row = where.row.record(time=number / where.rate)
            row["q"] = row["target.q"] = q
            row["pose"] = row["target.pose"] = pose
            row["grip"] = row["target.grip"] = kinematics.robot.opening * (0.5 + 0.4 * np.sin(0.2 * number))
            writer.append(row)
        writer.commit("success")
    return path
