"""The service as it is, but for its patience: it starts workers again without end and never gives up, so that one
session can lose the same one a hundred times, and waits longer for them, so that the bench survives on a machine that
is not its own. `blind` before the verb leaves out the cameras, which take longest to start."""

import signal
import sys

from deploy import director, service, supervisor
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose

START_PATIENCE = 240.0
"""A worker may take so long to start [s]: a network on a busy machine does."""


def main() -> int:
    """Run a session. Arguments: [blind] verb key=value …"""
    arguments = sys.argv[1:]
    blind = arguments[0] == "blind"
    verb, *overrides = arguments[blind:]
    supervisor.MAX_RESTARTS = director.MAX_INTERRUPTIONS = sys.maxsize
    supervisor.START_PATIENCE = START_PATIENCE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config = compose(CONFIGS, verb, overrides)
    if blind:
        config.robot.cameras = {}
    return int({"replay": service.replay, "deploy": service.deploy}[verb](config))


if __name__ == "__main__":
    sys.exit(main())
