import time

import numpy as np
import pytest

from robot_stack.arms.sim import SimArm
from robot_stack.bus import Bus, LocalBus
from robot_stack.cameras.sim import SimCamera
from robot_stack.grippers.sim import SimGripper
from robot_stack.robots import robot
from robot_stack.sim import station, wire
from robot_stack.station import EPISODE
from robot_stack.types import DeviceError
from tests import contracts

Cell = tuple[Bus, str]


def test_the_simulated_arm_measures_its_state_and_says_when(cell: Cell) -> None:
    contracts.arm_measures_its_state_and_says_when(lambda: SimArm(*cell), len(robot(cell[1]).joints))


def test_the_simulated_arm_goes_where_it_is_servoed(cell: Cell) -> None:
    contracts.arm_goes_where_it_is_servoed(lambda: SimArm(*cell))


def test_the_simulated_arm_comes_to_rest_when_halted_as_often_as_it_is_asked(cell: Cell) -> None:
    contracts.arm_comes_to_rest_when_halted_as_often_as_it_is_asked(lambda: SimArm(*cell))


def test_the_simulated_arm_is_at_rest_after_it_was_left(cell: Cell) -> None:
    contracts.arm_is_at_rest_after_it_was_left(lambda: SimArm(*cell))


def test_the_simulated_gripper_opens_and_closes(cell: Cell) -> None:
    contracts.gripper_opens_and_closes(lambda: SimGripper(*cell), robot(cell[1]).opening)


def test_the_simulated_camera_delivers_new_pictures_with_the_time_of_capture(cell: Cell) -> None:
    contracts.camera_delivers_new_pictures_with_the_time_of_capture(
        lambda: SimCamera(*cell, task="lift", name="front", height=72, width=96, rate=20.0), (72, 96)
    )


def test_a_new_episode_moves_the_objects_and_not_the_arm(cell: Cell) -> None:
    bus, name = cell
    worlds, episodes = bus.subscriber(station(name, "lift").world), bus.publisher(EPISODE)
    with SimArm(bus, name) as arm:
        before, cube = arm.read().q, wire.first(worlds, "world")["objects.cube"]
        episodes.send(EPISODE.spec.record(number=7, seed=123))
        time.sleep(0.3)
        world = worlds.latest()
        assert world is not None
        assert world["number"] == 7
        assert np.linalg.norm(world["objects.cube"] - cube) > 0.02
        assert np.abs(arm.read().q - before).max() < 0.005


def test_a_device_without_a_world_says_so_and_what_to_look_at() -> None:
    with pytest.raises(DeviceError, match=r"simulated arm: no word from its world for 0 s; does its process run"):
        wire.first(LocalBus().subscriber(station("ur5e", "lift").world), "the simulated arm", patience=0.05)
