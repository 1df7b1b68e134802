"""Programs that are not ur_rtde's control script: the few statements of URScript that people send by hand."""

from collections.abc import Callable, Generator

from robot_stack.emulators.ur import moves
from robot_stack.emulators.ur.arm import PERIOD
from robot_stack.emulators.ur.controller import Controller
from robot_stack.emulators.ur.faults import RuntimeFault
from robot_stack.emulators.ur.script import Call, calls_of, name_of

Thread = Generator[None, None, None]
Statement = Callable[[Controller, Call], Thread | None]


class ForeignProgram:
    """One run of such a program, statement by statement. What is not understood is noted and skipped."""

    def __init__(self, controller: Controller, text: str) -> None:
        self.name = name_of(text)
        self._controller = controller
        self._thread = self._run(calls_of(text))

    def step(self) -> bool:
        """One cycle; whether the program goes on."""
        try:
            next(self._thread)
        except StopIteration:
            return False
        return True

    def _run(self, calls: list[Call]) -> Thread:
        yield
        for call in calls:
            if call.name not in STATEMENTS:
                self._controller.events.add("statement-skipped", name=call.name)
                continue
            try:
                work = STATEMENTS[call.name](self._controller, call)
            except (TypeError, ValueError, IndexError) as error:
                raise RuntimeFault(f"{call.name}: {error}") from error
            if work is not None:
                yield from work


def _numbers(value: object) -> list[float]:
    if not isinstance(value, list) or len(value) != 6:
        raise RuntimeFault(f"expected six numbers, got {value}")
    return [float(number) for number in value]


def _number(value: object) -> float:
    return float(str(value))


def _move(controller: Controller, call: Call) -> Thread:
    target = _numbers(call.arguments[0])
    velocity, acceleration = _number(call.named.get("v", 0.25)), _number(call.named.get("a", 1.2))
    if call.name == "movel" or 0 in call.poses:
        return moves.line(controller, target, velocity, acceleration)
    return moves.joints(controller, target, velocity, acceleration)


def _stop(controller: Controller, call: Call) -> Thread:
    way = moves.stop if call.name == "stopj" else moves.stop_tool
    return way(controller, _number(call.arguments[0]))


def _sleep(controller: Controller, call: Call) -> Thread:
    for _ in range(round(_number(call.arguments[0]) / PERIOD)):
        yield


def _write_int(controller: Controller, call: Call) -> None:
    controller.registers.output_ints[int(_number(call.arguments[0]))] = int(_number(call.arguments[1]))


def _write_float(controller: Controller, call: Call) -> None:
    controller.registers.output_doubles[int(_number(call.arguments[0]))] = _number(call.arguments[1])


def _digital(controller: Controller, call: Call) -> None:
    mask = 1 << int(_number(call.arguments[0]))
    group = call.name.removeprefix("set_").removesuffix("_digital_out")
    controller.io.set_digital(group, mask, mask if call.arguments[1] is True else 0)


def _tcp(controller: Controller, call: Call) -> None:
    controller.set_tcp(_numbers(call.arguments[0]))


def _payload(controller: Controller, call: Call) -> None:
    controller.payload.mass = _number(call.arguments[0])


def _text(controller: Controller, call: Call) -> None:
    controller.events.add("text-message", text=" ".join(map(str, call.arguments)))


STATEMENTS: dict[str, Statement] = {
    "movej": _move,
    "movel": _move,
    "stopj": _stop,
    "stopl": _stop,
    "sleep": _sleep,
    "write_output_integer_register": _write_int,
    "write_output_float_register": _write_float,
    "set_standard_digital_out": _digital,
    "set_configurable_digital_out": _digital,
    "set_tool_digital_out": _digital,
    "set_tcp": _tcp,
    "set_payload": _payload,
    "textmsg": _text,
}
"""What is understood."""
