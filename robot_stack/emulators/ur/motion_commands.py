"""Commands of the control script that move the arm."""

from collections.abc import Callable

from robot_stack.emulators.ur import kinematics, moves
from robot_stack.emulators.ur.faults import RuntimeFault
from robot_stack.emulators.ur.program import Command, ControlProgram, Thread
from robot_stack.emulators.ur.script import Call

SERVO, SPEED, MOVE, STOP, JOG = "servo", "speed", "move", "stop", "jog"
"""Threads of the script."""


def _move(program: ControlProgram) -> Thread | None:
    """moveJ, moveJ_IK, moveL, moveL_FK."""
    command, target = program.whole(0), program.reals(0)
    velocity, acceleration, is_asynchronous = program.real(6), program.real(7), bool(program.whole(1))
    _end_move(program)
    controller = program.controller
    if command == 2:
        q = kinematics.inverse(controller.sense.flange_of(kinematics.pose_of(target)), controller.arm.q)
        if q is None:
            raise RuntimeFault("get_inverse_kin: unable to find an inverse kinematics solution")
        target = q
    elif command == 4:
        target = kinematics.ur_pose(controller.sense.commanded_tcp(target))
    way = moves.joints if command in (1, 2) else moves.line
    return _perform(program, way(controller, target, velocity, acceleration), is_asynchronous)


def _move_path(program: ControlProgram) -> Thread | None:
    is_asynchronous = bool(program.whole(1))
    _end_move(program)
    return _perform(program, _along(program, program.path), is_asynchronous)


def _along(program: ControlProgram, path: list[Call]) -> Thread:
    """Waypoint by waypoint, stopping at each: blending is not modelled."""
    for call in path:
        if call.name == "signal_async_progress":
            program.progress(int(str(call.arguments[0])))
            continue
        target = _numbers(call.arguments[0])
        velocity, acceleration = (_number(call.named.get(key, 1.0)) for key in "va")
        way = moves.joints if call.name == "movej" else moves.line
        yield from way(program.controller, target, velocity, acceleration)


def _perform(program: ControlProgram, motion: Thread, is_asynchronous: bool) -> Thread | None:
    if not is_asynchronous:
        return motion

    def signalled() -> Thread:
        program.progress(0)
        yield from motion
        program.progress(-1)

    program.start(MOVE, signalled())
    return None


def _end_move(program: ControlProgram) -> bool:
    """End an asynchronous move where it is; whether there was one."""
    ended = program.drop(MOVE)
    if ended:
        program.progress(-1)
    return ended


def _stop_move(program: ControlProgram) -> Thread | None:
    """stopL and stopJ. ur_rtde's script never sets the kind: waiting it always stops as stopj, else as stopl."""
    deceleration, is_asynchronous = program.real(0), bool(program.whole(1))
    _end_move(program)
    program.drop(STOP)
    if not is_asynchronous:
        return moves.stop(program.controller, deceleration)
    motion = moves.stop_tool(program.controller, deceleration)
    program.progress(0)

    def signalled() -> Thread:
        yield from motion
        program.progress(-1)

    program.start(STOP, signalled())
    return None


def _servo_joints(program: ControlProgram) -> None:
    _servo(program, lambda: program.reals(0))


def _servo_pose(program: ControlProgram) -> None:
    controller = program.controller
    pose = kinematics.pose_of(program.reals(0))
    q = kinematics.inverse(controller.sense.flange_of(pose), controller.arm.q)
    if q is None:
        raise RuntimeFault("get_inverse_kin: unable to find an inverse kinematics solution")
    _servo(program, lambda: q)


def _servo(program: ControlProgram, target: Callable[[], list[float]]) -> None:
    program.servo = (target(), program.real(9), program.real(10))
    program.start(SERVO, _servoing(program))


def _servoing(program: ControlProgram) -> Thread:
    arm, mover = program.controller.arm, object()
    while True:
        arm.claim(mover)
        goal, lookahead, gain = program.servo
        arm.servo(goal, min(0.2, max(0.03, lookahead)), min(2000.0, max(100.0, gain)))
        yield


def _servo_stop(program: ControlProgram) -> Thread:
    program.drop(SERVO)
    return moves.stop(program.controller, program.real(0))


def _speed(program: ControlProgram) -> None:
    """speedJ and speedL."""
    program.speed = (program.whole(0) == 10, program.reals(0), program.real(6))
    program.start(SPEED, _speeding(program))


def _speeding(program: ControlProgram) -> Thread:
    """The script's thread calls speedj or speedl for a time, again and again: the speed holds until it is stopped."""
    controller, mover = program.controller, object()
    while True:
        controller.arm.claim(mover)
        of_tool, speed, acceleration = program.speed
        if of_tool:
            _speed_tool(program, speed, acceleration)
        else:
            controller.arm.speed(speed, acceleration)
        yield


def _speed_tool(program: ControlProgram, speed: list[float], acceleration: float) -> None:
    """speedl: the joint speeds that move the tool so; near a singularity they are bounded like any."""
    controller = program.controller
    qd = controller.sense.joint_speeds(speed)
    ratio = max(map(abs, qd)) / max(max(map(abs, speed[:3])), moves.TURN * max(map(abs, speed[3:])), 1e-6)
    controller.arm.speed(qd, max(acceleration * ratio, acceleration))


def _speed_stop(program: ControlProgram) -> Thread:
    of_tool, *_ = program.speed
    program.drop(SPEED)
    way = moves.stop_tool if of_tool else moves.stop
    return way(program.controller, program.real(0))


def _jog(program: ControlProgram) -> None:
    """Speeds along base (0), tool (1) or a frame of one's own (2)."""
    speed, feature, acceleration = program.reals(0), int(program.real(6)), program.real(7)
    frame = program.reals(8) if feature == 2 else [0.0] * 6
    if feature == 1:
        frame = program.controller.sense.tcp_pose()
    turned = kinematics.turned(frame, speed)
    program.speed = (True, turned, acceleration)
    program.start(JOG, _speeding(program))


def _jog_stop(program: ControlProgram) -> Thread:
    program.drop(JOG)
    return moves.stop_tool(program.controller, 1.2)


def _servo_circle(program: ControlProgram) -> None:
    """servoC, which ur_rtde cannot use: its script does not know it for a real-time command."""
    program.controller.events.add("unsupported", command=program.whole(0))


def _numbers(value: object) -> list[float]:
    if not isinstance(value, list):
        raise RuntimeFault(f"expected six numbers, got {value}")
    return [float(number) for number in value]


def _number(value: object) -> float:
    return float(str(value))


MOTIONS: dict[int, Command] = {
    **dict.fromkeys((1, 2, 3, 4), _move),
    9: _speed,
    10: _speed,
    11: _servo_joints,
    12: _servo_circle,
    15: _speed_stop,
    16: _servo_stop,
    24: _servo_pose,
    33: _stop_move,
    34: _stop_move,
    41: _jog,
    42: _jog_stop,
    45: _move_path,
}
"""What each command does; those that take time are generators."""
