"""The policies that fly in `bench control`: networks of the usual size, hardly trained, on one simulated episode."""

import subprocess
import sys
from pathlib import Path

from deploy.bench.control_cell import Bench
from robot_stack.types import RobotStackError

STATE, PICTURES = "diffusion_mlp", "bc_images"
"""One that knows the arm and the objects, and one that looks at pictures."""
STEPS = {STATE: 50, PICTURES: 5}


def checkpoint(bench: Bench, policy: str = STATE) -> Path:
    """The policy that is to fly: the config's, or one that is trained now."""
    if policy == STATE and bench.config["checkpoint"] is not None:
        return Path(bench.config["checkpoint"])
    folder = bench.shared / policy
    if not folder.exists():
        task = f"task={bench.config['task']['name']}"
        store = bench.shared / "episode.zarr"
        if not store.exists():
            bench.say("recording one episode for policies of the usual size")
            robot_stack("collect", f"store={store}", "episodes=1", "port=0", f"robot=sim_{bench.robot}", task)
        bench.say(f"training {policy}, hardly")
        robot_stack("train", f"store={store}", f"policy={policy}", task, f"steps={STEPS[policy]}", f"out={folder}")
    return folder


def robot_stack(*arguments: str) -> None:
    """Run a verb; RobotStackError with what it said if it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "robot_stack", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise RobotStackError(f"robot-stack {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
