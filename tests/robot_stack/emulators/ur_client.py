"""The real client library in a process of its own, against an emulator: it can crash, and it is not let go in order."""

import json
import textwrap
from typing import Any

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.emulator import run_client

PRELUDE = '''
import json, os, socket, sys, time
import numpy as np
from rtde_control import RTDEControlInterface
from rtde_io import RTDEIOInterface
from rtde_receive import RTDEReceiveInterface
from dashboard_client import DashboardClient

host, result = sys.argv[1], {}
door = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
answers = door.makefile()

def admin(command, **arguments):
    door.sendall(json.dumps({"command": command, **arguments}).encode() + b"\\n")
    return json.loads(answers.readline())["ok"]

def until(true, patience=20.0):
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "not within %s s" % patience
        time.sleep(0.005)

def let_pass(seconds):
    """Wait for time of the robot, which a busy machine makes longer; then for `receive` to have heard of it."""
    steps = admin("state")["steps"] + 500 * seconds
    until(lambda: admin("state")["steps"] >= steps)
    reached = admin("state")["timestamp"]
    if "receive" in globals():
        until(lambda: receive.getTimestamp() >= reached)

def dashboard():
    client = DashboardClient(host)
    client.connect()
    return client

def error_of(call):
    try:
        call()
    except Exception as error:
        return str(error)
    return ""
'''
END = """
print(json.dumps(result), flush=True)
os._exit(0)
"""


def client(emulator: EmulatorProcess, code: str) -> Any:
    """Run code that fills the dictionary `result`; return it."""
    done = run_client(PRELUDE + textwrap.dedent(code) + END, emulator.host, str(emulator.admin))
    lines = done.stdout.strip().splitlines()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert lines, done.stderr
    return json.loads(lines[-1])
