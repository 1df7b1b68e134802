"""Commands of the control script that set the controller up: tool, payload, forces, freedrive, watchdog."""

from math import hypot, sumprod

from robot_stack.emulators.ur import moves
from robot_stack.emulators.ur.program import Command, ControlProgram, Thread

CONTACT_FORCE = 15.0
"""A force on the tool that counts as contact [N]: modelled."""
CONTACT = "contact"


def _force_mode(program: ControlProgram) -> None:
    axes, frame = program.wholes(2, 6), program.reals(0)
    program.controller.compliance.force(frame, axes, program.reals(6), program.reals(12))


def _force_mode_stop(program: ControlProgram) -> Thread:
    program.controller.compliance.end()
    return moves.stop_tool(program.controller, 10.0)


def _zero_wrench(program: ControlProgram) -> None:
    program.controller.sense.zero()


def _set_payload(program: ControlProgram) -> None:
    payload = program.controller.payload
    payload.mass = program.real(0)
    x, y, z = program.reals(1, 3)
    if any((x, y, z)):  # all zero means: as it was, from PolyScope 5.0
        payload.centre = (x, y, z)


def _set_target_payload(program: ControlProgram) -> None:
    _set_payload(program)
    program.controller.payload.inertia = tuple(program.reals(4))


def _set_tcp(program: ControlProgram) -> None:
    program.controller.set_tcp(program.reals(0))


def _tcp_offset(program: ControlProgram) -> None:
    program.answer(program.controller.tcp)


def _protective_stop(program: ControlProgram) -> Thread:
    program.controller.protective_stop("triggered by the program")
    yield


def _set_watchdog(program: ControlProgram) -> None:
    program.controller.set_watchdog(program.real(0))


def _teach(program: ControlProgram) -> None:
    program.controller.compliance.lead("teach", [1] * 6, [0.0] * 6)


def _freedrive(program: ControlProgram) -> None:
    program.controller.compliance.lead("freedrive", program.wholes(1, 6), program.reals(0))


def _end_compliance(program: ControlProgram) -> None:
    program.controller.compliance.end()


def _freedrive_status(program: ControlProgram) -> None:
    """0 while the arm is led in all directions asked for; 1, near a singularity, does not come up: modelled."""
    program.answer_int(0)


def _is_steady(program: ControlProgram) -> None:
    controller = program.controller
    program.answer_int(int(controller.arm.fastest < 1e-6 and max(map(abs, controller.sense.qd)) < 0.01))


def _touched(program: ControlProgram, direction: list[float]) -> bool:
    """Whether something pushes back against a direction, or from any if it is zero."""
    force = program.controller.sense.wrench[:3]
    length = hypot(*direction[:3])
    if length < 1e-9:
        return hypot(*force) > CONTACT_FORCE
    return bool(-sumprod(force, direction[:3]) > CONTACT_FORCE * length)


def _tool_contact(program: ControlProgram) -> None:
    program.answer_int(int(_touched(program, program.reals(0))))


def _move_until_contact(program: ControlProgram) -> Thread:
    """speedl until contact, then stop; the way back to the first touch is within a cycle: modelled."""
    controller, mover = program.controller, object()
    speed, direction, acceleration = program.reals(0), program.reals(6), program.real(12)
    while not _touched(program, direction if any(direction) else speed):
        controller.arm.claim(mover)
        controller.arm.speed(controller.sense.joint_speeds(speed), 10.0 * acceleration)
        yield
    yield from moves.stop_tool(controller, 3.0)


def _start_contact_detection(program: ControlProgram) -> None:
    direction = program.reals(0)
    program.drop(CONTACT)
    program.contact_steps = 0

    def watch() -> Thread:
        while not _touched(program, direction):
            yield
        program.contact_steps = 1
        program.internal = 254

    program.start(CONTACT, watch())


def _stop_contact_detection(program: ControlProgram) -> None:
    program.drop(CONTACT)
    program.answer_int(program.contact_steps)


def _read_contact_detection(program: ControlProgram) -> None:
    program.answer_int(program.contact_steps)


def _contact_detected(program: ControlProgram) -> Thread:
    if program.drop("move"):
        program.progress(-1)
    return moves.stop_tool(program.controller, 3.0)


def _nothing(program: ControlProgram) -> None:
    """Settings without a counterpart in the model: damping and gain of force mode, gravity, external sensors."""


SETTINGS: dict[int, Command] = {
    6: _force_mode,
    7: _force_mode_stop,
    8: _zero_wrench,
    17: _set_payload,
    18: _teach,
    19: _end_compliance,
    25: _tool_contact,
    29: _set_tcp,
    31: _protective_stop,
    35: _set_watchdog,
    40: _tcp_offset,
    47: _is_steady,
    51: _move_until_contact,
    52: _freedrive,
    53: _end_compliance,
    54: _freedrive_status,
    62: _start_contact_detection,
    63: _stop_contact_detection,
    64: _read_contact_detection,
    65: _set_target_payload,
    254: _contact_detected,
    **dict.fromkeys((20, 21, 55, 56, 57, 59), _nothing),
}
"""What each command does; those that take time are generators."""
