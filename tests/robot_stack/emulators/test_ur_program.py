"""The control script in the controller: whatever a client writes into the registers, the controller lives."""

import os
import random
from collections.abc import Iterator
from math import inf, isfinite, nan

import numpy as np
import pytest

from robot_stack.emulators.body import Body
from robot_stack.emulators.journal import Events
from robot_stack.emulators.ur.commands import COMMANDS
from robot_stack.emulators.ur.controller import START, Controller
from robot_stack.emulators.ur.modes import Runtime
from robot_stack.emulators.ur.program import ControlProgram
from robot_stack.emulators.ur.variables import OUTPUTS, layout, width

STRANGE = [nan, inf, -inf, 1e300, -1e300, 0.0, 1e-12, 7.0, -3.0]


@pytest.fixture
def controller() -> Iterator[Controller]:
    body = Body("ur5e", "lift", f"program-{os.getpid()}", 500.0)
    yield Controller(body, Events(), unlock_after=0.0)
    body.close()


def start(controller: Controller, text: str = "") -> ControlProgram:
    program = ControlProgram(controller, text, COMMANDS)
    controller.load(program)
    for _ in range(START + 2):
        controller.cycle()
    assert controller.runtime is Runtime.PLAYING
    return program


def command(controller: Controller, number: int, reals: list[float], wholes: list[int], cycles: int) -> None:
    registers = controller.registers
    registers.input_doubles[: len(reals)], registers.input_ints[1 : 1 + len(wholes)] = reals, wholes
    registers.input_ints[0] = number
    for _ in range(cycles):
        controller.cycle()
    registers.input_ints[0] = 0
    controller.cycle()


@pytest.mark.parametrize("seed", range(3))
def test_no_command_and_no_value_ends_the_controller(controller: Controller, seed: int) -> None:
    chance = random.Random(seed)
    everything = layout(kind for kind, _ in OUTPUTS.values())
    for _ in range(60):
        if controller.runtime is not Runtime.PLAYING:
            controller.restart_safety()
            controller.power_on()
            controller.release_brakes()
            controller.set_tcp([0.0] * 6)
            start(controller)
        reals = [chance.choice(STRANGE) if chance.random() < 0.3 else chance.gauss(0.0, 1.0) for _ in range(18)]
        wholes = [chance.choice([0, 1, -1, 2**31 - 1]) for _ in range(7)]
        command(controller, chance.choice([*COMMANDS, 12, 66, 99, 255, -5]), reals, wholes, chance.randint(1, 10))
        assert all(map(isfinite, controller.arm.q))
        values = [
            value
            for kind, getter in OUTPUTS.values()
            for value in ([getter(controller)] if width(kind) == 1 else getter(controller))
        ]
        everything.pack(*values)
    assert np.isfinite(controller.body.arm.q).all()


def test_two_motions_at_once_end_the_program_with_the_reason(controller: Controller) -> None:
    start(controller)
    q = list(controller.arm.q)
    command(controller, 11, [*q, 0.0, 0.0, 0.002, 0.1, 300.0], [], 3)
    command(controller, 1, [*q[:5], q[5] + 0.5, 1.0, 1.0], [0], 20)
    assert controller.runtime is Runtime.STOPPED
    assert "another thread" in controller.events.since(-inf)[-1]["reason"]


def test_a_command_runs_once_until_it_is_taken_back(controller: Controller) -> None:
    start(controller)
    controller.registers.input_ints[0] = 8
    controller.cycle()
    assert controller.registers.output_ints[0] == 2
    controller.body.push([5.0, 0.0, 0.0], 60.0)
    for _ in range(100):
        controller.cycle()
    assert controller.sense.wrench[0] == pytest.approx(5.0, abs=0.5), "not zeroed again"
    controller.registers.input_ints[0] = 0
    controller.cycle()
    assert controller.registers.output_ints[0] == 1


def test_registers_of_the_upper_range_are_those_of_the_script(controller: Controller) -> None:
    program = start(controller, "# float register offset\n24 # int register offset\n24 ")
    assert program.offset == 24
    registers = controller.registers
    registers.input_doubles[24:30], registers.input_ints[24] = [0.0, 0.0, 0.1, 0.0, 0.0, 0.0], 29
    controller.cycle()
    assert controller.tcp == [0.0, 0.0, 0.1, 0.0, 0.0, 0.0]
    assert registers.output_ints[24] == 2


def test_a_program_without_a_successor_leaves_an_arm_at_rest(controller: Controller) -> None:
    start(controller)
    q = list(controller.arm.q)
    for k in range(100):
        command(controller, 11, [*q[:5], q[5] + 0.004 * k, 0.0, 0.0, 0.002, 0.05, 300.0], [], 1)
    assert controller.arm.fastest > 0.5
    controller.stop("as a test")
    for _ in range(150):
        controller.cycle()
    assert max(map(abs, controller.sense.qd)) < 1e-3
