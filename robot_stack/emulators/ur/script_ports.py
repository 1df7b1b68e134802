"""The ports that take programs, 30001 to 30003. What a real controller streams there is not sent: nobody reads it."""

from robot_stack.emulators.ur.commands import COMMANDS
from robot_stack.emulators.ur.controller import Controller
from robot_stack.emulators.ur.foreign import ForeignProgram
from robot_stack.emulators.ur.inputs import Inputs
from robot_stack.emulators.ur.program import ControlProgram
from robot_stack.emulators.ur.script import ScriptReader, is_control_script
from robot_stack.emulators.wire import Connection, Link, Port

PORTS = (30001, 30002, 30003)


class ScriptServer:
    """Runs what arrives. A connection that was opened in local control stays read-only (reported of robots)."""

    def __init__(self, link: Link, host: str, controller: Controller, inputs: Inputs) -> None:
        self._controller, self._inputs = controller, inputs
        self._ports = [Port(link, host, number, self._welcome) for number in PORTS]

    def _welcome(self, connection: Connection) -> None:
        reader, may_write = ScriptReader(), self._controller.remote

        def received(data: bytes) -> None:
            for text in reader.read(data):
                if may_write and self._controller.remote:
                    self._load(text)
                else:
                    self._controller.events.add("script-ignored", reason="the robot was or is in local control")

        connection.received = received

    def _load(self, text: str) -> None:
        if is_control_script(text):
            program = ControlProgram(self._controller, text, COMMANDS)
            self._inputs.offset = program.offset
            self._controller.load(program)
        else:
            self._controller.load(ForeignProgram(self._controller, text))
