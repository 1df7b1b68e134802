"""Commands of the control script that only ask: kinematics, torques, limits."""

from robot_stack.emulators.ur import kinematics
from robot_stack.emulators.ur.arm import LIMIT, PERIOD
from robot_stack.emulators.ur.faults import RuntimeFault
from robot_stack.emulators.ur.program import Command, ControlProgram
from robot_stack.types import Array


def _step_time(program: ControlProgram) -> None:
    program.answer([PERIOD])


def _joints_then(program: ControlProgram) -> None:
    """get_actual_joint_positions_history(steps): the newest ones, as no history is kept: modelled."""
    program.answer(program.controller.sense.q)


def _torques(program: ControlProgram) -> None:
    program.answer(program.controller.sense.torques())


def _flange(program: ControlProgram) -> None:
    program.answer(kinematics.ur_pose(program.controller.sense.flange))


def _target_acceleration(program: ControlProgram) -> None:
    program.answer(program.controller.arm.qdd)


def _target_waypoint(program: ControlProgram) -> None:
    program.answer(kinematics.ur_pose(program.controller.sense.commanded_tcp(program.controller.arm.q)))


def _solve(program: ControlProgram, near: list[float]) -> list[float] | None:
    pose = kinematics.pose_of(program.reals(0))
    return kinematics.inverse(program.controller.sense.flange_of(pose), near)


def _inverse(program: ControlProgram) -> None:
    """get_inverse_kin, near given joints (30) or the actual ones (46)."""
    q = _solve(program, program.reals(6) if program.whole(0) == 30 else program.controller.sense.q)
    if q is None:
        raise RuntimeFault("get_inverse_kin: unable to find an inverse kinematics solution")
    program.answer(q)


def _has_inverse(program: ControlProgram) -> None:
    program.answer_int(int(_solve(program, program.controller.sense.q) is not None))


def _pose_is_safe(program: ControlProgram) -> None:
    """Within reach; safety planes are not modelled."""
    _has_inverse(program)


def _joints_are_safe(program: ControlProgram) -> None:
    program.answer_int(int(all(abs(angle) <= LIMIT for angle in program.reals(0))))


def _compose(program: ControlProgram) -> None:
    program.answer(kinematics.composed(program.reals(0), program.reals(6)))


def _forward(program: ControlProgram) -> None:
    program.answer(program.controller.sense.tcp_pose())


def _forward_of(program: ControlProgram) -> None:
    flange = kinematics.ur_pose(kinematics.forward(program.reals(0)))
    program.answer(kinematics.composed(flange, program.reals(6)))


def _jacobian(program: ControlProgram) -> None:
    """Column by column as ur_rtde reads it: 24 numbers from register 0, 12 from register 36."""
    _answer_matrix(program, program.controller.sense.tcp_jacobian())


def _answer_matrix(program: ControlProgram, matrix: Array) -> None:
    numbers = matrix.T.ravel().tolist()
    doubles = program.controller.registers.output_doubles
    doubles[:24], doubles[36:48] = numbers[:24], numbers[24:]


QUERIES: dict[int, Command] = {
    26: _step_time,
    27: _joints_then,
    28: _target_waypoint,
    30: _inverse,
    36: _pose_is_safe,
    37: _joints_are_safe,
    38: _torques,
    39: _compose,
    43: _forward,
    44: _forward_of,
    46: _inverse,
    58: _flange,
    60: _has_inverse,
    61: _has_inverse,
    69: _target_acceleration,
    70: _jacobian,
}
"""What each command answers."""
