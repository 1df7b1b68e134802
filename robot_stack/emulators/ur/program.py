"""The control script of ur_rtde as the controller runs it: a mailbox of commands in registers, and threads that move.

The mailbox: input_int_register_0 is the command, output_int_register_0 says 1 ready or 2 done. Commands of the
real-time set run in every cycle as long as they stand there; others run once and want to be taken back with command 0.
"""

from collections.abc import Callable, Generator

from robot_stack.emulators.ur.controller import Controller
from robot_stack.emulators.ur.modes import Runtime
from robot_stack.emulators.ur.script import Call, offset_of, path_of

Thread = Generator[None, None, None]
Command = Callable[["ControlProgram"], Thread | None]

REAL_TIME = {6, 9, 10, 11, 24, 25, 26, 27, 38, 58, 66, 67, 68, 69, 70, 71}
READY, DONE = 1, 2
IDLE, END, CONTACT = 0, 255, 254
"""Commands of the script itself; the last comes from within, when contact was detected."""


class ControlProgram:
    """One run of the control script. commands: what each number does.

    threads: what goes on beside the mailbox, by name; each is continued once a cycle until it ends or is dropped.
    servo: goal [rad], lookahead [s], gain. speed: of the tool or the joints, six of them, acceleration.
    """

    name = "rtde_control"

    def __init__(self, controller: Controller, text: str, commands: dict[int, Command]) -> None:
        self.controller = controller
        self.offset = offset_of(text)
        self.path: list[Call] = path_of(text)
        self.threads: dict[str, Thread] = {}
        self.internal = IDLE
        self.contact_steps = 0
        self.servo: tuple[list[float], float, float] = ([], 0.1, 300.0)
        self.speed: tuple[bool, list[float], float] = (False, [0.0] * 6, 0.5)
        self._commands = commands
        self._writes = self._operations = 0
        self._main = self._loop()

    def step(self) -> bool:
        """One cycle; whether the script goes on."""
        try:
            next(self._main)
        except StopIteration:
            return False
        for name, thread in list(self.threads.items()):
            if self.threads.get(name) is thread:  # not dropped by the one before
                try:
                    next(thread)
                except StopIteration:
                    self.drop(name)
        return True

    # --- what commands use -------------------------------------------------------------------------------------------

    def reals(self, first: int, count: int = 6) -> list[float]:
        """Arguments from the input registers."""
        return self.controller.registers.input_doubles[self.offset + first : self.offset + first + count]

    def real(self, index: int) -> float:
        """One argument."""
        return self.controller.registers.input_doubles[self.offset + index]

    def wholes(self, first: int, count: int) -> list[int]:
        """Arguments from the input registers."""
        return self.controller.registers.input_ints[self.offset + first : self.offset + first + count]

    def whole(self, index: int) -> int:
        """One argument."""
        return self.controller.registers.input_ints[self.offset + index]

    def answer(self, values: list[float] | tuple[float, ...]) -> None:
        """The result, in the output registers from 0."""
        self.controller.registers.output_doubles[self.offset : self.offset + len(values)] = values

    def answer_int(self, value: int) -> None:
        """The result as a whole number."""
        self.controller.registers.output_ints[self.offset + 1] = value

    def start(self, name: str, thread: Thread) -> None:
        """Let a thread run; one of that name that runs already goes on instead."""
        self.threads.setdefault(name, thread)

    def drop(self, name: str) -> bool:
        """End a thread where it is; whether there was one."""
        return self.threads.pop(name, None) is not None

    def progress(self, value: int) -> None:
        """The asynchronous progress word: 0 starts an operation, -1 ends it, others are the place on a path."""
        self._writes = (self._writes + 1) % 128
        self._operations = (self._operations + (value == 0)) % 128
        word = self._writes << 16 | self._operations << 24
        word |= min(value, 32767) | 1 << 15 if value >= 0 else 0
        self.controller.registers.output_ints[self.offset + 2] = word

    # --- the mailbox -------------------------------------------------------------------------------------------------

    def _loop(self) -> Thread:
        self.progress(-1)
        self._signal(READY)
        executing = False
        while True:
            command = self._take()
            if self.controller.runtime is not Runtime.PLAYING:
                pass  # paused: the motion comes to rest on its path, no command is taken
            elif command in REAL_TIME:
                self._run_at_once(command)
                self._signal(READY)
            elif command == IDLE:
                executing = False
                self._signal(READY)
            elif not executing:
                if command == END:
                    return
                yield from self._run(command)
                self._signal(DONE)
                executing = True
            yield

    def _take(self) -> int:
        command = self.whole(0)
        if command == IDLE and self.internal:
            command, self.internal = self.internal, IDLE
        return command

    def _run_at_once(self, command: int) -> None:
        if (function := self._commands.get(command)) is not None:
            function(self)

    def _run(self, command: int) -> Thread:
        function = self._commands.get(command)
        work = function(self) if function is not None else None
        if work is not None:
            yield from work

    def _signal(self, value: int) -> None:
        self.controller.registers.output_ints[self.offset] = value
