"""What libfranka's own words mean for the person who reads them; franky and panda-py pass them on unchanged."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from robot_stack.types import DeviceError

ROBOTS = {5: "a Panda (robot=panda)", 10: "an FR3 with system 5.9 or newer (robot=fr3)"}
"""Whose control interface has that version."""

VERSIONS = re.compile(r"version:? (\d+)\b.*?version:? (\d+)\b")
"""That of the robot, then that of the library."""

MEANINGS = {
    "Connection to FCI refused": "refuses the connection: activate FCI in Desk, once the joints are unlocked",
    "Host not found": "is no host that this computer knows: is the address right?",
    "realtime capabilities": "wants a real-time kernel on this computer (PREEMPT_RT): install one, or set realtime: "
    "false where an arm that stops now and then does no harm",
    "unable to set realtime scheduling": "wants real-time priority: add 'USER - rtprio 99' to "
    "/etc/security/limits.conf, with your name, and log in anew",
    "current mode": "takes no settings as it is: it has an error, its user stop is pressed, it is led by hand, or its "
    "joints are locked. Look at it, clear that in Desk, then start again",
    "multiple motions": "is moved by another program: end that program, then start again",
    "TCP connection got interrupted": "closed the connection: another program has it, or FCI was deactivated",
    "UDP receive: Timeout": "sends no states: cable, firewall, or a controller that was switched off",
    "Net Exception": "is gone: cable, or a controller that was switched off",
    "Connection timeout": "does not answer: is it on, is the cable in, is the address right?",
}
"""A part of libfranka's words, and what it means of the robot."""


def explain_refusal(host: str, words: str) -> str:
    """What happened at `host`, what to do, and the library's own words."""
    own = words.strip().split("\n")[0].removeprefix("libfranka: ")
    if versions := VERSIONS.search(words):
        server, library = (int(number) for number in versions.groups())
        told = ROBOTS.get(server, "a system that this project has no library for: see the table in Franka's manual")
        return (
            f"the robot at {host} speaks version {server} of the control interface, this driver {library}: it is {told}"
        )
    for part, meaning in MEANINGS.items():
        if part in words:
            return f"the robot at {host} {meaning} ({own})"
    return f"the robot at {host}: {own}"


@contextmanager
def in_words(host: str) -> Iterator[None]:
    """What the library raises inside becomes a DeviceError that says what to do."""
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:  # franky's and panda-py's errors have no base but this
        raise DeviceError(explain_refusal(host, str(error))) from error
