"""The two arms that are emulated, and what each tells its client about itself."""

from collections.abc import Mapping
from typing import Any

from robot_stack.emulators.franka.emulator import FrankaEmulator
from robot_stack.emulators.franka.limits import FR3, PANDA
from robot_stack.emulators.franka.model_library import model_library
from robot_stack.emulators.franka.protocol import V5, V10
from robot_stack.emulators.franka.urdf import urdf
from robot_stack.emulators.loop import Loop


def fr3(loop: Loop, config: Mapping[str, Any]) -> FrankaEmulator:
    """A Franka Research 3, server version 10: describes itself as URDF."""
    return FrankaEmulator(loop, config, "fr3", V10, FR3, lambda plant: urdf(plant.model, FR3).encode())


def panda(loop: Loop, config: Mapping[str, Any]) -> FrankaEmulator:
    """A Franka Emika Panda (FER), server version 5: hands out a library. It moves the scene's FR3, whose kinematics are
    the same, within the limits of a Panda."""
    return FrankaEmulator(loop, config, "panda", V5, PANDA, lambda plant: model_library(plant.model))
