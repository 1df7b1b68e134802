"""All commands of the control script, by number."""

from robot_stack.emulators.ur.motion_commands import MOTIONS
from robot_stack.emulators.ur.program import Command
from robot_stack.emulators.ur.query_commands import QUERIES
from robot_stack.emulators.ur.setting_commands import SETTINGS

COMMANDS: dict[int, Command] = {**MOTIONS, **SETTINGS, **QUERIES}
"""Not among them, and answered by nothing: direct torques and the dynamics (66, 67, 68, 71)."""
